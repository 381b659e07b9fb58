//! One job on its worker's thread: ffmpeg, then a look at what came out.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use super::blame::{Blame, blame, reason};
use super::cancel::Cancel;
use super::child::{self, Ended, Outcome};
use super::error::TranscodeError;
use super::index;
use super::probe::Prober;
use super::progress::{Progress, Reader};
use super::sandbox::{Allowed, Sandbox};
use super::tools::Tools;
use super::whole;
use crate::content::{ContentId, MediaInfo, MediaLimits};
use crate::ingest::{DataDir, Scratch};
use crate::load::CpuUse;
use crate::profile::{OWN_DEMUXERS, Profile, Recipe, Run};

/// One piece of work.
pub struct Job {
    /// The file to read, kept alive by this until the job is over.
    pub input: Arc<dyn AsRef<Path> + Send + Sync>,
    /// What the file is, for logs.
    pub content: ContentId,
    /// What to make of it.
    pub profile: Arc<Profile>,
    /// What the probe found in it.
    pub info: MediaInfo,
    /// By when whoever asked first wants the result; what can't be done by then is not begun.
    pub deadline: Instant,
    /// When ffmpeg is ended. Later than the deadline where others, who asked later, may still wait for it.
    pub limit: Instant,
}

/// A verified result.
#[derive(Debug)]
pub struct Transcoded {
    /// The file; deleted on drop.
    pub output: Scratch,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: ContentId,
    /// What is in it.
    pub info: MediaInfo,
    /// From out of the queue to here.
    pub elapsed: Duration,
    /// Time in the queue before.
    pub queued: Duration,
    /// Threads that ffmpeg was given.
    pub threads: u16,
}

/// What a worker has to run jobs with.
pub(super) struct Bench {
    pub(super) tools: Arc<Tools>,
    pub(super) sandbox: Sandbox,
    pub(super) limits: MediaLimits,
    pub(super) dir: DataDir,
    pub(super) prober: Prober,
    pub(super) cpu: CpuUse,
}

/// A result and what is known of it before it has a place in time.
pub(super) struct Made {
    pub(super) output: Scratch,
    pub(super) bytes: u64,
    pub(super) sha256: ContentId,
    pub(super) info: MediaInfo,
    /// Cores that ffmpeg kept busy, on average; none where that says little.
    pub(super) cores_used: Option<f64>,
}

/// How exactly ffmpeg stops where it is told to: within a picture.
const STOP_ERROR: Duration = Duration::from_secs(1);

/// Runs that cost less say little about the machine.
const TELLING_CPU_MIN: Duration = Duration::from_millis(500);

impl Bench {
    /// Runs one job to its end on this thread.
    pub(super) fn run(
        &self,
        job: &Job,
        threads: u16,
        cancel: &Cancel,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Made, TranscodeError> {
        let input = (*job.input).as_ref();
        let folder = self.dir.scratch_folder("job-")?;
        let output = folder.path().join(format!("output.{}", job.profile.extension()));
        let mut cpu = Duration::ZERO;
        let began = Instant::now();
        let mut transcode = |from_start| {
            self.transcode(job, input, &output, threads, from_start, cancel, &mut on_progress, &mut cpu)
        };
        let mut transcoded = transcode(false);
        if matches!(transcoded, Err(TranscodeError::NoPicture))
            && matches!(job.profile.recipe, Recipe::Poster { .. })
        {
            // It is over before the place where a poster is taken, whatever its container says.
            transcoded = transcode(true);
        }
        let cores_used = (cpu >= TELLING_CPU_MIN).then(|| cpu.div_duration_f64(began.elapsed()));
        let made = transcoded.and_then(|()| self.verify(job, &output, cancel));
        self.cpu.add(made.is_ok(), cpu);
        let info = made?;
        // Out of the folder of its own, which goes.
        let (_, scratch) = self.dir.scratch_file("result-")?;
        fs::rename(&output, &*scratch)?;
        let (sha256, bytes) = digest(&scratch)?;
        Ok(Made { output: scratch, bytes, sha256, info, cores_used })
    }

    /// `cpu`: what ffmpeg cost, whatever came of it.
    #[expect(clippy::too_many_arguments, reason = "one call, one place")]
    fn transcode(
        &self,
        job: &Job,
        input: &Path,
        output: &Path,
        threads: u16,
        from_start: bool,
        cancel: &Cancel,
        mut on_progress: impl FnMut(Progress),
        cpu: &mut Duration,
    ) -> Result<(), TranscodeError> {
        let (info, limits) = (&job.info, &self.limits);
        let args = job.profile.argv(&Run { input, output, info, threads, limits, from_start });
        let left = job.limit.saturating_duration_since(Instant::now());
        let allowed = Allowed {
            input,
            output_dir: output.parent(),
            // ffmpeg stops by itself at the limit; the kernel's is for when it doesn't.
            file_bytes_max: self.limits.output_bytes_max + (1 << 20),
            cpu_seconds_max: (left.as_secs() + 2) * u64::from(threads + 2),
        };
        let mut command = self.sandbox.command(&self.tools.ffmpeg, args, &allowed);
        if let Some(folder) = output.parent() {
            command.current_dir(folder);
        }
        let mut reader = Reader::new(job.info.picture_duration());
        let mut reported = false;
        let outcome = child::run(&mut command, job.limit, cancel, |bytes| {
            if let Some(progress) = reader.feed(bytes) {
                reported = true;
                on_progress(progress);
            }
            true
        })?;
        *cpu += outcome.cpu;
        let spent = outcome.cpu.as_secs() >= allowed.cpu_seconds_max;
        self.judge(&outcome, &[input, output], spent)?;
        if reported && reader.now().frames == 0 && !matches!(job.profile.recipe, Recipe::Audio { .. }) {
            return Err(TranscodeError::NoPicture);
        }
        let expected =
            job.info.picture_duration().filter(|_| matches!(job.profile.recipe, Recipe::Video { .. }));
        if let Some(expected) = expected.filter(|_| cut_off(&outcome.stderr)) {
            return Err(TranscodeError::Incomplete { expected, got: reader.now().encoded.min(expected) });
        }
        Ok(())
    }

    /// What an ended ffmpeg means.
    fn judge(&self, outcome: &Outcome, files: &[&Path], spent: bool) -> Result<(), TranscodeError> {
        let status = match outcome.ended {
            Ended::Exited(status) => status,
            Ended::Deadline => return Err(TranscodeError::DeadlinePassed { running: true }),
            Ended::Cancelled | Ended::Refused => return Err(TranscodeError::Cancelled),
        };
        // What it could not write at the very end is no failure to it.
        if status.success() && !said_disk_full(&outcome.stderr) {
            return Ok(());
        }
        Err(self.failure(status, &outcome.stderr, files, spent))
    }

    fn failure(&self, status: ExitStatus, stderr: &str, files: &[&Path], spent: bool) -> TranscodeError {
        let said = |words: &str| stderr.contains(words);
        if status.signal() == Some(Signal::XFSZ.as_raw()) || said("File too large") {
            return TranscodeError::OutputTooLarge { max: self.limits.output_bytes_max };
        }
        if said_disk_full(stderr) {
            return TranscodeError::DiskFull;
        }
        let (how, words) = (status.to_string(), stderr.to_owned());
        match blame(status, stderr, files, spent) {
            Blame::Video => {
                tracing::info!(stderr, "ffmpeg refuses a file");
                TranscodeError::Refused { reason: reason(stderr, files, status) }
            }
            Blame::Node => TranscodeError::Failed { status: how, stderr: words },
            Blame::Open if said("Cannot allocate memory") => {
                TranscodeError::OutOfMemory { max: self.sandbox.memory_bytes_max }
            }
            Blame::Open => TranscodeError::Crashed { status: how, stderr: words },
        }
    }

    /// Is the result there, is it what the profile says, is it all of it?
    fn verify(&self, job: &Job, output: &Path, cancel: &Cancel) -> Result<MediaInfo, TranscodeError> {
        let bad = |reason: String| TranscodeError::BadOutput { reason };
        let file = match File::open(output) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(bad("there is none".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        match file.metadata()?.len() {
            0 => return Err(bad("it is empty".to_owned())),
            length if length >= self.limits.output_bytes_max => {
                return Err(TranscodeError::OutputTooLarge { max: self.limits.output_bytes_max });
            }
            _ => {}
        }
        let described = if matches!(job.profile.extension(), "mp4" | "m4a") {
            // Its index stands first and tells of all of it, so a file that was cut off behind it looks whole to whoever reads
            // only that, ffprobe for one.
            if whole::top_boxes(&file)?.is_none() {
                return Err(bad("it is cut off".to_owned()));
            }
            index::look(&file)?
        } else {
            None
        };
        let probed = || {
            self.prober.probe_blocking(output, OWN_DEMUXERS, cancel).map_err(|error| match error {
                _ if cancel.is_set() => TranscodeError::Cancelled,
                error if error.is_input_fault() => bad(error.to_string()),
                error => TranscodeError::Unverified(error),
            })
        };
        let info = described.map_or_else(probed, Ok)?;
        job.profile.delivers(&info).map_err(|reason| bad(reason.to_owned()))?;
        if matches!(job.profile.recipe, Recipe::Video { .. })
            && let (Some(expected), Some(got)) = (job.info.picture_duration(), info.picture_duration())
            && got + tolerance(expected) < expected
        {
            return Err(TranscodeError::Incomplete { expected, got });
        }
        // Where ffmpeg was told to stop. What says that it is as long may be.
        let (max, says) = (self.limits.duration_max, job.info.duration.unwrap_or_default());
        if info.duration.is_some_and(|got| got + STOP_ERROR >= max) && says + STOP_ERROR < max {
            return Err(TranscodeError::TooLong { says, max });
        }
        Ok(info)
    }
}

fn said_disk_full(stderr: &str) -> bool {
    stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded")
}

/// ffmpeg calls it a success when the input ends early; its complaint is all there is to know it by.
fn cut_off(stderr: &str) -> bool {
    stderr.contains("partial file") || stderr.contains("File ended prematurely")
}

/// How much shorter than its input a result may be: rounding, an edit list, a last frame without a duration.
fn tolerance(expected: Duration) -> Duration {
    expected.mul_f64(0.03).max(Duration::from_millis(300))
}

fn digest(path: &Path) -> io::Result<(ContentId, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((ContentId(hash.finalize().into()), bytes)),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

impl Job {
    /// What it costs, in pixels of work.
    pub(super) fn work_pixels(&self) -> u64 {
        self.profile.work_pixels(&self.info)
    }

    /// A path as a job's input, for callers that keep the file alive themselves.
    pub fn kept(path: impl Into<PathBuf>) -> Arc<dyn AsRef<Path> + Send + Sync> {
        Arc::new(path.into())
    }
}
