//! One ffmpeg, or one after the other, for one job; and what it means how they end.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cancel::Cancel;
use super::child::{self, Ended, Listener, Outcome};
use super::cut;
use super::error::TranscodeError;
use super::fault::{FaultClass, fault_class, reason};
use super::job::{Bench, Job};
use super::larger;
use super::progress::{Ear, Progress};
use super::refusals::in_words;
use super::sandbox::Allowed;
use super::webp::{self, WebpAct};
use crate::media::{Complaints, HardwareEncoder, PIPE, Plan, Run, Said, held_argv};
use crate::profile::{Recipe, Unsuitable};

/// Pictures that were picked, until they are put together.
const PICKED: &str = "picked.mkv";

/// The children of one job.
pub(super) struct Ffmpeg<'a> {
    pub(super) bench: &'a Bench,
    pub(super) job: &'a Job,
    pub(super) output: &'a Path,
    threads: u16,
    pub(super) cancel: &'a Cancel,
    encoder: Option<HardwareEncoder>,
    /// What they cost, whatever came of it.
    cpu: Duration,
}

/// Of a copy that takes a moment nothing is to be heard.
struct Deaf;

impl Listener for Deaf {
    fn hears(&mut self, _: &[u8]) -> bool {
        true
    }
}

impl<'a> Ffmpeg<'a> {
    pub(super) const fn new(
        bench: &'a Bench,
        job: &'a Job,
        output: &'a Path,
        threads: u16,
        cancel: &'a Cancel,
    ) -> Self {
        Self { bench, job, output, threads, cancel, encoder: None, cpu: Duration::ZERO }
    }

    /// With this encoder in place of software.
    pub(super) const fn with(self, encoder: Option<HardwareEncoder>) -> Self {
        Self { encoder, ..self }
    }

    pub(super) const fn cpu(&self) -> Duration {
        self.cpu
    }

    pub(super) const fn output_bytes_max(&self) -> u64 {
        self.bench.limits.output_bytes_max
    }

    pub(super) const fn output(&self) -> &'a Path {
        self.output
    }

    /// Makes the result; what was complained of meanwhile.
    pub(super) fn transcode(
        &mut self,
        from_start: bool,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Complaints, TranscodeError> {
        let (job, bench) = (self.job, self.bench);
        let info = self.measured()?;
        let plan = Plan::new(&info, &job.profile, &bench.tools.features, from_start)?;
        let file = (*job.input).as_ref();
        let decoded_first = webp::is_webp(file)?;
        let input = if decoded_first { Path::new(PIPE) } else { file };
        let limits = larger::limits_for(&job.info, &bench.limits);
        let picked = self.output.with_file_name(PICKED);
        let output = if plan.preview.is_some() { &picked } else { self.output };
        let run = Run { input, output, threads: self.threads, limits: &limits, hardware: self.encoder };
        if let Some(preview) = plan.preview.as_ref().filter(|preview| !preview.places.is_empty()) {
            return self.pick_places((&plan, preview), &info, &run, on_progress);
        }
        let sound_alone = matches!(job.profile.recipe, Recipe::Audio { .. });
        let total = match &plan.preview {
            Some(preview) => Some(preview.length),
            None if sound_alone => job.info.sound_duration(),
            None => job.info.picture_duration(),
        };
        let mut ear = Ear::new(total, &mut on_progress).within(&job.info);
        let argv = plan.argv(&job.profile, &run);
        let ended = if decoded_first {
            // One picture is all that is made of it.
            let in_part = from_start || matches!(job.profile.recipe, Recipe::Poster { .. });
            self.run_fed(argv, file, in_part, &mut ear)
        } else {
            self.run(argv, file, &mut ear)
        };
        if let Some(what) = ear.beyond() {
            return Err(TranscodeError::LargerThanSaid { what });
        }
        let mut outcome = ended?;
        let held = if from_start { None } else { self.plan_for_missing(&plan, ear.reported())? };
        if let Some(held) = held {
            ear = Ear::new(total, &mut on_progress);
            outcome = self.run(held.argv(&job.profile, &run), file, &mut ear)?;
        }
        match ear.reported() {
            Some(progress) if !sound_alone && progress.frames == 0 => return Err(TranscodeError::NoPicture),
            Some(progress) if sound_alone && progress.encoded.is_zero() => {
                return Err(TranscodeError::Unsuitable(Unsuitable::NoAudio));
            }
            _ => {}
        }
        if let Some(preview) = &plan.preview {
            self.put_together(preview, &info, &[&picked])?;
        }
        if let (Some(ladder), Recipe::Hls { segment_s, .. }) = (&plan.ladder, &job.profile.recipe) {
            self.pack_ladder(ladder, plan.sound.is_some(), *segment_s)?;
        }
        let mut complaints = self.complaints(&outcome.said)?;
        let container = &job.info.container;
        complaints.cut |= cut::ends_early(file, container)? || cut::another_begins(file, container)?;
        Ok(complaints)
    }

    /// What a child complained of, but for what is behind the end of the input.
    pub(super) fn complaints(&self, said: &Said) -> std::io::Result<Complaints> {
        let zeros_from = if said.tells_of_zeros() {
            cut::zeros_behind((*self.job.input).as_ref(), &self.job.info.container)?
        } else {
            None
        };
        Ok(said.complaints(zeros_from))
    }

    /// Has the last picture of a result last until `end`. Nothing is encoded again.
    pub(super) fn hold(&mut self, result: &Path, end: Duration) -> Result<(), TranscodeError> {
        if let Recipe::Hls { segment_s, .. } = self.job.profile.recipe {
            return self.hold_ladder(result, end, segment_s);
        }
        let argv = held_argv(&self.job.profile, result, self.output, end, &self.bench.limits);
        self.run(argv, result, &mut Deaf).map(drop)
    }

    /// One child, to its good end.
    pub(super) fn run(
        &mut self,
        args: Vec<OsString>,
        input: &Path,
        listener: &mut impl Listener,
    ) -> Result<Outcome, TranscodeError> {
        let allowed = self.allowed(input);
        let mut command = self.command(args, &allowed);
        let outcome = child::run(&mut command, self.job.limit, self.cancel, listener)?;
        self.judge(outcome, &allowed)
    }

    /// The same of a WebP, whose pictures another child decodes: all of them, or no more than are asked for.
    fn run_fed(
        &mut self,
        args: Vec<OsString>,
        input: &Path,
        in_part: bool,
        listener: &mut impl Listener,
    ) -> Result<Outcome, TranscodeError> {
        let allowed = self.allowed(input);
        let mut decoder = self
            .bench
            .sandbox
            .webp(WebpAct::Decode, &Allowed { output_dir: None, device: None, ..allowed })?;
        let mut command = self.command(args, &allowed);
        let ended = child::run_fed(&mut decoder, &mut command, self.job.limit, self.cancel, listener)?;
        let outcome = self.judge(ended, &allowed)?;
        if in_part || outcome.stderr.lines().any(|line| line == webp::DONE) {
            return Ok(outcome);
        }
        let status = "the decoder of WebP did not come to its end".to_owned();
        Err(TranscodeError::Crashed { status, stderr: outcome.stderr })
    }

    fn allowed<'p>(&self, input: &'p Path) -> Allowed<'p>
    where
        'a: 'p,
    {
        let left = self.job.limit.saturating_duration_since(Instant::now());
        Allowed {
            input,
            output_dir: self.output.parent(),
            // ffmpeg stops by itself at the limit; the kernel's is for when it doesn't.
            file_bytes_max: self.bench.limits.output_bytes_max + (1 << 20),
            cpu_seconds_max: (left.as_secs() + 2) * u64::from(self.threads + 2),
            device: self.encoder.map(|encoder| encoder.family),
        }
    }

    fn command(&self, args: Vec<OsString>, allowed: &Allowed<'_>) -> Command {
        let mut command = self.bench.sandbox.command(&self.bench.tools.ffmpeg, args, allowed);
        if let Some(folder) = self.output.parent() {
            command.current_dir(folder);
        }
        command
    }

    /// What an ended child means.
    fn judge(&mut self, outcome: Outcome, allowed: &Allowed<'_>) -> Result<Outcome, TranscodeError> {
        self.cpu += outcome.cpu;
        if outcome.stderr_first.contains(larger::TOO_MANY_PIXELS) {
            let what = "its pictures grow far beyond its first ones".to_owned();
            return Err(TranscodeError::LargerThanSaid { what });
        }
        let spent = outcome.cpu.as_secs() >= allowed.cpu_seconds_max;
        self.bench.judge(&outcome, &[allowed.input, self.output], spent)?;
        Ok(outcome)
    }
}

impl Bench {
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
        match fault_class(status, stderr, files, spent) {
            FaultClass::Input => {
                tracing::info!(stderr, "ffmpeg refuses a file");
                TranscodeError::Refused { reason: in_words("ffmpeg", &reason(stderr, files, status)) }
            }
            FaultClass::Node => TranscodeError::Failed { status: how, stderr: words },
            FaultClass::Unknown if said("Cannot allocate memory") => {
                TranscodeError::OutOfMemory { max: self.sandbox.memory_bytes_max }
            }
            FaultClass::Unknown => TranscodeError::Crashed { status: how, stderr: words },
        }
    }
}

fn said_disk_full(stderr: &str) -> bool {
    stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded")
}
