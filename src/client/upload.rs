//! One file to one node, and the result onto disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::AsyncWriteExt;

use super::body::FileBody;
use super::http::{broken, refuse};
use super::unpack::{UnpackError, unpack};
use super::{Client, ClientError, Endpoint, Names, SIGN_OF_LIFE};
use crate::content::Damage;
use crate::store::files::MEDIA_TYPE as SET_MEDIA_TYPE;

/// What a watcher of an upload hears. Called from the tasks that move the bytes: must return at once.
pub trait Progress: Send + Sync {
    /// So many more bytes of the file were read to be sent.
    fn sent(&self, bytes: u64);
    /// It was refused, and is sent again from its beginning after this time.
    fn waits(&self, _after: Duration) {}
    /// Another node stands in, or it is begun anew: why.
    fn passes_over(&self, _why: &str) {}
    /// The node has so many bytes of it; the rest is sent.
    fn resumes(&self, _offset: u64) {}
    /// The node has the file and has answered; `bytes` is the length of the result, where it said so.
    fn answered(&self, bytes: Option<u64>);
    /// So many more bytes of the result have arrived.
    fn received(&self, bytes: u64);
}

/// How long a node may take to say who it is, where no other could be asked instead.
const LAST_SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// A file that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// Where it is read.
    pub path: PathBuf,
    /// What it is called, to people and in the result's name: mostly its path.
    pub called: PathBuf,
}

impl FileSource {
    /// The file at this path, which is called so, too.
    pub fn at(path: PathBuf) -> Self {
        Self { called: path.clone(), path }
    }

    /// Its own name, without its folder.
    pub fn name(&self) -> String {
        self.called.file_name().unwrap_or(self.called.as_os_str()).to_string_lossy().into_owned()
    }
}

/// How every file of one run is sent.
#[derive(Debug)]
pub struct Upload {
    /// Shared by all.
    pub client: Client,
    /// Tried in turn, beginning with another one for each file, until one gives a result.
    pub nodes: Vec<Endpoint>,
    /// None leaves the choice to the node; several have commas between them.
    pub profile: Option<String>,
    /// Whether a result of more than one file stays the tar in which it comes.
    pub keep_tar: bool,
    /// For one file, from the first byte sent to the last one received.
    pub timeout: Duration,
    /// What the node is told to give a file; none leaves it to the node.
    pub deadline: Option<Duration>,
    /// Whether a file that is refused for want of room is sent again when its time has come, for as long as `timeout` allows.
    pub retry: bool,
    /// Whether each file is sent in parts and as a job, so that what breaks off goes on where it ended, in the next run, too.
    pub resume: bool,
    /// Where results go.
    pub names: Mutex<Names>,
}

/// What became of one file; the line that `--json` prints.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The file's own name, without its folder.
    pub name: String,
    /// HTTP status; null where no node answered.
    pub status: Option<u16>,
    /// Length of the file.
    pub bytes_in: u64,
    /// Length of the result.
    pub bytes_out: Option<u64>,
    /// From the first byte sent to the result on disk.
    pub ms: u64,
    /// Who transcoded it.
    pub served_by: Option<String>,
    /// The nodes and zones that it went through.
    pub route: Option<String>,
    /// `hit`, `miss` or `joined`.
    pub cache: Option<String>,
    /// What of the file could not be read, in words; absent where all of it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The result.
    pub output: Option<PathBuf>,
    /// All results, where a job has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<PathBuf>,
    /// What went wrong; absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a file did not come back.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("cannot read it: {0}")]
    Read(io::Error),
    #[error(
        "cannot note where the upload is, so that the next run goes on there: {0}; is XDG_STATE_HOME or HOME writable?"
    )]
    Note(io::Error),
    #[error(transparent)]
    Node(#[from] ClientError),
    #[error("{error}; {bytes} bytes of it are there for now: the same command goes on with them")]
    Left { error: ClientError, bytes: u64 },
    #[error("cannot write the result into {}: {source}", .folder.display())]
    Write { folder: PathBuf, source: io::Error },
}

impl UploadError {
    /// A node has refused it, and does so again.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Node(ClientError::Refused { .. }))
    }
}

impl Outcome {
    /// Of what could not be sent at all, and why.
    pub fn unsent(file: &FileSource, why: String) -> Self {
        Self {
            name: file.name(),
            status: None,
            bytes_in: 0,
            bytes_out: None,
            ms: 0,
            served_by: None,
            route: None,
            cache: None,
            damage: None,
            output: None,
            outputs: Vec::new(),
            error: Some(why),
        }
    }
}

pub(super) struct Saved {
    headers: HeaderMap,
    output: PathBuf,
    bytes: u64,
}

impl Upload {
    /// Sends one file, the `index`th of the run. Never fails as such: what went wrong is in the outcome.
    pub async fn send(&self, index: usize, file: &FileSource, progress: Arc<dyn Progress>) -> Outcome {
        let started = Instant::now();
        let name = file.name();
        let bytes_in = tokio::fs::metadata(&file.path).await.map_or(0, |meta| meta.len());
        let result = if self.resume {
            self.send_in_parts(index, file, Arc::clone(&progress)).await
        } else {
            self.send_whole(index, file, &name, started, progress).await.map(|saved| vec![saved])
        };
        let ms = started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        match result {
            Ok(mut saved) => {
                // A job has one result at least, and what several say of themselves is said of the first.
                let outputs = saved.iter().map(|saved| saved.output.clone());
                let outputs = if saved.len() > 1 { outputs.collect() } else { Vec::new() };
                let bytes = saved.iter().map(|saved| saved.bytes).sum();
                let first = (!saved.is_empty()).then(|| saved.swap_remove(0));
                let header = |name| first.as_ref().and_then(|first| text(&first.headers, name));
                Outcome {
                    name,
                    status: Some(200),
                    bytes_in,
                    bytes_out: Some(bytes),
                    ms,
                    served_by: header("x-served-by"),
                    route: header("x-route"),
                    cache: header("x-cache"),
                    damage: header("x-input-damage").map(|told| in_words(&told)),
                    output: first.map(|first| first.output),
                    outputs,
                    error: None,
                }
            }
            Err(error) => Outcome {
                status: match &error {
                    UploadError::Node(error) | UploadError::Left { error, .. } => error.status(),
                    UploadError::Write { .. } => Some(200),
                    UploadError::Read(_) | UploadError::Note(_) => None,
                },
                bytes_in,
                ms,
                ..Outcome::unsent(file, error.to_string())
            },
        }
    }

    /// Sends it as one request, again where it is to be.
    async fn send_whole(
        &self,
        index: usize,
        file: &FileSource,
        name: &str,
        started: Instant,
        progress: Arc<dyn Progress>,
    ) -> Result<Saved, UploadError> {
        let mut result = self.send_to_any(index, file, name, Arc::clone(&progress)).await;
        while self.retry
            && let Err(UploadError::Node(error)) = &result
            && let Some(after) = error.retry_after()
            && started.elapsed() + after < self.timeout
        {
            progress.waits(after);
            tokio::time::sleep(after).await;
            result = self.send_to_any(index, file, name, Arc::clone(&progress)).await;
        }
        result
    }

    async fn send_to_any(
        &self,
        index: usize,
        file: &FileSource,
        name: &str,
        progress: Arc<dyn Progress>,
    ) -> Result<Saved, UploadError> {
        // Before any node is troubled.
        open(&file.path).await?;
        let count = self.nodes.len();
        let mut last = None;
        for attempt in 0..count {
            let node = &self.nodes[(index + attempt) % count];
            // One that is frozen takes the connection and the file, and answers nothing; so may what is no node.
            let patience = if attempt + 1 < count { SIGN_OF_LIFE } else { LAST_SIGN_OF_LIFE };
            if let Err(error) = self.client.identify(node, patience.min(self.timeout)).await {
                if attempt + 1 < count {
                    progress.passes_over(&format!("another node stands in: {error}"));
                }
                last = Some(error);
                continue;
            }
            let exchange = self.exchange(node, file, name, Arc::clone(&progress));
            let error = match tokio::time::timeout(self.timeout, exchange).await {
                Ok(Ok(saved)) => return Ok(saved),
                Ok(Err(UploadError::Node(error))) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => ClientError::TimedOut { endpoint: node.clone(), after: self.timeout },
            };
            if !error.worth_another_node() {
                return Err(error.into());
            }
            if attempt + 1 < count {
                progress.passes_over(&format!("another node stands in: {error}"));
            }
            last = Some(error);
        }
        Err(last.map_or_else(
            || UploadError::Read(io::Error::new(io::ErrorKind::InvalidInput, "no node was named")),
            UploadError::Node,
        ))
    }

    async fn exchange(
        &self,
        node: &Endpoint,
        file: &FileSource,
        name: &str,
        progress: Arc<dyn Progress>,
    ) -> Result<Saved, UploadError> {
        let (opened, bytes) = open(&file.path).await?;
        let body = FileBody::new(opened, bytes, Arc::clone(&progress)).boxed();
        let request = Request::post(node.uri(&upload_path(self.profile.as_deref())))
            .header(CONTENT_TYPE, media_type(&file.called))
            .header("x-filename", header_value(name));
        let request = match self.deadline {
            Some(deadline) => request.header("x-deadline-ms", deadline.as_millis() as u64),
            None => request,
        };
        let request = request.body(body).map_err(|error| broken(node, &error))?;
        let response = refuse(node, self.client.send(node, request).await?).await?;
        self.save(node, &file.called, self.profile.as_deref(), response, progress.as_ref()).await
    }

    /// The result goes into a temporary file beside its final place, which gets its name only when it is whole.
    pub(super) async fn save(
        &self,
        node: &Endpoint,
        file: &Path,
        profile: Option<&str>,
        response: Response<Incoming>,
        progress: &dyn Progress,
    ) -> Result<Saved, UploadError> {
        let (head, mut body) = response.into_parts();
        let length = text(&head.headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        progress.answered(length);
        let media_type = text(&head.headers, CONTENT_TYPE.as_str());
        let unpacked = media_type.as_deref() == Some(SET_MEDIA_TYPE) && !self.keep_tar;
        let output = {
            let mut names = self.names.lock();
            if unpacked {
                names.folder(file, profile)
            } else {
                names.name(file, profile, media_type.as_deref())
            }
        };
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let write = |source| UploadError::Write { folder: folder.clone(), source };
        let (temporary, sink) = blocking({
            let folder = folder.clone();
            move || temporary(&folder)
        })
        .await
        .map_err(write)?;
        let mut sink = tokio::fs::File::from_std(sink);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(node, &error))?;
            if let Some(data) = frame.data_ref() {
                sink.write_all(data).await.map_err(write)?;
                bytes += data.len() as u64;
                progress.received(data.len() as u64);
            }
        }
        sink.flush().await.map_err(write)?;
        if bytes == 0 {
            let reason = "an empty result".to_owned();
            return Err(ClientError::Nonsense { endpoint: node.clone(), reason }.into());
        }
        let output = if unpacked {
            let several = profile.is_some_and(|profile| profile.contains(','));
            let unpack = move || Ok(unpack(temporary.as_file(), &output, several).map(|()| output));
            blocking(unpack).await.map_err(write)?.map_err(|error| match error {
                UnpackError::Write(source) => write(source),
                UnpackError::Tar(error) => {
                    let reason = format!("a set of files that is none: {error}");
                    ClientError::Nonsense { endpoint: node.clone(), reason }.into()
                }
            })?
        } else {
            let persist = move || match temporary.persist(&output) {
                Ok(_) => Ok(output),
                Err(error) => Err(error.error),
            };
            blocking(persist).await.map_err(write)?
        };
        Ok(Saved { headers: head.headers, output, bytes })
    }
}

/// What a node says of a damage, for people; as it stands where it is not known here.
fn in_words(told: &str) -> String {
    told.parse::<Damage>().map_or_else(|_| told.to_owned(), |damage| damage.in_words())
}

/// Readable by whom the umask says, unlike the usual private temporary file: it becomes the result.
fn temporary(folder: &Path) -> io::Result<(tempfile::NamedTempFile, std::fs::File)> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder)?;
    let file = tempfile::Builder::new()
        .prefix(".starling-")
        .suffix(".part")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    let handle = file.reopen()?;
    Ok((file, handle))
}

/// Opens a file that is to be sent; with its size, in bytes.
pub(super) async fn open(file: &Path) -> Result<(tokio::fs::File, u64), UploadError> {
    // Asked before it is opened: to open a named pipe waits for a program that writes to it.
    if !tokio::fs::metadata(file).await.map_err(UploadError::Read)?.is_file() {
        return Err(no_file());
    }
    let opened = tokio::fs::File::open(file).await.map_err(UploadError::Read)?;
    let meta = opened.metadata().await.map_err(UploadError::Read)?;
    if !meta.is_file() {
        return Err(no_file());
    }
    Ok((opened, meta.len()))
}

fn no_file() -> UploadError {
    let why =
        "it is not a file; what comes from a pipe is sent as standard input, with - in the place of the file";
    UploadError::Read(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// Disks can be slow; the threads of the runtime have other files to move.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Control characters are all that a header cannot carry.
pub(super) fn header_value(name: &str) -> HeaderValue {
    let clean: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    HeaderValue::from_bytes(clean.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("upload"))
}

/// Where an upload goes, and the profiles that are asked for.
pub(super) fn upload_path(profile: Option<&str>) -> String {
    format!("/upload{}", query(profile))
}

/// What names the profiles that are asked for.
pub(super) fn query(profile: Option<&str>) -> String {
    let Some(profile) = profile else { return String::new() };
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("profile", profile).finish();
    format!("?{query}")
}

/// A hint only; nodes look at the bytes.
pub(super) fn media_type(file: &Path) -> &'static str {
    match file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
        Some("webm") => "video/webm",
        Some("mkv") => "video/x-matroska",
        Some("mov") => "video/quicktime",
        Some("avi") => "video/x-msvideo",
        Some("ts" | "m2ts") => "video/mp2t",
        _ => "video/mp4",
    }
}
