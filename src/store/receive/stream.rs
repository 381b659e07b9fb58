use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::batch::{Active, Batch, Sink};
use super::sniff::{HEAD_BYTES, HEAD_BYTES_MAX, HEAD_BYTES_MIN, may_be_cut};
use super::{Container, IngestError, NotVideo, Rate, Room, Share, sniff};
use crate::content::{ContentId, RESULT_BYTES_MAX};
use crate::store::{DataDir, Scratch};

/// Longest that nothing of a peer's result may come, and the fewest bytes a second of it: a link that gives no more is slower than
/// making it anew.
const RESULT_IDLE_MAX: Duration = Duration::from_secs(5);
const RESULT_BYTES_PER_S_MIN: u64 = 16 << 10;

/// Bounds of one upload.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Biggest body that is taken.
    pub bytes_max: u64,
    /// Longest that nothing may come.
    pub idle_max: Duration,
    /// Fewest bytes a second of waiting, over the last minute of it and after the first `idle_max`: a byte now and then is no
    /// upload, nor what is left of one. Time in which the disk holds back the sender doesn't count.
    pub bytes_per_s_min: u64,
    /// Longest that all of it may take.
    pub total_max: Duration,
    /// The SHA-256 that the sender announced, checked on arrival.
    pub announced: Option<ContentId>,
    /// The budget that its bytes are taken from; none where they are counted elsewhere.
    pub share: Option<Share>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 2 << 30,
            idle_max: Duration::from_secs(10),
            bytes_per_s_min: 1024,
            total_max: Duration::from_secs(3600),
            announced: None,
            share: None,
        }
    }
}

impl Limits {
    /// Those of a peer's result with this digest: it may be as big as one that is made here, and lies ready there.
    pub fn of_result(announced: ContentId) -> Self {
        Self {
            bytes_max: RESULT_BYTES_MAX,
            idle_max: RESULT_IDLE_MAX,
            bytes_per_s_min: RESULT_BYTES_PER_S_MIN,
            announced: Some(announced),
            ..Self::default()
        }
    }
}

/// An upload on disk.
#[derive(Debug)]
pub struct Upload {
    /// SHA-256 of all of it.
    pub content: ContentId,
    /// Its length.
    pub bytes: u64,
    /// Where it lies; deleted on drop.
    pub file: Scratch,
    /// Its container family, by the first bytes.
    pub container: Container,
    /// Its first bytes, as many as were looked at.
    pub head: Bytes,
    /// What it takes of the budget for uploads; given back with the file.
    pub room: Option<Room>,
}

impl Upload {
    /// Opens the file for reading it from the start.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.file)
    }
}

impl AsRef<Path> for Upload {
    fn as_ref(&self) -> &Path {
        &self.file
    }
}

/// Receives a peer's result: as [`receive`], but any bytes will do, since what they are is for their digest to say.
pub async fn receive_result<B>(body: B, dir: &DataDir, limits: &Limits) -> Result<Received, IngestError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    stream(body, dir, limits, |_| Ok(Some(()))).await.map(|(received, ())| received)
}

/// Streams a body to a file in `dir`, hashing it on the way. Memory is bounded however big the body and however many
/// uploads; when the caller stops waiting (its client is gone), what was written is deleted.
pub async fn receive<B>(body: B, dir: &DataDir, limits: &Limits) -> Result<Upload, IngestError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut first = First::default();
    let look = |data: Option<&[u8]>| match data {
        Some(data) => first.see(data),
        None => first.decide().map(Some),
    };
    let (Received { sha256, bytes, file, room }, container) = stream(body, dir, limits, look).await?;
    Ok(Upload { content: sha256, bytes, file, container, head: first.head.into(), room })
}

/// Bytes on disk and their digest.
#[derive(Debug)]
pub struct Received {
    /// SHA-256 of all of it.
    pub sha256: ContentId,
    /// Its length.
    pub bytes: u64,
    /// Where it lies; deleted on drop.
    pub file: Scratch,
    /// What it takes of the budget for uploads, if that is where it is taken from.
    pub room: Option<Room>,
}

/// The way of every body to the disk. `look` sees its bytes, in order, until it knows what they are, and `None` if
/// they end before; it touches the disk only from then on.
async fn stream<B, T>(
    body: B,
    dir: &DataDir,
    limits: &Limits,
    mut look: impl FnMut(Option<&[u8]>) -> Result<Option<T>, NotVideo>,
) -> Result<(Received, T), IngestError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if body.size_hint().lower() > limits.bytes_max {
        return Err(IngestError::TooLarge { max: limits.bytes_max });
    }
    // What is announced is taken at once: an upload that begins does not end for want of room.
    let announced = body.size_hint().exact().unwrap_or_default();
    let mut room = limits.share.as_ref().map(|share| share.room(announced)).transpose()?;
    let mut body = pin!(body);
    let end = Instant::now() + limits.total_max;
    let _active = Active::enter();
    let (mut batch, mut bytes, mut rate) = (Batch::default(), 0u64, Rate::default());
    let mut known = None;
    let mut disk: Option<(Sink, Scratch)> = None;
    loop {
        let since = Instant::now();
        let Some(frame) = next_frame(body.frame(), limits, end).await? else { break };
        // One wait counts for no more than it may last, also where this machine stood still meanwhile.
        let waited = since.elapsed().min(limits.idle_max);
        // Trailers carry nothing that is used here.
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len() as u64;
        rate.add(waited, data.len() as u64);
        if bytes > limits.bytes_max {
            return Err(IngestError::TooLarge { max: limits.bytes_max });
        }
        if let Some(waited) = rate.is_below(limits.bytes_per_s_min, limits.idle_max) {
            return Err(IngestError::TimedOut { what: "next to nothing came in", limit: waited });
        }
        if let Some(room) = &mut room {
            room.grow_to(bytes)?;
        }
        if known.is_none() {
            known = look(Some(&data))?;
        }
        batch.push(data);
        if known.is_some() && batch.bytes() >= Active::batch_bytes() {
            open(&mut disk, dir).await?.0.push(batch.take()).await?;
        }
    }
    if bytes == 0 {
        return Err(IngestError::Empty);
    }
    let known = match known {
        Some(known) => known,
        None => look(None)?.ok_or_else(NotVideo::default)?,
    };
    open(&mut disk, dir).await?;
    let Some((sink, file)) = disk else { unreachable!("opened above") };
    let (_, digest) = sink.finish(batch.take()).await?;
    let sha256 = ContentId(digest);
    if let Some(announced) = limits.announced.filter(|announced| *announced != sha256) {
        return Err(IngestError::DigestMismatch { announced, got: sha256 });
    }
    Ok((Received { sha256, bytes, file, room }, known))
}

/// Where a stream is looked for that was cut, so many bytes more are worth another look.
const LOOK_AGAIN_BYTES: usize = 4096;

/// What of an upload came first: which container it is, is told by that.
#[derive(Clone, Debug, Default)]
pub(super) struct First {
    head: Vec<u8>,
    /// How many bytes there were at the last look.
    looked_at: usize,
}

impl First {
    /// Whether more of it is of any use.
    pub(super) const fn is_full(&self) -> bool {
        self.head.len() == HEAD_BYTES_MAX
    }

    /// The container as soon as the first bytes tell it; refused once there are enough of them to be sure.
    pub(super) fn see(&mut self, data: &[u8]) -> Result<Option<Container>, NotVideo> {
        self.head.extend_from_slice(&data[..data.len().min(HEAD_BYTES_MAX - self.head.len())]);
        let (head, full) = (&self.head, self.is_full());
        if self.looked_at >= HEAD_BYTES && !full && head.len() < self.looked_at + LOOK_AGAIN_BYTES {
            return Ok(None);
        }
        self.looked_at = head.len();
        match sniff(head) {
            _ if head.len() < HEAD_BYTES_MIN => Ok(None),
            Err(NotVideo { .. }) if head.len() < HEAD_BYTES || (!full && may_be_cut(head)) => Ok(None),
            decided => decided.map(Some),
        }
    }

    /// The container of what ends here.
    pub(super) fn decide(&self) -> Result<Container, NotVideo> {
        sniff(&self.head)
    }
}

pub(super) async fn next_frame<F, E>(
    frame: impl Future<Output = Option<Result<F, E>>>,
    limits: &Limits,
    end: Instant,
) -> Result<Option<F>, IngestError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let idle_end = Instant::now() + limits.idle_max;
    match timeout_at(idle_end.min(end), frame).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(error))) => Err(IngestError::Body(error.into())),
        Err(_) if end <= idle_end => {
            Err(IngestError::TimedOut { what: "all of it has to come within", limit: limits.total_max })
        }
        Err(_) => Err(IngestError::TimedOut { what: "nothing came for", limit: limits.idle_max }),
    }
}

/// Opens the file at the first need: what is refused by its first bytes never touches the disk.
async fn open<'a>(
    disk: &'a mut Option<(Sink, Scratch)>,
    dir: &DataDir,
) -> io::Result<&'a mut (Sink, Scratch)> {
    if disk.is_none() {
        let (here, dir) = (dir.clone(), dir.clone());
        let (file, scratch) =
            spawn_blocking(move || here.scratch_file("upload-")).await.map_err(io::Error::other)??;
        *disk = Some((Sink::new(file, dir), scratch));
    }
    Ok(disk.as_mut().unwrap_or_else(|| unreachable!("filled above")))
}
