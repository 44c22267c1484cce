//! The raw bytes of a manifest, hashed as they pass by.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, ErrorKind, Read},
    path::Path,
};

use crate::core::ContentHash;

/// Bytes asked for at once.
const CHUNK: usize = 64 * 1024;

/// Returns the hash of a file's content, equal to that of a
/// [`Manifest`](super::Manifest) read from it to its end.
///
/// # Errors
///
/// What the operating system says when the file cannot be read.
pub fn fingerprint_file(path: &Path) -> io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
}

type Input = Box<dyn Read + Send>;

/// Hands out chunks and hashes them.
pub(super) struct ByteStream {
    reader: BufReader<Hashing<io::Chain<Cursor<Vec<u8>>, Input>>>,
}

impl ByteStream {
    /// Continues `input` after `head`, which was read from it before.
    pub(super) fn new(head: Vec<u8>, input: Input) -> Self {
        let hashing = Hashing {
            input: Cursor::new(head).chain(input),
            hasher: blake3::Hasher::new(),
            ended: false,
        };
        Self { reader: BufReader::with_capacity(CHUNK, hashing) }
    }

    /// Returns the bytes that come next; none means the end.
    pub(super) fn chunk(&mut self) -> io::Result<&[u8]> {
        // A loop that returns the borrowed chunk does not pass the borrow checker, so
        // the chunk is asked for twice; the second call only looks into the buffer.
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(self.reader.buffer())
    }

    /// Skips the first `count` bytes of the last chunk.
    pub(super) fn consume(&mut self, count: usize) {
        self.reader.consume(count);
    }

    /// Returns the hash of all bytes, once the end was reached.
    pub(super) fn fingerprint(&self) -> Option<ContentHash> {
        let hashing = self.reader.get_ref();
        hashing.ended.then(|| hashing.hasher.finalize().into())
    }
}

struct Hashing<R> {
    input: R,
    hasher: blake3::Hasher,
    ended: bool,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.ended |= count == 0;
        Ok(count)
    }
}
