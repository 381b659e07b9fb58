use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use sha1::Sha1;
use sha2::Digest;
use tokio::sync::Notify;

use super::*;
use crate::events::Events;
use crate::jobs::testing::wish;
use crate::store::testing::mp4;
use crate::store::{AppendError, DataDir, PerClient};

const CLIENT: ClientTag = ClientTag(7);

struct Rig {
    folder: tempfile::TempDir,
    incoming: Arc<Budget>,
}

fn rig() -> Rig {
    Rig { folder: tempfile::tempdir().unwrap(), incoming: Budget::new(1 << 30, PerClient::AsMuchAsIsLeft) }
}

fn at(offset: u64) -> Given {
    Given { offset, length: None, last: false, checksum: None }
}

fn full(bytes: &[u8]) -> Full<Bytes> {
    Full::new(Bytes::copy_from_slice(bytes))
}

impl Rig {
    fn store(&self) -> Store {
        let dir = DataDir::open(self.folder.path().join("data")).unwrap();
        Store::open(dir, 1 << 20, "test", Events::default()).unwrap()
    }

    /// The uploads as a process finds them that begins now.
    async fn begin(&self, idle_max: Duration) -> Uploads {
        let bounds = (idle_max, 3);
        let uploads = Uploads::new("a".parse().unwrap(), self.store(), Arc::clone(&self.incoming), bounds);
        uploads.resume().await.unwrap();
        uploads
    }

    fn files(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.folder.path().join("data/uploads")).unwrap();
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn path(&self, id: &UploadId) -> std::path::PathBuf {
        self.folder.path().join(format!("data/uploads/{}.part", id.number))
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn new(uploads: &Uploads, length: usize) -> UploadId {
    uploads.create((CLIENT, wish()), (Some(length as u64), None), None).await.unwrap().id
}

async fn send(uploads: &Uploads, id: &UploadId, given: Given, bytes: &[u8]) -> Result<Shown, UploadError> {
    uploads.append(id, given, full(bytes), &Limits::default()).await
}

/// The job that an upload becomes, and what it is made of.
async fn finish(uploads: &Uploads, id: &UploadId) -> Result<Option<(JobId, Ask, Vec<u8>)>, UploadError> {
    let taken = Arc::new(Mutex::new(None));
    let (keep, node) = (Arc::clone(&taken), "a".parse().unwrap());
    let accept = move |client, ask: Ask, upload: Upload| async move {
        assert_eq!(client, CLIENT);
        let job = JobId { number: JobNumber::of_now(), node };
        *keep.lock() = Some((job.clone(), ask, std::fs::read(&upload.file).unwrap()));
        Ok(job)
    };
    let job = uploads.finish(id, accept).await?;
    let taken = taken.lock().take();
    assert_eq!(job.is_some(), taken.is_some());
    Ok(taken)
}

#[tokio::test]
async fn parts_become_one_job_whatever_their_sizes() {
    let (rig, body) = (rig(), mp4(300_000));
    let uploads = rig.begin(DAY).await;
    let id = new(&uploads, body.len()).await;
    let mut sent = 0;
    for size in [1, 7, 30, 2000, 150_000, usize::MAX] {
        assert_eq!(finish(&uploads, &id).await.unwrap(), None, "not whole yet");
        let end = body.len().min(sent + size.min(body.len()));
        let shown = send(&uploads, &id, at(sent as u64), &body[sent..end]).await.unwrap();
        assert_eq!(shown.plan.offset, end as u64);
        sent = end;
    }
    assert_eq!(rig.incoming.used_bytes(), 300_000);
    let (job, ask, made_of) = finish(&uploads, &id).await.unwrap().unwrap();
    assert_eq!((ask.content, ask.bytes), (ContentId::of(&body), 300_000));
    assert!(made_of == body);
    // It is told of the job, is not made one twice, and keeps nothing but its plan.
    let shown = uploads.settled(&id).await.unwrap();
    assert_eq!(shown.plan.job.as_ref(), Some(&job));
    let again = uploads.finish(&id, |_, _, _| async { panic!("made a job twice") }).await.unwrap();
    assert_eq!(again, Some(job));
    assert_eq!((rig.files().len(), uploads.unfinished()), (1, (0, 0)));
    // What a client says once more that did not get the answer is no fault; more is.
    assert!(send(&uploads, &id, at(300_000), b"").await.is_ok());
    let more = send(&uploads, &id, at(300_000), b"x").await.unwrap_err();
    assert!(matches!(more, UploadError::Complete { offset: 300_000 }), "{more}");
    uploads.end(&id).await.unwrap();
    assert!(rig.files().is_empty());
    assert!(matches!(uploads.settled(&id).await, Err(UploadError::NotFound(_))));
}

#[tokio::test]
async fn what_came_of_a_broken_request_stays() {
    let (rig, body) = (rig(), mp4(100_000));
    let uploads = rig.begin(DAY).await;
    let id = new(&uploads, body.len()).await;
    let frames = [
        Ok(Frame::data(Bytes::copy_from_slice(&body[..60_000]))),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    let broken = StreamBody::new(stream::iter(frames));
    let error = uploads.append(&id, at(0), broken, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, UploadError::Append(AppendError::Ingest(IngestError::Body(_)))), "{error}");
    assert_eq!(uploads.settled(&id).await.unwrap().plan.offset, 60_000);
    let error = send(&uploads, &id, at(0), &body).await.unwrap_err();
    assert!(matches!(error, UploadError::Offset { expected: 60_000, given: 0 }), "{error}");
    send(&uploads, &id, at(60_000), &body[60_000..]).await.unwrap();
    let (_, ask, _) = finish(&uploads, &id).await.unwrap().unwrap();
    assert_eq!(ask.content, ContentId::of(&body));
}

#[tokio::test]
async fn a_process_that_begins_goes_on_where_another_one_ended() {
    let (rig, body) = (rig(), mp4(200_000));
    let id = {
        let uploads = rig.begin(DAY).await;
        let id = new(&uploads, body.len()).await;
        send(&uploads, &id, at(0), &body[..120_000]).await.unwrap();
        id
    };
    // What was not made safe may be there, or not: here there is more than was promised.
    let mut part = std::fs::OpenOptions::new().append(true).open(rig.path(&id)).unwrap();
    io::Write::write_all(&mut part, &[0; 5000]).unwrap();
    // And what a crash leaves that nobody was told of.
    let uploads_dir = rig.folder.path().join("data/uploads");
    std::fs::write(uploads_dir.join("00000000000000000000000000000001.part"), "x").unwrap();
    std::fs::write(uploads_dir.join(format!("{}.plan.new", id.number)), "{").unwrap();
    let uploads = rig.begin(DAY).await;
    assert_eq!(rig.files().len(), 2);
    assert_eq!(uploads.settled(&id).await.unwrap().plan.offset, 120_000);
    send(&uploads, &id, at(120_000), &body[120_000..]).await.unwrap();
    drop(uploads);
    // It ended before the upload was made a job.
    let uploads = rig.begin(DAY).await;
    assert_eq!(uploads.sweep().await.unwrap(), std::slice::from_ref(&id), "it is whole, and no job yet");
    let (job, _, made_of) = finish(&uploads, &id).await.unwrap().unwrap();
    assert!(made_of == body);
    drop(uploads);
    // And again before its parts were deleted: they are the job's now, and take no room here.
    std::fs::write(rig.path(&id), &body).unwrap();
    let uploads = rig.begin(DAY).await;
    assert_eq!(uploads.settled(&id).await.unwrap().plan.job, Some(job));
    assert_eq!((rig.files().len(), rig.incoming.used_bytes()), (1, 0));
}

#[tokio::test]
async fn a_later_request_ends_an_earlier_one_and_keeps_what_that_brought() {
    let (rig, body) = (rig(), mp4(50_000));
    let uploads = Arc::new(rig.begin(DAY).await);
    let id = new(&uploads, body.len()).await;
    let taken = Arc::new(Notify::new());
    let body_begins = Begins(Some(Bytes::copy_from_slice(&body[..20_000])), Arc::clone(&taken));
    let (at_work, upload) = (Arc::clone(&uploads), id.clone());
    let stuck =
        tokio::spawn(async move { at_work.append(&upload, at(0), body_begins, &Limits::default()).await });
    taken.notified().await;
    let shown = uploads.settled(&id).await.unwrap();
    assert_eq!(shown.plan.offset, 20_000);
    let ended = stuck.await.unwrap().unwrap_err();
    assert!(matches!(ended, UploadError::Append(AppendError::Interrupted)), "{ended}");
    send(&uploads, &id, at(20_000), &body[20_000..]).await.unwrap();
    assert!(finish(&uploads, &id).await.unwrap().is_some());
}

/// A body that says something, and never anything more; it tells when it is asked for that.
struct Begins(Option<Bytes>, Arc<Notify>);

impl Body for Begins {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.0.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.1.notify_one();
        Poll::Pending
    }
}

#[tokio::test]
async fn a_checksum_speaks_for_all_of_a_part_or_none() {
    let (rig, body) = (rig(), mp4(10_000));
    let uploads = rig.begin(DAY).await;
    let id = new(&uploads, body.len()).await;
    let sha1 = |bytes: &[u8]| Some(Checksum::Sha1(Sha1::digest(bytes).into()));
    let sha256 = |bytes: &[u8]| Some(Checksum::Sha256(sha2::Sha256::digest(bytes).into()));
    let good = Given { checksum: sha1(&body[..4000]), ..at(0) };
    let wrong = send(&uploads, &id, good, &body[1..4001]).await.unwrap_err();
    assert!(matches!(wrong, UploadError::Append(AppendError::Checksum)), "{wrong}");
    let short = send(&uploads, &id, good, &body[..3999]).await.unwrap_err();
    assert!(matches!(short, UploadError::Append(AppendError::Checksum)), "{short}");
    assert_eq!(uploads.settled(&id).await.unwrap().plan.offset, 0);
    assert_eq!(send(&uploads, &id, good, &body[..4000]).await.unwrap().plan.offset, 4000);
    let rest = Given { checksum: sha256(&body[4000..]), ..at(4000) };
    send(&uploads, &id, rest, &body[4000..]).await.unwrap();
    let (_, ask, made_of) = finish(&uploads, &id).await.unwrap().unwrap();
    assert!(ask.content == ContentId::of(&body) && made_of == body);
    assert_eq!(Checksum::of("sha1", &[0; 19]), None);
    assert_eq!(Checksum::of("md5", &[0; 16]), None);
}

#[tokio::test]
async fn what_can_become_nothing_is_forgotten() {
    let rig = rig();
    let uploads = rig.begin(DAY).await;
    // No video, told by its first part or by its last.
    let id = new(&uploads, 4000).await;
    let error = send(&uploads, &id, at(0), &b"#EXTM3U\n".repeat(500)).await.unwrap_err();
    assert!(matches!(error, UploadError::Append(AppendError::Ingest(IngestError::NotVideo(_)))), "{error}");
    let id = new(&uploads, 8).await;
    send(&uploads, &id, at(0), b"#EXTM3U\n").await.unwrap();
    let error = finish(&uploads, &id).await.unwrap_err();
    assert!(matches!(error, UploadError::Append(AppendError::Ingest(IngestError::NotVideo(_)))), "{error}");
    // More than it should be; other bytes than were announced; none at all.
    let id = new(&uploads, 50).await;
    let error = send(&uploads, &id, at(0), &mp4(51)).await.unwrap_err();
    assert!(matches!(error, UploadError::Append(AppendError::Beyond { length: 50 })), "{error}");
    let announced = (Some(50), Some(ContentId::of(b"other")));
    let id = uploads.create((CLIENT, wish()), announced, None).await.unwrap().id;
    send(&uploads, &id, at(0), &mp4(50)).await.unwrap();
    let error = finish(&uploads, &id).await.unwrap_err();
    assert!(
        matches!(error, UploadError::Append(AppendError::Ingest(IngestError::DigestMismatch { .. }))),
        "{error}"
    );
    let id = new(&uploads, 0).await;
    send(&uploads, &id, at(0), b"").await.unwrap();
    let error = finish(&uploads, &id).await.unwrap_err();
    assert!(matches!(error, UploadError::Append(AppendError::Ingest(IngestError::Empty))), "{error}");
    assert!(rig.files().is_empty(), "{:?}", rig.files());
    assert_eq!((rig.incoming.used_bytes(), uploads.unfinished()), (0, (0, 0)));
}

#[tokio::test]
async fn what_cannot_be_a_job_yet_is_one_later() {
    let (rig, body) = (rig(), mp4(5000));
    let uploads = rig.begin(DAY).await;
    let id = new(&uploads, body.len()).await;
    send(&uploads, &id, at(0), &body).await.unwrap();
    let refused = uploads.finish(&id, |_, _, _| async { Err(JobError::TooMany { max: 1 }) }).await;
    assert!(matches!(refused, Err(UploadError::Job(JobError::TooMany { .. }))));
    assert_eq!(uploads.sweep().await.unwrap(), std::slice::from_ref(&id));
    let (_, _, made_of) = finish(&uploads, &id).await.unwrap().unwrap();
    assert!(made_of == body);
    // What it asks for in a name that stands for another request never will be.
    let id = new(&uploads, body.len()).await;
    send(&uploads, &id, at(0), &body).await.unwrap();
    assert!(uploads.finish(&id, |_, _, _| async { Err(JobError::KeyOfAnother) }).await.is_err());
    assert!(matches!(uploads.settled(&id).await, Err(UploadError::NotFound(_))));
}

#[tokio::test]
async fn a_client_has_so_many_and_time_ends_them() {
    let rig = rig();
    let uploads = rig.begin(Duration::ZERO).await;
    for _ in 0..3 {
        new(&uploads, 100).await;
    }
    let error = uploads.create((CLIENT, wish()), (None, None), None).await.unwrap_err();
    assert!(matches!(error, UploadError::TooManyOfClient { max: 3 }), "{error}");
    assert!(uploads.create((ClientTag(8), wish()), (None, None), None).await.is_ok(), "another client may");
    assert_eq!(uploads.unfinished().0, 4);
    assert!(uploads.sweep().await.unwrap().is_empty());
    assert_eq!((uploads.unfinished().0, rig.files().len()), (0, 0));
}

#[tokio::test]
async fn the_length_is_what_was_said_first() {
    let (rig, body) = (rig(), mp4(100));
    let uploads = rig.begin(DAY).await;
    let id = uploads.create((CLIENT, wish()), (None, None), None).await.unwrap().id;
    send(&uploads, &id, at(0), &body[..40]).await.unwrap();
    let short = Given { length: Some(39), ..at(40) };
    let error = send(&uploads, &id, short, b"").await.unwrap_err();
    assert!(matches!(error, UploadError::Length { known: 40, given: 39 }), "{error}");
    let said = Given { length: Some(100), ..at(40) };
    assert!(!send(&uploads, &id, said, &body[40..50]).await.unwrap().plan.whole);
    let other = Given { length: Some(90), ..at(50) };
    let error = send(&uploads, &id, other, &body[50..]).await.unwrap_err();
    assert!(matches!(error, UploadError::Length { known: 100, given: 90 }), "{error}");
    // Where its end is said and not its length, that counts.
    let early = Given { last: true, ..at(50) };
    let error = send(&uploads, &id, early, &body[50..60]).await.unwrap_err();
    assert!(matches!(error, UploadError::Length { known: 100, given: 60 }), "{error}");
    assert!(send(&uploads, &id, at(60), &body[60..]).await.unwrap().plan.whole);
}
