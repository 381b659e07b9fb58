//! The capped ffprobe: what is in a file, or why it is refused.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cancel::{Cancel, CancelOnDrop};
use super::child::{self, Ended, Listener};
use super::fault::{FaultClass, fault_class, reason};
use super::gate::Gate;
use super::own_time::{OwnTime, Pulse};
use super::protected;
use super::refusals::in_words;
use super::sandbox::{Allowed, Sandbox};
use super::tools::Tools;
use super::webp::{self, WebpAct};
use crate::content::{ClientTag, Lack, MediaInfo, MediaLimits};
use crate::load::CpuUse;
use crate::media::{DEMUXERS, Features, Packets, facts, packets_argv, probe_argv};
use crate::trace::spawn_blocking;

/// More than this on ffprobe's stdout is no honest file's.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Longest that reading the times of all packets of a file may take: it is not decoded, and was read to its end before.
const PACKETS_TIME_MAX: Duration = Duration::from_secs(120);
/// What ffprobe says of a file with more streams than it is allowed, before it complains of want of memory.
const TOO_MANY_STREAMS: &str = "exceeds max_streams";
/// An ffprobe that ran into its time limit and used less of it than this part waited for something that did not come.
const IDLE_PART_MAX: f64 = 0.25;
/// How many times its time limit a child may take in all, where the machine keeps from it what it needs.
const STARVED_TIMES_MAX: u32 = 12;

/// Runs ffprobe, a bounded number at once. Clones share the bound.
#[derive(Clone, Debug)]
pub struct Prober {
    tools: Arc<Tools>,
    sandbox: Sandbox,
    limits: MediaLimits,
    gate: Gate,
    cpu: Arc<CpuUse>,
}

/// Why a file was not let through.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// ffprobe can't make anything of it.
    #[error("{reason}")]
    Refused {
        /// In words for the client.
        reason: String,
    },
    /// It is of a kind that is known, and no video.
    #[error("{0}")]
    NotVideo(&'static str),
    /// It is a media file, and asks for more than this node gives.
    #[error("{what} is over this node's limit: {found}, at most {max}")]
    OverLimit {
        /// Which limit.
        what: &'static str,
        /// What the file asks for.
        found: String,
        /// What is given.
        max: String,
    },
    /// ffprobe worked on it for too long, which no honest file makes it do.
    #[error(
        "to look at what is in it takes more than {0:?} of work, which that of no usual video does: convert it to MP4 first"
    )]
    TimedOut(Duration),
    /// ffprobe came to grief. The file may have made it, or this node: another node can tell.
    #[error("ffprobe {how} on this node: {said}")]
    Crashed {
        /// In which way.
        how: String,
        /// What it said.
        said: String,
    },
    /// ffprobe could not be run, was killed, or failed for want of what the node has to give; not the file's fault.
    #[error("ffprobe can't be run on this node: {0}")]
    Tool(#[source] io::Error),
}

impl ProbeError {
    /// Whether the file is to blame, not the node.
    pub const fn is_input_fault(&self) -> bool {
        !matches!(self, Self::Tool(_) | Self::Crashed { .. })
    }
}

impl Prober {
    /// A prober that runs at most `at_once` children.
    pub fn new(tools: Arc<Tools>, sandbox: Sandbox, limits: MediaLimits, at_once: usize) -> Self {
        Self { tools, sandbox, limits, gate: Gate::new(at_once.max(1)), cpu: Arc::default() }
    }

    /// What is in this file of a client, if it is within the limits. Clients take turns. Cancel-safe: when the caller stops
    /// waiting, ffprobe ends soon.
    pub async fn probe(&self, path: &Path, client: ClientTag) -> Result<MediaInfo, ProbeError> {
        let pass = self.gate.enter(client).await;
        let cancel = Arc::new(Cancel::new().map_err(ProbeError::Tool)?);
        let guard = CancelOnDrop(Arc::clone(&cancel));
        let (this, path) = (self.clone(), path.to_owned());
        // The thread that spawns the child waits for it, as the child's death signal asks for.
        let probed = spawn_blocking(move || {
            let _pass = pass;
            this.probe_input(&path, &cancel)
        });
        let result = probed.await.map_err(|e| ProbeError::Tool(io::Error::other(e)))?;
        drop(guard);
        let info = result?;
        check(&self.limits, &info)?;
        Ok(info)
    }

    pub(super) const fn limits(&self) -> &MediaLimits {
        &self.limits
    }

    /// An ffprobe with these arguments that may read this file and nothing else.
    pub(super) fn looker(&self, argv: Vec<OsString>, path: &Path, cpu_max: Duration) -> Command {
        self.sandbox.command(&self.tools.ffprobe, argv, &allowed(path, cpu_max))
    }

    /// What ffprobe has cost.
    pub(super) fn cpu(&self) -> &CpuUse {
        &self.cpu
    }

    /// A stranger's file: what ffprobe says, and what only its bytes tell.
    fn probe_input(&self, path: &Path, cancel: &Cancel) -> Result<MediaInfo, ProbeError> {
        if protected::is_still_picture(path).map_err(ProbeError::Tool)? {
            return Err(ProbeError::NotVideo(
                "it is a picture (HEIC or AVIF) and not a video: send the video; that of a Live Photo is a .mov file of its own",
            ));
        }
        if webp::is_webp(path).map_err(ProbeError::Tool)? {
            return self.webp(path, cancel);
        }
        let mut info = self.probe_blocking(path, DEMUXERS, cancel)?;
        if info.container.starts_with("mov,") {
            let encrypted = protected::encrypted_kinds(path).map_err(ProbeError::Tool)?;
            if encrypted.video && info.video.take().is_some() {
                info.video_lack = Some(Lack::Encrypted);
            }
            if encrypted.audio && info.audio.take().is_some() {
                info.audio_lack = Some(Lack::Encrypted);
            }
        }
        Ok(info)
    }

    /// What is in a WebP, which ffprobe can't read.
    fn webp(&self, path: &Path, cancel: &Cancel) -> Result<MediaInfo, ProbeError> {
        let allowed = allowed(path, self.limits.probe_cpu_max);
        let mut command = self.sandbox.webp(WebpAct::Describe, &allowed).map_err(ProbeError::Tool)?;
        let json = self.written_by(&mut command, path, cancel)?;
        let info = webp::read_description(&json).map_err(|error| ProbeError::Tool(error.into()))?;
        info.ok_or(ProbeError::NotVideo(
            "it is a picture (WebP) that does not move, and not a video: send the video",
        ))
    }

    /// The times of all packets of a file, which costs as much as reading it, on the calling thread.
    pub(super) fn packets(&self, path: &Path, cancel: &Cancel) -> Result<Packets, ProbeError> {
        if webp::is_webp(path).map_err(ProbeError::Tool)? {
            // Nothing of what is known of it is a guess: as one picture that lasts for all of it.
            let seconds = self.webp(path, cancel)?.picture_duration().unwrap_or_default().as_secs_f64();
            let mut packets = Packets::default();
            packets.feed(format!("0,0,{seconds}\n").as_bytes());
            return Ok(packets);
        }
        let mut times = Timed::new(Times(Packets::default()), PACKETS_TIME_MAX);
        let mut command = self.looker(packets_argv(path, &self.limits), path, PACKETS_TIME_MAX);
        let deadline = Instant::now() + PACKETS_TIME_MAX * STARVED_TIMES_MAX;
        let outcome = child::run(&mut command, deadline, cancel, &mut times).map_err(ProbeError::Tool)?;
        let Times(packets) = times.listener;
        self.cpu.add(matches!(outcome.ended, Ended::Exited(_)), outcome.cpu);
        match outcome.ended {
            // It ends with an error where the file does; what it read before is what there is.
            Ended::Exited(status) if status.success() || packets.whole().is_some() => Ok(packets),
            Ended::Exited(status) => Err(failure(status, &outcome.stderr, path)),
            Ended::Deadline => Err(starved(PACKETS_TIME_MAX * STARVED_TIMES_MAX, outcome.cpu)),
            Ended::Hung | Ended::Cancelled | Ended::Refused => Err(timed_out(PACKETS_TIME_MAX, outcome.cpu)),
        }
    }

    /// The same on the calling thread, without the checks against the limits.
    pub(super) fn probe_blocking(
        &self,
        path: &Path,
        demuxers: &str,
        cancel: &Cancel,
    ) -> Result<MediaInfo, ProbeError> {
        let mut command =
            self.looker(probe_argv(path, demuxers, &self.limits), path, self.limits.probe_cpu_max);
        parse(&self.written_by(&mut command, path, cancel)?, &self.tools.features)
    }

    /// What a child that looks at a file writes of it.
    fn written_by(&self, command: &mut Command, path: &Path, cancel: &Cancel) -> Result<Vec<u8>, ProbeError> {
        let max = self.limits.probe_time_max;
        let mut json = Timed::new(Json(Vec::new()), max);
        let deadline = Instant::now() + max * STARVED_TIMES_MAX;
        let outcome = child::run(command, deadline, cancel, &mut json).map_err(ProbeError::Tool)?;
        let done = matches!(outcome.ended, Ended::Exited(status) if status.success());
        self.cpu.add(done, outcome.cpu);
        match outcome.ended {
            Ended::Exited(status) if status.success() => Ok(json.listener.0),
            Ended::Exited(_) if outcome.stderr.contains(TOO_MANY_STREAMS) => {
                let max = self.limits.streams_max;
                let (found, max) = (format!("more than {max}"), max.to_string());
                Err(ProbeError::OverLimit { what: "the number of streams", found, max })
            }
            Ended::Exited(status) => {
                if spent(status, outcome.cpu, self.limits.probe_cpu_max) {
                    return Err(ProbeError::TimedOut(self.limits.probe_cpu_max));
                }
                Err(failure(status, &outcome.stderr, path))
            }
            Ended::Deadline => Err(starved(max * STARVED_TIMES_MAX, outcome.cpu)),
            Ended::Hung | Ended::Cancelled => Err(timed_out(max, outcome.cpu)),
            Ended::Refused => Err(ProbeError::Refused {
                reason: "it describes far too many streams: send it with fewer".to_owned(),
            }),
        }
    }
}

/// What a child may do that looks at a file.
const fn allowed(path: &Path, cpu_max: Duration) -> Allowed<'_> {
    Allowed {
        input: path,
        output_dir: None,
        file_bytes_max: 0,
        cpu_seconds_max: cpu_max.as_secs(),
        device: None,
    }
}

/// A listener to a child that has so much time of its own.
struct Timed<L> {
    listener: L,
    max: Duration,
    begun: Instant,
    time: OwnTime,
}

impl<L> Timed<L> {
    fn new(listener: L, max: Duration) -> Self {
        let now = Instant::now();
        Self { listener, max, begun: now, time: OwnTime::since(now) }
    }
}

impl<L: Listener> Listener for Timed<L> {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.listener.hears(bytes)
    }

    fn is_hung(&mut self, pulse: Pulse) -> bool {
        let now = Instant::now();
        self.begun = (self.begun + self.time.kept(now, pulse)).min(now);
        now.saturating_duration_since(self.begun) >= self.max
    }
}

/// The times of packets that it writes.
struct Times(Packets);

impl Listener for Times {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.0.feed(bytes);
        true
    }
}

/// What it writes, as much as is read of it.
struct Json(Vec<u8>);

impl Listener for Json {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= OUTPUT_BYTES_MAX
    }
}

/// What can hang a process that reads one file and opens no socket is its own work, or a machine that gives it no CPU and no
/// disk: what it has worked tells.
fn timed_out(max: Duration, cpu: Duration) -> ProbeError {
    if cpu < max.mul_f64(IDLE_PART_MAX) {
        return ProbeError::Crashed {
            how: format!("hung for {max:?}"),
            said: format!("nothing, and used {cpu:?} of CPU"),
        };
    }
    ProbeError::TimedOut(max)
}

/// It would have worked, and the machine let it hardly do so.
fn starved(max: Duration, cpu: Duration) -> ProbeError {
    let what = format!("in {max:?} it got {cpu:?} of CPU: this machine does too much else");
    ProbeError::Tool(io::Error::new(io::ErrorKind::TimedOut, what))
}

/// Whether the kernel ended it, since it had used the CPU time that it gets. The kernel's own count may be a tick behind.
fn spent(status: ExitStatus, cpu: Duration, max: Duration) -> bool {
    let killed = status
        .signal()
        .is_some_and(|signal| [Signal::KILL, Signal::XCPU].map(Signal::as_raw).contains(&signal));
    killed && cpu + Duration::from_millis(50) >= max
}

/// What an ffprobe that failed means for the file.
pub(super) fn failure(status: ExitStatus, stderr: &str, path: &Path) -> ProbeError {
    let said = if stderr.is_empty() { "nothing" } else { stderr };
    match fault_class(status, stderr, &[path], false) {
        FaultClass::Input if stderr.contains("moov atom not found") => ProbeError::NotVideo(
            "its index is missing: it was not recorded, or not sent, to its end; send all of it",
        ),
        FaultClass::Input => {
            tracing::info!(stderr, "ffprobe refuses a file");
            ProbeError::Refused { reason: in_words("ffprobe", &reason(stderr, &[path], status)) }
        }
        FaultClass::Unknown => {
            ProbeError::Crashed { how: format!("crashed ({status})"), said: said.to_owned() }
        }
        FaultClass::Node => {
            ProbeError::Tool(io::Error::other(format!("it ended with {status} and said {said}")))
        }
    }
}

/// Refuses what asks for more than the limits give.
pub(crate) fn check(limits: &MediaLimits, info: &MediaInfo) -> Result<(), ProbeError> {
    let over = |what, found: String, max: String| Err(ProbeError::OverLimit { what, found, max });
    if info.streams > limits.streams_max {
        return over("the number of streams", info.streams.to_string(), limits.streams_max.to_string());
    }
    for duration in [info.duration, info.picture_duration()].into_iter().flatten() {
        if duration > limits.duration_max {
            return over("the duration", format!("{duration:.0?}"), format!("{:.0?}", limits.duration_max));
        }
    }
    Ok(())
}

/// Reads ffprobe's JSON. Every field may be missing or nonsense; what is left has to be a media file.
pub(crate) fn parse(json: &[u8], features: &Features) -> Result<MediaInfo, ProbeError> {
    // Nonsense may stand in a file, and then in its description; but what ffprobe writes is a JSON object.
    let described = serde_json::from_slice(json).map_err(|error| ProbeError::Tool(error.into()))?;
    facts::read(described, features).map_err(|error| ProbeError::Refused { reason: error.to_string() })
}

#[cfg(test)]
mod tests;
