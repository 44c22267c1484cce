//! Checks and publishes pictures, those that wait at the same time together.
//!
//! Three waits for the disk stand between a picture that has arrived and one that is
//! published: its content, then its name, each durable before the next step. One picture
//! after the other, that is a small part of what a disk can do. So a worker takes all that
//! wait, up to a bound, and shares the waits among them ("group commit"):
//!
//! ```text
//!  check and write each ─► sync each ─► name each ─► sync each folder once ─► answer each
//!     (writes overlap)
//! ```
//!
//! The order of the steps is the same for every picture as if it were alone: nobody is
//! answered before a sync of its folder that began after its file had its name.
//!
//! What a picture is and how a file gets its name is up to [`verify`](mod@super::verify) and
//! [`publish`](super::publish).

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
};

use super::{
    folders::{Folders, sync_folder},
    publish::{Draft, Named, PublishError},
    verify::{Claim, Picture, Rejection, claim, claim_bytes, verify, verify_bytes},
};

/// Most pictures in a group: by then a shared wait costs each of them next to nothing, and
/// the first has not waited long.
const MOST_PICTURES: usize = 64;

/// Most bytes in a group of several, so that a small picture does not wait for the decoding
/// of large ones.
const MOST_BYTES: u64 = 4 << 20;

/// Groups at once: while the disk works for some of them, others are decoded and written.
const WORKERS: usize = 8;

/// What has been downloaded.
#[derive(Debug)]
pub(super) enum Content {
    /// A small picture.
    Memory(Vec<u8>),
    /// A larger one, in its temporary file.
    File { draft: Draft, bytes: u64 },
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }
}

/// A picture was not published.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is none.
    Picture(Rejection),
    /// The folder does not take it.
    Folder(PublishError),
}

/// Where a picture lies, relative to the images folder, and what it is.
pub(super) type Published = Result<(String, Picture), Refused>;

/// A picture that waits to be published.
struct Order {
    content: Content,
    stem: String,
    hash: blake3::Hash,
    reply: oneshot::Sender<Published>,
}

/// Publishes below one root.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    folders: Arc<Folders>,
    max_pixels: u64,
    /// A permit is a mebibyte that decoding may take, and there are as many as the largest
    /// picture allowed needs, so that many large ones are decoded one after the other.
    memory: Semaphore,
    /// All of its permits.
    most_memory: u32,
    /// Decoding is heavy on the processor: one picture per core at a time.
    cores: Semaphore,
    /// [`sync_folder`], except in tests.
    sync: fn(&Path) -> io::Result<()>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Order>,
    workers: usize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("folders", &self.folders).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Publishes pictures of at most `max_pixels` pixels; checking those that are decoded at
    /// a time takes at most `memory` bytes together.
    pub(super) fn new(folders: Arc<Folders>, max_pixels: u64, memory: u64) -> Self {
        Self::with_sync(folders, max_pixels, memory, sync_folder)
    }

    fn with_sync(
        folders: Arc<Folders>,
        max_pixels: u64,
        memory: u64,
        sync: fn(&Path) -> io::Result<()>,
    ) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            folders,
            max_pixels,
            memory: Semaphore::new(mebibytes(memory) as usize),
            most_memory: mebibytes(memory),
            cores: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)),
            sync,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Checks a picture and publishes it as `stem` with the extension of its format.
    /// `None` when it was interrupted. One whose caller goes away is not begun.
    pub(super) async fn publish(
        &self,
        content: Content,
        stem: &str,
        hash: blake3::Hash,
    ) -> Option<Published> {
        let (reply, answer) = oneshot::channel();
        let order = Order { content, stem: stem.to_owned(), hash, reply };
        if self.shared.enter(order) {
            let shared = self.shared.clone();
            spawn_blocking(move || shared.work());
        }
        answer.await.ok()
    }
}

impl Shared {
    /// Returns true when one more worker is needed.
    fn enter(&self, order: Order) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(order);
        let wanted = queue.workers < WORKERS;
        queue.workers += usize::from(wanted);
        wanted
    }

    /// Publishes until nothing waits.
    fn work(&self) {
        while let Some(group) = self.next_group() {
            // Whoever waits for an order of this group hears that it was interrupted.
            if catch_unwind(AssertUnwindSafe(|| self.publish(group))).is_err() {
                tracing::error!("publishing failed unexpectedly; the downloads are tried again");
            }
        }
    }

    /// Takes what waits, in order; `None` ends the worker.
    fn next_group(&self) -> Option<Vec<Order>> {
        let mut queue = self.queue();
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = queue.waiting.front() {
            bytes += next.content.len();
            if !group.is_empty() && (bytes > MOST_BYTES || group.len() == MOST_PICTURES) {
                break;
            }
            group.extend(queue.waiting.pop_front());
        }
        if group.is_empty() {
            queue.workers -= 1;
            return None;
        }
        Some(group)
    }

    fn publish(&self, group: Vec<Order>) {
        let mut written = Vec::with_capacity(group.len());
        for Order { content, stem, hash, reply } in group {
            if reply.is_closed() {
                continue;
            }
            match self.write(content, &stem) {
                Ok((draft, picture)) => written.push((draft, picture, hash, reply)),
                Err(refused) => drop(reply.send(Err(refused))),
            }
        }
        let synced: Vec<_> = written.iter().map(|(draft, ..)| draft.sync()).collect();
        let mut named = Vec::with_capacity(written.len());
        for ((draft, picture, hash, reply), synced) in written.into_iter().zip(synced) {
            match synced.and_then(|()| draft.give_name(picture.extension, &hash)) {
                Ok(file) => named.push((file, picture, reply)),
                Err(error) => drop(reply.send(Err(Refused::Folder(error)))),
            }
        }
        let folders = self.sync_folders(named.iter().map(|(file, ..)| file));
        for (file, picture, reply) in named {
            let published = match folders.get(file.folder()) {
                Some(Err(error)) => Err(Refused::Folder(repeated(file.folder(), error))),
                _ => Ok((file.path(), picture)),
            };
            drop(reply.send(published));
        }
    }

    /// Checks a picture, and has its file written, though not durably.
    fn write(&self, content: Content, stem: &str) -> Result<(Draft, Picture), Refused> {
        let (draft, picture) = match content {
            Content::Memory(bytes) => {
                let claim = claim_bytes(&bytes, self.max_pixels).map_err(Refused::Picture)?;
                let check = |claim| verify_bytes(&bytes, claim);
                let picture = self.decoding(claim, check).map_err(Refused::Picture)?;
                let mut draft = Draft::open(&self.folders, stem).map_err(Refused::Folder)?;
                draft.write(&bytes).map_err(Refused::Folder)?;
                (draft, picture)
            }
            Content::File { draft, .. } => {
                draft.start_writeback();
                let claim = claim(draft.file(), self.max_pixels).map_err(Refused::Picture)?;
                let check = |claim| verify(draft.file(), claim);
                let picture = self.decoding(claim, check).map_err(Refused::Picture)?;
                (draft, picture)
            }
        };
        draft.start_writeback();
        Ok((draft, picture))
    }

    /// Decodes when there is room for it. No semaphore is ever closed, so an error cannot
    /// happen; without a permit the check would still be right, only less frugal.
    fn decoding<T>(&self, claim: Claim, check: impl FnOnce(Claim) -> T) -> T {
        // One that would take more than all there is has it for itself.
        let memory = mebibytes(claim.memory).min(self.most_memory);
        let room = async { (self.memory.acquire_many(memory).await, self.cores.acquire().await) };
        let _room = Handle::current().block_on(room);
        check(claim)
    }

    fn sync_folders<'a>(
        &self,
        files: impl Iterator<Item = &'a Named>,
    ) -> BTreeMap<std::path::PathBuf, io::Result<()>> {
        let mut synced = BTreeMap::new();
        for file in files {
            if !synced.contains_key(file.folder()) {
                synced.insert(file.folder().to_owned(), (self.sync)(file.folder()));
            }
        }
        synced
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same error once more, for another file of the folder.
fn repeated(folder: &Path, error: &io::Error) -> PublishError {
    PublishError::io(folder)(io::Error::new(error.kind(), error.to_string()))
}

/// Returns how many permits stand for this much memory, at least one.
fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
