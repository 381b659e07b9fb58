//! Uploads that come in parts: what has come stays, however a request ends.
//!
//! A part is a file that grows. Now and then, and at the end of each request, what has come is made safe on disk, and how many bytes that
//! is, is written down; after a crash the file is cut there. So whatever a client is told is there, is there.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Active, Batch, Hashes, Sink};
use super::stream::{First, next_frame};
use super::{Checksum, Container, IngestError, Limits, NotVideo, Rate, Room};
use crate::content::ContentId;
use crate::store::DataDir;

/// After so many bytes, or so long, what has come is made safe, so that a crash in a long request costs no more than that.
const SAFE_BYTES: u64 = 64 << 20;
const SAFE_TIME: Duration = Duration::from_secs(5);
/// How much of a file is read at a time.
const READ_BYTES: usize = 1 << 20;

/// What has come of an upload that comes in parts.
#[derive(Clone, Debug, Default)]
pub struct Part {
    bytes: u64,
    /// None: nothing of it was seen by this process, or not all.
    seen: Option<Seen>,
}

/// What is known of bytes by having seen all of them.
#[derive(Clone, Default)]
struct Seen {
    content: Sha256,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Unknown(First),
    Known(Container),
}

/// What a request appends, and within which bounds.
#[derive(Debug)]
pub struct Order<'a> {
    /// Bounds of the body; `bytes_max` is of the whole upload, and `announced` is left alone.
    pub limits: &'a Limits,
    /// The length of the whole upload, where it is known.
    pub length: Option<u64>,
    /// What the body hashes to. None of it is kept if it does not, or did not come whole.
    pub checksum: Option<Checksum>,
    /// Ends the reading: something else is to be done with the upload.
    pub interrupt: CancellationToken,
}

/// Where it is written down how much of an upload is safe.
pub trait Checkpoint: Sync {
    /// So many bytes of it are.
    fn write(&self, bytes: u64) -> impl Future<Output = io::Result<()>> + Send;
}

/// Why a request appended less than all of its body. What came before is there.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// As of any upload.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// More came than there should be.
    #[error("the upload is {length} bytes long by its Upload-Length, and more came: begin a new one")]
    Beyond {
        /// How long it is to be.
        length: u64,
    },
    /// It does not hash to what the client says.
    #[error("the bytes that came do not have the checksum that was given: send them again")]
    Checksum,
    /// See [`Order::interrupt`].
    #[error(
        "another request came for this upload, or the node ends: ask how far it is, and go on from there"
    )]
    Interrupted,
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self::Ingest(error.into())
    }
}

impl From<NotVideo> for AppendError {
    fn from(error: NotVideo) -> Self {
        Self::Ingest(error.into())
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Unknown(First::default())
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Kind {
    fn see(&mut self, data: &[u8]) -> Result<(), NotVideo> {
        if let Self::Unknown(first) = self
            && let Some(container) = first.see(data)?
        {
            *self = Self::Known(container);
        }
        Ok(())
    }
}

impl Part {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { bytes: 0, seen: Some(Seen::default()) }
    }

    /// Of so many bytes that an earlier process has made safe.
    pub const fn of_before(bytes: u64) -> Self {
        Self { bytes, seen: None }
    }

    /// How many bytes are safe.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a whole upload is: its digest and its container. Refused where it is no media file.
    pub async fn finish(&mut self, path: &Path) -> Result<(ContentId, Container), IngestError> {
        self.look(path).await?;
        let Some(seen) = &self.seen else { unreachable!("looked at above") };
        let container = match &seen.kind {
            Kind::Known(container) => *container,
            Kind::Unknown(first) => first.decide()?,
        };
        Ok((ContentId(seen.content.clone().finalize().into()), container))
    }

    /// Reads again what this process has not seen.
    async fn look(&mut self, path: &Path) -> Result<(), IngestError> {
        if self.seen.is_some() {
            return Ok(());
        }
        let (path, bytes) = (path.to_owned(), self.bytes);
        let seen = spawn_blocking(move || read(&path, bytes)).await.map_err(io::Error::other)??;
        self.seen = Some(seen);
        Ok(())
    }

    /// Appends a body to the file. What came of it is kept however it ends, but where a checksum speaks for all of it. In `safe` it is written down how
    /// many bytes of the upload are safe on disk.
    pub async fn append<B>(
        &mut self,
        (path, dir): (&Path, &DataDir),
        body: B,
        (order, room): (Order<'_>, &mut Room),
        safe: &impl Checkpoint,
    ) -> Result<(), AppendError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.look(path).await?;
        let Some(seen) = self.seen.take() else { unreachable!("looked at above") };
        let (before, mut body) = (Self { bytes: self.bytes, seen: Some(seen.clone()) }, pin!(body));
        let Seen { content, kind } = seen;
        let hashes = Hashes { content, piece: order.checksum.as_ref().map(Checksum::begin) };
        let (mut file, mut hashes) = (open(path, self.bytes).await?, Box::new(hashes));
        let _active = Active::enter();
        let mut coming =
            Coming { order: &order, room, bytes: self.bytes, kind, rate: Rate::default(), end: end(&order) };
        // From here on `self` has seen nothing of the upload until what it is to have seen is safe.
        loop {
            let mut sink = Sink::resume(file, hashes, dir.clone());
            let mut batch = Batch::default();
            let outcome = coming.stretch(body.as_mut(), &mut batch, &mut sink).await;
            (file, hashes) = match sink.pause(batch.take()).await {
                Ok(paused) => paused,
                Err(error) => {
                    // What could not be written is no part of it, and takes no room. Why that was, the first error says.
                    drop(open(path, self.bytes).await?);
                    return Err(outcome.err().unwrap_or_else(|| error.into()));
                }
            };
            if let Some(checksum) = &order.checksum {
                let sum = hashes.piece.take().unwrap_or_else(|| checksum.begin());
                let whole = outcome.and_then(|_| checksum.is(sum).then_some(()).ok_or(AppendError::Checksum));
                if let Err(error) = whole {
                    *self = before;
                    return Err(error);
                }
                return self.keep(&coming, hashes.content, safe).await;
            }
            self.keep(&coming, hashes.content.clone(), safe).await?;
            match outcome {
                Ok(Stretch::More) => {}
                Ok(Stretch::End) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// What has come is safe: it is written down, and is part of the upload from now on.
    async fn keep(
        &mut self,
        coming: &Coming<'_>,
        content: Sha256,
        safe: &impl Checkpoint,
    ) -> Result<(), AppendError> {
        safe.write(coming.bytes).await?;
        *self = Self { bytes: coming.bytes, seen: Some(Seen { content, kind: coming.kind.clone() }) };
        Ok(())
    }
}

/// A body on its way.
struct Coming<'a> {
    order: &'a Order<'a>,
    room: &'a mut Room,
    /// Of the whole upload, so far.
    bytes: u64,
    kind: Kind,
    rate: Rate,
    end: Instant,
}

/// How a stretch of a body ended.
enum Stretch {
    /// There is more.
    More,
    /// There is none.
    End,
}

fn end(order: &Order<'_>) -> Instant {
    Instant::now() + order.limits.total_max
}

impl Coming<'_> {
    /// Takes of the body until it ends or what came is to be made safe.
    async fn stretch<B>(
        &mut self,
        mut body: Pin<&mut B>,
        batch: &mut Batch,
        sink: &mut Sink,
    ) -> Result<Stretch, AppendError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (limits, until, began) = (self.order.limits, self.bytes + SAFE_BYTES, Instant::now());
        loop {
            let since = Instant::now();
            let frame = tokio::select! {
                biased;
                () = self.order.interrupt.cancelled() => return Err(AppendError::Interrupted),
                frame = next_frame(body.frame(), limits, self.end) => frame?,
            };
            let Some(frame) = frame else { return Ok(Stretch::End) };
            // One wait counts for no more than it may last, also where this machine stood still meanwhile.
            let waited = since.elapsed().min(limits.idle_max);
            let Ok(data) = frame.into_data() else { continue };
            self.rate.add(waited, data.len() as u64);
            if let Some(waited) = self.rate.is_below(limits.bytes_per_s_min, limits.idle_max) {
                return Err(IngestError::TimedOut { what: "next to nothing came in", limit: waited }.into());
            }
            let bytes = self.bytes + data.len() as u64;
            if let Some(length) = self.order.length.filter(|length| bytes > *length) {
                return Err(AppendError::Beyond { length });
            }
            if bytes > limits.bytes_max {
                return Err(IngestError::TooLarge { max: limits.bytes_max }.into());
            }
            self.room.grow_to(bytes).map_err(IngestError::from)?;
            self.kind.see(&data)?;
            self.bytes = bytes;
            batch.push(data);
            if batch.bytes() >= Active::batch_bytes() {
                sink.push(batch.take()).await?;
            }
            let much = self.bytes >= until || began.elapsed() >= SAFE_TIME;
            if self.order.checksum.is_none() && much {
                return Ok(Stretch::More);
            }
        }
    }
}

/// Opens the file behind its first so many bytes; what is behind them is not known to be right.
async fn open(path: &Path, bytes: u64) -> io::Result<File> {
    let path = path.to_owned();
    let open = move || {
        let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(file)
    };
    spawn_blocking(open).await.map_err(io::Error::other)?
}

/// Reads the first so many bytes of a file.
fn read(path: &Path, bytes: u64) -> Result<Seen, IngestError> {
    let mut seen = Seen::default();
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && bytes == 0 => return Ok(seen),
        file => file?.take(bytes),
    };
    let (mut buffer, mut left) = (vec![0; READ_BYTES.min(bytes as usize).max(1)], bytes);
    while left > 0 {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            let lacks = io::Error::new(io::ErrorKind::UnexpectedEof, "some of what came before is not there");
            return Err(IngestError::Io(lacks));
        }
        seen.content.update(&buffer[..count]);
        seen.kind.see(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(seen)
}
