//! Takes a body as it arrives: small ones stay in memory, others go to a draft piece by
//! piece, so that a download holds the same little memory whatever its size.

use std::{io, sync::Arc};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    folders::Folders,
    group::Content,
    http::Sink,
    publish::{Draft, PublishError},
};

/// Bytes of a picture that is never written before it is checked, and of a piece that is
/// written at a time. A download holds two of these at most: one that fills while the other
/// is written.
const PIECE: usize = 256 << 10;

/// A body on its way to the disk.
#[derive(Debug)]
pub(super) struct Spool {
    folders: Arc<Folders>,
    stem: String,
    piece: Vec<u8>,
    /// Bytes that have left `piece`.
    written: u64,
    file: File,
}

#[derive(Debug)]
enum File {
    /// Nothing has been written yet.
    None,
    /// A piece is being written.
    Writing(JoinHandle<Result<Draft, PublishError>>),
    /// A piece could not be written.
    Failed(Option<PublishError>),
}

impl Spool {
    /// For the file that is to be published as `stem`.
    pub(super) fn new(folders: Arc<Folders>, stem: &str) -> Self {
        let (piece, written) = (Vec::new(), 0);
        Self { folders, stem: stem.to_owned(), piece, written, file: File::None }
    }

    /// Returns what has arrived.
    ///
    /// # Errors
    ///
    /// Why it could not be written.
    pub(super) async fn into_content(mut self) -> Result<Content, Option<PublishError>> {
        if matches!(self.file, File::None) {
            return Ok(Content::Memory(self.piece));
        }
        if !self.piece.is_empty() {
            // What fails here is found below.
            let _ = self.write_piece().await;
        }
        let bytes = self.written;
        match self.file {
            File::Writing(writing) => match writing.await {
                Ok(draft) => Ok(Content::File { draft: draft.map_err(Some)?, bytes }),
                Err(_) => Err(None),
            },
            File::Failed(why) => Err(why),
            File::None => Ok(Content::Memory(self.piece)),
        }
    }

    /// Returns why a piece could not be written, if that is what happened.
    pub(super) fn failure(self) -> Option<PublishError> {
        match self.file {
            File::Failed(why) => why,
            _ => None,
        }
    }

    /// Waits for the piece before, and starts to write this one.
    async fn write_piece(&mut self) -> io::Result<()> {
        let before = match std::mem::replace(&mut self.file, File::Failed(None)) {
            File::None => None,
            File::Writing(writing) => match writing.await.map_err(io::Error::other)? {
                Ok(draft) => Some(draft),
                Err(error) => return Err(self.fail(error)),
            },
            File::Failed(why) => {
                self.file = File::Failed(why);
                return Err(io::Error::other("an earlier piece was not written"));
            }
        };
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.written += piece.len() as u64;
        let (folders, stem) = (self.folders.clone(), self.stem.clone());
        self.file = File::Writing(spawn_blocking(move || {
            let mut draft = before.map_or_else(|| Draft::open(&folders, &stem), Ok)?;
            draft.write(&piece)?;
            Ok(draft)
        }));
        Ok(())
    }

    fn fail(&mut self, error: PublishError) -> io::Error {
        let told = io::Error::other(error.to_string());
        self.file = File::Failed(Some(error));
        told
    }
}

impl Sink for Spool {
    async fn take(&mut self, mut bytes: Bytes) -> io::Result<()> {
        loop {
            let room = PIECE - self.piece.len();
            self.piece.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if bytes.is_empty() {
                return Ok(());
            }
            // It is full.
            self.write_piece().await?;
        }
    }
}
