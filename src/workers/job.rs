//! One job on its worker's thread: ffmpeg, then a look at what came out.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::blame::{Blame, blame, reason};
use super::cancel::Cancel;
use super::child::{self, Ended, Outcome};
use super::error::TranscodeError;
use super::probe::Prober;
use super::progress::{Ear, Progress};
use super::sandbox::{Allowed, Sandbox};
use super::tools::Tools;
use super::verify::{Verified, Verifier, Wanted};
use crate::content::{ContentId, MediaInfo, MediaLimits};
use crate::ingest::DataDir;
use crate::load::CpuUse;
use crate::profile::{Profile, Recipe, Run};

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

/// A result and what its making took.
#[derive(Debug)]
pub struct Transcoded {
    /// The result.
    pub result: Verified,
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
    pub(super) result: Verified,
    /// Cores that ffmpeg kept busy, on average; none where that says little.
    pub(super) cores_used: Option<f64>,
}

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
        let made = transcoded.and_then(|()| self.verified(job, &output, cancel));
        self.cpu.add(made.is_ok(), cpu);
        Ok(Made { result: made?, cores_used })
    }

    fn verified(&self, job: &Job, output: &Path, cancel: &Cancel) -> Result<Verified, TranscodeError> {
        // Out of the folder of its own, which goes.
        let (_, scratch) = self.dir.scratch_file("result-")?;
        fs::rename(output, &*scratch).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TranscodeError::BadOutput { reason: "there is none".to_owned() },
            _ => error.into(),
        })?;
        let wanted = Wanted { content: job.content, profile: &job.profile, input: Some(&job.info) };
        self.verifier().own(wanted, scratch, cancel)
    }

    pub(super) fn verifier(&self) -> Verifier<'_> {
        Verifier { prober: &self.prober, limits: &self.limits }
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
        let mut ear = Ear::new(job.info.picture_duration(), &mut on_progress);
        let outcome = child::run(&mut command, job.limit, cancel, &mut ear)?;
        *cpu += outcome.cpu;
        let spent = outcome.cpu.as_secs() >= allowed.cpu_seconds_max;
        self.judge(&outcome, &[input, output], spent)?;
        if ear.reported().is_some_and(|progress| progress.frames == 0)
            && !matches!(job.profile.recipe, Recipe::Audio { .. })
        {
            return Err(TranscodeError::NoPicture);
        }
        let expected =
            job.info.picture_duration().filter(|_| matches!(job.profile.recipe, Recipe::Video { .. }));
        if let Some(expected) = expected.filter(|_| cut_off(&outcome.stderr)) {
            return Err(TranscodeError::Incomplete { expected, got: ear.now().encoded.min(expected) });
        }
        Ok(())
    }

    /// What an ended ffmpeg means.
    fn judge(&self, outcome: &Outcome, files: &[&Path], spent: bool) -> Result<(), TranscodeError> {
        let status = match outcome.ended {
            Ended::Exited(status) => status,
            Ended::Deadline => return Err(TranscodeError::DeadlinePassed { running: true }),
            Ended::Hung => return Err(TranscodeError::Hung { cpu: outcome.cpu }),
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
}

fn said_disk_full(stderr: &str) -> bool {
    stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded")
}

/// ffmpeg calls it a success when the input ends early; its complaint is all there is to know it by.
fn cut_off(stderr: &str) -> bool {
    stderr.contains("partial file") || stderr.contains("File ended prematurely")
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
