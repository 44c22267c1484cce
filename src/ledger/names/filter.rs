//! Tells most names that were never seen from those that may have been.

use super::name::Name;

/// Words of one block: a cache line.
const WORDS: usize = 8;

/// Blocks: 32 MiB, whatever is kept, so that memory does not grow with a job. Of ten million
/// rows' twenty million names 13 bits each, and one new name in about 200 looks known;
/// beyond fifty million rows most do, and are looked up.
const BLOCKS: usize = 1 << 19;

/// A split block Bloom filter (Putze, Sanders, Singler 2007): each name sets one bit in
/// each word of one block.
pub(super) struct Filter {
    blocks: Vec<[u64; WORDS]>,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self { blocks: vec![[0; WORDS]; BLOCKS] }
    }

    pub(super) fn insert(&mut self, name: Name) {
        let block = &mut self.blocks[place(name)];
        for (word, bit) in block.iter_mut().zip(bits(name)) {
            *word |= bit;
        }
    }

    /// Returns false for a name that was not inserted; true proves nothing.
    pub(super) fn may_hold(&self, name: Name) -> bool {
        let block = &self.blocks[place(name)];
        block.iter().zip(bits(name)).all(|(word, bit)| word & bit != 0)
    }
}

/// The block is told by the upper half of a name, the bits by the lower.
fn place(name: Name) -> usize {
    usize::try_from(name.top() % BLOCKS as u64).expect("it is below the number of blocks")
}

fn bits(name: Name) -> impl Iterator<Item = u64> {
    let low = name.low();
    (0..WORDS).map(move |word| 1 << (low >> (word * 6) & 63))
}
