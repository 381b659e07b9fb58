//! One file as a job, sent so that what broke off goes on where it ended: by draft-ietf-httpbis-resumable-upload.
//!
//! Where an upload is, is noted in the user's state folder until its result is here, so that the next run goes on, too.

use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Method, Request, Response};
use parking_lot::Mutex;
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

/// Where an upload is noted.
struct Note(Option<PathBuf>);

impl Note {
    /// Of this file as it is now, for this profile. Without a state folder, and of standard input, nothing is noted.
    fn of(file: &Path, profile: Option<&str>) -> io::Result<Self> {
        let path = file.canonicalize()?;
        let meta = path.metadata()?;
        if path.starts_with("/proc") || !path.is_file() {
            return Ok(Self(None));
        }
        let key = format!(
            "{}\n{}\n{}.{:09}\n{}",
            path.display(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            profile.unwrap_or_default()
        );
        Ok(Self(folder().map(|folder| folder.join(ContentId::of(key.as_bytes()).to_string()))))
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

/// How far a try came.
enum Step {
    /// All of it is there, and is this job.
    Job(JobId),
    /// There is no such upload any more.
    Gone,
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
        open(&file.path).await?;
        let note = Note::of(&file.path, self.profile.as_deref()).map_err(UploadError::Read)?;
        let mut tries = Tries { upload: self, index, count: 0, end, pause: PAUSE_MIN };
        let (mut at, mut met) = (note.read(), false);
        let job = loop {
            let node = tries.node()?;
            let part = self.part(node, file, (&mut at, &note, &mut met), Arc::clone(&progress));
            match tokio::time::timeout_at(end.into(), part).await {
                Ok(Ok(Step::Job(job))) => break job,
                Ok(Ok(Step::Gone)) => {
                    at = None;
                    note.forget().map_err(UploadError::Note)?;
                }
                Ok(Err(UploadError::Node(error))) => {
                    // What can be nothing the node has forgotten, too.
                    if matches!(error.status(), Some(400 | 410 | 413 | 415 | 422)) {
                        note.forget().map_err(UploadError::Note)?;
                    }
                    tries.again(error, met && at.is_some(), progress.as_ref()).await?;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(self.late(node)),
            }
        };
        // It may have been whole before this run.
        progress.resumes(open(&file.path).await?.1);
        progress.sent(0);
        let job = self.ended(&mut tries, &job, progress.as_ref()).await?;
        let mut saved = Vec::new();
        for output in &job.outputs {
            saved.push(self.fetch(&mut tries, file, output, progress.as_ref()).await?);
        }
        note.forget().map_err(UploadError::Note)?;
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
        (at, note, met): (&mut Option<String>, &Note, &mut bool),
        progress: Arc<dyn Progress>,
    ) -> Result<Step, UploadError> {
        self.client.identify(node, SIGN_OF_LIFE.min(self.timeout)).await?;
        *met = true;
        let (mut opened, bytes) = open(&file.path).await?;
        let (path, offset) = if let Some(path) = at {
            match self.offset(node, path).await {
                Err(ClientError::Refused { status: 404, .. }) => return Ok(Step::Gone),
                Err(error) => return Err(error.into()),
                Ok((_, Some(job))) => return Ok(Step::Job(job)),
                Ok((offset, None)) => (path.clone(), offset),
            }
        } else {
            let path = self.begin(node, file, bytes).await?;
            note.write(&path).map_err(UploadError::Note)?;
            (at.insert(path).clone(), 0)
        };
        if offset > bytes {
            return Ok(Step::Gone);
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
        let response = match answer {
            Err(ClientError::Refused { status: 404, .. }) => return Ok(Step::Gone),
            response => response?,
        };
        Ok(Step::Job(job_of(node, &response)?.ok_or_else(|| nonsense(node, &"it names no job"))?))
    }

    async fn begin(&self, node: &Endpoint, file: &FileSource, bytes: u64) -> Result<String, ClientError> {
        let path = format!("/uploads{}", query(self.profile.as_deref()));
        let mut request = Request::post(node.uri(&path))
            .header("upload-complete", "?0")
            .header("upload-length", bytes)
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
            ClientError::Refused { status: 500 | 502 | 507, .. } => !all_tried,
            _ => false,
        };
        if !passes {
            return Err(error.into());
        }
        if !all_tried && !begun {
            return Ok(());
        }
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
