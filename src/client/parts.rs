//! One file as a job, sent so that what broke off goes on where it ended: by draft-ietf-httpbis-resumable-upload.
//!
//! Where an upload is, is noted in the user's state folder until its result is here, so that the next run goes on, too.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Method, Request, Response};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::AsyncSeekExt;

use super::body::FileBody;
use super::http::{broken, nonsense, read, refuse};
use super::upload::{FileSource, Saved, UploadError, header_value, open, query, text};
use super::{Client, ClientError, Endpoint, Jobs, Progress, SIGN_OF_LIFE, Upload};
use crate::api::{HEADER, JobJson, JobState, OutputJson};
use crate::content::ContentId;
use crate::jobs::JobId;

/// Pause before the next try, at first and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest that nothing moves of a part: then its connection is dead, whatever TCP hopes for.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How often it is asked how far the job is.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where an upload is noted: by what is sent and what is asked for, so that no other file goes on with it.
struct Note(Option<PathBuf>);

impl Note {
    /// Of this content and what is asked for. Without a state folder nothing is noted.
    fn of(content: ContentId, upload: &Upload) -> Self {
        let asked = upload.profile.as_deref().unwrap_or_default();
        let key = format!("{content}\n{asked}\n{:?}", upload.deadline);
        Self(folder().map(|folder| folder.join(ContentId::of(key.as_bytes()).to_string())))
    }

    fn read(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.0.as_ref()?).ok()?;
        let path = text.trim();
        path.starts_with("/uploads/").then(|| path.to_owned())
    }

    fn write(&self, upload: &str) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, format!("{upload}\n").as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    fn forget(&self) -> io::Result<()> {
        match self.0.as_ref().map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Where programs of this user keep what lasts (XDG Base Directory Specification).
fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("starling/uploads"))
}

/// Sees whether anything moves.
struct Watch {
    progress: Arc<dyn Progress>,
    moved: Mutex<Instant>,
}

impl Watch {
    /// Resolves when nothing has moved for too long.
    async fn stalled(&self) {
        loop {
            let until = *self.moved.lock() + STALL_MAX;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

impl Progress for Watch {
    fn sent(&self, bytes: u64) {
        *self.moved.lock() = Instant::now();
        self.progress.sent(bytes);
    }

    fn answered(&self, bytes: Option<u64>) {
        self.progress.answered(bytes);
    }

    fn received(&self, bytes: u64) {
        self.progress.received(bytes);
    }
}

/// How far an upload is.
struct Way {
    /// What is sent.
    content: ContentId,
    /// Where it is.
    at: Option<String>,
    note: Note,
    /// A node has answered in this run.
    met: bool,
    /// Bytes that were there when it was last asked.
    offset: u64,
    /// How often its node was away, or it was not there any more.
    strikes: u32,
}

/// So often its node may be away before it is begun anew at another one: a node that starts again is back within seconds.
const STRIKES_MAX: u32 = 4;

/// What becomes of an upload after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It is gone on with, if there is another try.
    GoOn,
    /// It can become nothing.
    End,
    /// It is begun anew: why.
    Anew(&'static str),
}

impl Way {
    /// What becomes of it after this error.
    fn after(&mut self, error: &ClientError, nodes: usize) -> After {
        if self.at.is_none() {
            return After::GoOn;
        }
        // Where there is no other node, this one is waited for.
        let is_away = matches!(error, ClientError::Unreachable { .. }) && nodes > 1;
        match error.status() {
            Some(400 | 410 | 413 | 415 | 422) => After::End,
            Some(404) => After::Anew("the node knows the upload no more: it is begun anew"),
            Some(507) => {
                After::Anew("no room on the node's disk: it is begun anew, elsewhere if that can be")
            }
            Some(503) => self.strike(),
            _ if is_away => self.strike(),
            _ => After::GoOn,
        }
    }

    fn strike(&mut self) -> After {
        self.strikes += 1;
        if self.strikes < STRIKES_MAX {
            return After::GoOn;
        }
        After::Anew("the node that has the first part of it is away: it is begun anew at another one")
    }

    /// It is not gone on with; where it was.
    fn give_up(&mut self) -> Result<Option<String>, UploadError> {
        self.note.forget().map_err(UploadError::Note)?;
        (self.offset, self.strikes) = (0, 0);
        Ok(self.at.take())
    }

    /// An error with what is there all the same.
    fn left(&self, error: UploadError) -> UploadError {
        match (error, &self.at) {
            (UploadError::Node(error), Some(_)) => UploadError::Left { error, bytes: self.offset },
            (error, _) => error,
        }
    }
}

/// SHA-256 of all of a file.
async fn digest(mut file: std::fs::File) -> io::Result<ContentId> {
    let read = move || {
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        Ok(ContentId(hash.finalize().into()))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

impl Upload {
    /// Sends one file in parts and as a job, waits for that and saves its results; the `index`th of the run.
    pub(super) async fn send_in_parts(
        &self,
        index: usize,
        file: &FileSource,
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<Saved>, UploadError> {
        let end = Instant::now() + self.timeout;
        let (opened, _) = open(&file.path).await?;
        // Read once before: what is sent has to be one file, whatever happens to it meanwhile, and in the next run the same.
        let content = digest(opened.into_std().await).await.map_err(UploadError::Read)?;
        let mut tries = Tries { upload: self, index, count: 0, end, pause: PAUSE_MIN };
        let note = Note::of(content, self);
        let mut way = Way { content, at: note.read(), note, met: false, offset: 0, strikes: 0 };
        let job = loop {
            let node = tries.node()?;
            let (at, before) = (way.at.clone(), way.offset);
            let part = self.part(node, file, &mut way, Arc::clone(&progress));
            let error = match tokio::time::timeout_at(end.into(), part).await {
                Ok(Ok(job)) => break job,
                Ok(Err(UploadError::Node(error))) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => ClientError::TimedOut { endpoint: node.clone(), after: self.timeout },
            };
            if way.offset > before && at == way.at {
                tries.pause = PAUSE_MIN;
            }
            let after = way.after(&error, self.nodes.len());
            if after != After::GoOn
                && let Some(path) = way.give_up()?
            {
                // Nobody goes on with it; where its node is away, it is forgotten there in time.
                if let Err(error) = ask(&self.client, node, Request::delete(node.uri(&path))).await {
                    tracing::debug!(%error, upload = path, "an upload that is given up stays");
                }
            }
            if let After::Anew(why) = after {
                progress.passes_over(why);
                if error.status() != Some(507) {
                    tries.count += 1;
                    tries.rest(error, progress.as_ref()).await.map_err(|error| way.left(error))?;
                    continue;
                }
            }
            let begun = way.met && way.at.is_some();
            tries.again(error, begun, progress.as_ref()).await.map_err(|error| way.left(error))?;
        };
        progress.resumes(open(&file.path).await?.1);
        progress.sent(0);
        let job = match self.ended(&mut tries, &job, progress.as_ref()).await {
            Ok(job) if job.content == content => job,
            Ok(job) => {
                let why =
                    format!("the job {} is of another video: {}, and not {content}", job.id, job.content);
                way.give_up()?;
                return Err(nonsense(tries.node()?, &why).into());
            }
            Err(error) => {
                // What failed is not gone on with: the next run begins anew.
                if error.is_refusal() {
                    way.give_up()?;
                }
                return Err(error);
            }
        };
        let mut saved = Vec::new();
        for output in &job.outputs {
            saved.push(self.fetch(&mut tries, file, output, progress.as_ref()).await?);
        }
        way.give_up()?;
        Ok(saved)
    }

    fn late(&self, node: &Endpoint) -> UploadError {
        ClientError::TimedOut { endpoint: node.clone(), after: self.timeout }.into()
    }

    /// Begins an upload, or asks how far it is, and sends the rest.
    async fn part(
        &self,
        node: &Endpoint,
        file: &FileSource,
        way: &mut Way,
        progress: Arc<dyn Progress>,
    ) -> Result<JobId, UploadError> {
        self.client.identify(node, SIGN_OF_LIFE.min(self.timeout)).await?;
        way.met = true;
        let (mut opened, bytes) = open(&file.path).await?;
        let (path, offset) = if let Some(path) = &way.at {
            match self.offset(node, path).await? {
                (_, Some(job)) => return Ok(job),
                (offset, None) => (path.clone(), offset),
            }
        } else {
            let path = self.begin(node, file, (bytes, way.content)).await?;
            way.note.write(&path).map_err(UploadError::Note)?;
            (way.at.insert(path).clone(), 0)
        };
        way.offset = offset;
        if offset > bytes {
            let shorter = "the file became shorter while it was sent";
            return Err(UploadError::Read(io::Error::new(io::ErrorKind::UnexpectedEof, shorter)));
        }
        opened.seek(SeekFrom::Start(offset)).await.map_err(UploadError::Read)?;
        progress.resumes(offset);
        let watch = Arc::new(Watch { progress, moved: Mutex::new(Instant::now()) });
        let body = FileBody::new(opened, bytes - offset, Arc::clone(&watch) as Arc<dyn Progress>).boxed();
        let request = Request::patch(node.uri(&path))
            .header(CONTENT_TYPE, "application/partial-upload")
            .header("upload-offset", offset)
            .header("upload-complete", "?1")
            .body(body)
            .map_err(|error| broken(node, &error))?;
        let answer = async { refuse(node, self.client.send(node, request).await?).await };
        let answer = tokio::select! {
            answer = answer => answer,
            () = watch.stalled() => {
                let reason = format!("nothing moved for {} s", STALL_MAX.as_secs());
                Err(ClientError::Broken { endpoint: node.clone(), reason })
            }
        };
        let response = answer?;
        Ok(job_of(node, &response)?.ok_or_else(|| nonsense(node, &"it names no job"))?)
    }

    async fn begin(
        &self,
        node: &Endpoint,
        file: &FileSource,
        (bytes, content): (u64, ContentId),
    ) -> Result<String, ClientError> {
        let path = format!("/uploads{}", query(self.profile.as_deref()));
        let mut request = Request::post(node.uri(&path))
            .header("upload-complete", "?0")
            .header("upload-length", bytes)
            .header(HEADER::CONTENT_SHA256, content.to_string())
            .header(HEADER::FILENAME, header_value(&file.name()));
        if let Some(deadline) = self.deadline {
            request = request.header(HEADER::DEADLINE_MS, deadline.as_millis() as u64);
        }
        let response = ask(&self.client, node, request).await?;
        let location = text(response.headers(), LOCATION.as_str());
        let location = location.filter(|path| path.starts_with("/uploads/"));
        location.ok_or_else(|| nonsense(node, &"it says not where the upload is"))
    }

    /// How far an upload is, and what it became.
    async fn offset(&self, node: &Endpoint, path: &str) -> Result<(u64, Option<JobId>), ClientError> {
        let response = ask(&self.client, node, Request::head(node.uri(path))).await?;
        let offset = text(response.headers(), "upload-offset").and_then(|offset| offset.parse().ok());
        let offset = offset.ok_or_else(|| nonsense(node, &"it says not how far the upload is"))?;
        Ok((offset, job_of(node, &response)?))
    }

    /// The job when it is done.
    async fn ended(
        &self,
        tries: &mut Tries<'_>,
        id: &JobId,
        progress: &dyn Progress,
    ) -> Result<JobJson, UploadError> {
        loop {
            let node = tries.node()?;
            match Jobs::of(&self.client, node).show(id).await {
                Err(error) => tries.again(error, true, progress).await?,
                Ok(job) => match job.state {
                    JobState::Done => return Ok(job),
                    JobState::Failed | JobState::Cancelled => return Err(not_done(&job).into()),
                    _ => {
                        tries.pause = PAUSE_MIN;
                        tokio::time::sleep(LOOK_INTERVAL).await;
                    }
                },
            }
        }
    }

    async fn fetch(
        &self,
        tries: &mut Tries<'_>,
        file: &FileSource,
        output: &OutputJson,
        progress: &dyn Progress,
    ) -> Result<Saved, UploadError> {
        loop {
            let node = tries.node()?;
            let fetched = async {
                let response = ask(&self.client, node, Request::get(node.uri(&output.href))).await?;
                self.save(node, &file.called, Some(output.profile.as_str()), response, progress).await
            };
            match tokio::time::timeout_at(tries.end.into(), fetched).await {
                Ok(Ok(saved)) => return Ok(saved),
                Ok(Err(UploadError::Node(error))) => tries.again(error, true, progress).await?,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(self.late(node)),
            }
        }
    }
}

/// Asks without a body, and has the answer if it is no refusal.
async fn ask(
    client: &Client,
    node: &Endpoint,
    request: hyper::http::request::Builder,
) -> Result<Response<hyper::body::Incoming>, ClientError> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    let request = request.body(body).map_err(|error| broken(node, &error))?;
    let is_head = request.method() == Method::HEAD;
    let response = client.send(node, request).await?;
    if is_head && !response.status().is_success() {
        // It says no more than its status.
        let status = response.status();
        let text = format!("{node} answered {status} when it was asked how far the upload is");
        read(node, response).await?;
        return Err(ClientError::Refused { status: status.as_u16(), text, retry_after: None });
    }
    refuse(node, response).await
}

fn job_of<B>(node: &Endpoint, response: &Response<B>) -> Result<Option<JobId>, ClientError> {
    let job = text(response.headers(), HEADER::JOB);
    job.map(|job| job.parse().map_err(|error| nonsense(node, &error))).transpose()
}

/// The job has come to an end that is no result.
fn not_done(job: &JobJson) -> ClientError {
    let (status, text) = match &job.problem {
        Some(problem) => (problem.status, format!("{} ({})", problem.detail, problem.status)),
        None => (410, format!("the job {} was cancelled", job.id)),
    };
    ClientError::Refused { status, text, retry_after: None }
}

/// Tries of one file, each at another node.
struct Tries<'a> {
    upload: &'a Upload,
    index: usize,
    count: usize,
    end: Instant,
    pause: Duration,
}

impl<'a> Tries<'a> {
    fn node(&self) -> Result<&'a Endpoint, UploadError> {
        let nodes = &self.upload.nodes;
        let at = (self.index + self.count).checked_rem(nodes.len());
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no node was named");
        at.map(|at| &nodes[at]).ok_or_else(|| UploadError::Read(none()))
    }

    /// After a failure: the next try, at the next node, unless there is no use in one. Where nothing has begun yet each node is tried once.
    async fn again(
        &mut self,
        error: ClientError,
        begun: bool,
        progress: &dyn Progress,
    ) -> Result<(), UploadError> {
        self.count += 1;
        let all_tried = self.count.is_multiple_of(self.upload.nodes.len());
        let passes = match &error {
            ClientError::Unreachable { .. } | ClientError::Broken { .. } | ClientError::TimedOut { .. } => {
                begun || !all_tried
            }
            // Another request has it, or the node where it is comes back.
            ClientError::Refused { status: 409 | 423 | 500 | 502 | 503 | 507, .. } if begun => true,
            ClientError::Refused { status: 429 | 503, .. } => self.upload.retry || !all_tried,
            // It is gone, or there is no room for it: begun anew, at another node where there is one.
            ClientError::Refused { status: 404, .. } => true,
            ClientError::Refused { status: 500 | 502 | 507, .. } => !all_tried,
            _ => false,
        };
        if !passes {
            return Err(error.into());
        }
        if !all_tried && !begun {
            return Ok(());
        }
        self.rest(error, progress).await
    }

    /// Some time until the next try, longer each time.
    async fn rest(&mut self, error: ClientError, progress: &dyn Progress) -> Result<(), UploadError> {
        let pause = error.retry_after().unwrap_or(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if Instant::now() + pause >= self.end {
            return Err(error.into());
        }
        progress.waits(pause);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
