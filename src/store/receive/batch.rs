use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use super::checksum::Sum;
use crate::store::DataDir;

/// What all uploads of a process together may hold in batches, roughly: each holds two.
const BUDGET_BYTES: usize = 24 << 20;
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCH_BYTES_MIN: usize = 64 << 10;
/// Frames below this are copied together. Small ones would otherwise each pin a read buffer many times their size.
const COPY_BELOW_BYTES: usize = 16 << 10;

static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// One upload counted, for as long as this lives.
pub(super) struct Active;

impl Active {
    pub(super) fn enter() -> Self {
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// How many bytes to gather before they are handed on: the more uploads, the smaller.
    pub(super) fn batch_bytes() -> usize {
        let share = BUDGET_BYTES / 2 / ACTIVE.load(Ordering::Relaxed).max(1);
        share.clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes gathered from the body, in order.
#[derive(Default)]
pub(super) struct Batch {
    whole: Vec<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        if frame.len() < COPY_BELOW_BYTES {
            self.tail.extend_from_slice(&frame);
        } else {
            self.seal();
            self.whole.push(frame);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.whole.push(self.tail.split().freeze());
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.bytes = 0;
        std::mem::take(&mut self.whole)
    }
}

/// What bytes are hashed to on their way.
#[derive(Clone, Default)]
pub(super) struct Hashes {
    /// All of the upload.
    pub(super) content: Sha256,
    /// What comes now of it, where the client has said what that hashes to.
    pub(super) piece: Option<Sum>,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        if let Some(piece) = &mut self.piece {
            piece.update(bytes);
        }
    }
}

/// Writes and hashes batches, each on a thread of its own that may block, one batch behind the body.
pub(super) struct Sink {
    state: State,
    /// Where the file lies: makes room when the disk is full.
    dir: DataDir,
}

enum State {
    Idle { file: File, hash: Box<Hashes> },
    Busy { write: JoinHandle<io::Result<File>>, hash: JoinHandle<Box<Hashes>> },
    Broken,
}

impl Sink {
    pub(super) fn new(file: File, dir: DataDir) -> Self {
        Self::resume(file, Box::default(), dir)
    }

    /// Goes on where another one was [paused](Self::pause).
    pub(super) const fn resume(file: File, hash: Box<Hashes>, dir: DataDir) -> Self {
        Self { state: State::Idle { file, hash }, dir }
    }

    /// Writes what has come so far, so that it is safe on disk, and gives the file and what it hashes to up to there.
    pub(super) async fn pause(mut self, last: Vec<Bytes>) -> io::Result<(File, Box<Hashes>)> {
        if !last.is_empty() {
            self.push(last).await?;
        }
        let (file, hash) = self.settle().await?;
        let synced = spawn_blocking(move || file.sync_data().map(|()| file));
        Ok((joined(synced.await)??, hash))
    }

    /// Hands on a batch as soon as the one before is done. This is where a slow disk holds back the sender.
    pub(super) async fn push(&mut self, batch: Vec<Bytes>) -> io::Result<()> {
        let (mut file, mut hash) = self.settle().await?;
        let (shared, dir) = (batch.clone(), self.dir.clone());
        let write = spawn_blocking(move || {
            shared.iter().try_for_each(|bytes| write_all(&dir, &mut file, bytes))?;
            Ok(file)
        });
        let hash = spawn_blocking(move || {
            for bytes in &batch {
                hash.update(bytes);
            }
            hash
        });
        self.state = State::Busy { write, hash };
        Ok(())
    }

    /// Writes the last batch and gives the file and the digest of all.
    pub(super) async fn finish(mut self, last: Vec<Bytes>) -> io::Result<(File, [u8; 32])> {
        if last.iter().map(Bytes::len).sum::<usize>() > BATCH_BYTES_MIN {
            self.push(last).await?;
            let (file, hash) = self.settle().await?;
            return Ok((file, hash.content.finalize().into()));
        }
        // A small rest is not worth a second thread.
        let (mut file, mut hash) = self.settle().await?;
        let dir = self.dir.clone();
        let done = spawn_blocking(move || {
            for bytes in &last {
                write_all(&dir, &mut file, bytes)?;
                hash.update(bytes);
            }
            Ok((file, hash.content.finalize().into()))
        });
        joined(done.await)?
    }

    async fn settle(&mut self) -> io::Result<(File, Box<Hashes>)> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle { file, hash } => Ok((file, hash)),
            State::Busy { write, hash } => {
                let (write, hash) = tokio::join!(write, hash);
                Ok((joined(write)??, joined(hash)?))
            }
            State::Broken => Err(io::Error::other("an earlier batch of this upload failed")),
        }
    }
}

/// Writes all of it; where the disk is full, as soon as room was made.
fn write_all(dir: &DataDir, file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = dir.with_room(bytes.len() as u64, || match file.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            done => done,
        })?;
        bytes = &bytes[written..];
    }
    Ok(())
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> io::Result<T> {
    result.map_err(io::Error::other)
}
