//! One job on its worker's thread: ffmpeg, then a look at what came out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::error::TranscodeError;
use super::ffmpeg::Ffmpeg;
use super::hardware::{self, Hardware, HardwareMode};
use super::lengths::Length;
use super::probe::Prober;
use super::progress::Progress;
use super::sandbox::Sandbox;
use super::tools::Tools;
use super::verify::{Verified, Verifier, Wanted};
use crate::content::{ClientTag, ContentId, MediaInfo, MediaLimits};
use crate::load::CpuUse;
use crate::media::{Complaints, HardwareEncoder};
use crate::profile::{Profile, Recipe};
use crate::store::{DataDir, Scratch};

/// One piece of work.
pub struct Job {
    /// The file to read, kept alive by this until the job is over.
    pub input: Arc<dyn AsRef<Path> + Send + Sync>,
    /// What the file is, for logs.
    pub content: ContentId,
    /// Whose it is.
    pub client: ClientTag,
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
    pub(super) hardware: Hardware,
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
    /// Looks for encoders in hardware, and uses those that work from then on. Blocks, for seconds where there are some.
    pub(super) fn look_for_hardware(&self, mode: &HardwareMode) {
        match hardware::find(mode, &self.tools, &self.sandbox, &self.dir) {
            Ok(found) => self.hardware.set(&found),
            Err(error) => {
                tracing::warn!(%error, "encoders in hardware can't be tried out: software encodes");
            }
        }
    }

    /// Runs one job to its end on this thread. Where an encoder in hardware fails, software makes the result: its word on the input
    /// is the one that counts.
    pub(super) fn run(
        &self,
        job: &Job,
        threads: u16,
        cancel: &Cancel,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Made, TranscodeError> {
        let codec = job.profile.hardware_codec();
        let encoder = codec.and_then(|codec| self.hardware.choose(codec, Instant::now()));
        let Some(encoder) = encoder else { return self.make(job, None, threads, cancel, on_progress) };
        let failed = match self.make(job, Some(encoder), threads, cancel, &mut on_progress) {
            Ok(made) => {
                self.hardware.worked(encoder);
                // What it left to the processor says nothing of what software would take.
                return Ok(Made { cores_used: None, ..made });
            }
            Err(error) if error.is_of_the_hour() => return Err(error),
            Err(error) => error,
        };
        let made = self.make(job, None, threads, cancel, on_progress)?;
        let rest = self.hardware.failed(encoder, Instant::now());
        tracing::warn!(%encoder, error = %failed, rest_s = rest.as_secs(), content = %job.content,
            "an encoder in hardware failed where software did not: it rests");
        Ok(made)
    }

    fn make(
        &self,
        job: &Job,
        encoder: Option<HardwareEncoder>,
        threads: u16,
        cancel: &Cancel,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Made, TranscodeError> {
        let folder = self.dir.scratch_folder("job-")?;
        let output = folder.path().join(format!("output.{}", job.profile.extension()));
        let began = Instant::now();
        let mut ffmpeg = Ffmpeg::new(self, job, &output, threads, cancel).with(encoder);
        let mut transcoded = ffmpeg.transcode(false, &mut on_progress);
        if matches!(transcoded, Err(TranscodeError::NoPicture))
            && matches!(
                job.profile.recipe,
                Recipe::Poster { .. } | Recipe::Sprite { .. } | Recipe::Gif { .. }
            )
        {
            // It is over, or black, wherever a poster is looked for; or a film of one picture.
            transcoded = ffmpeg.transcode(true, &mut on_progress);
        }
        let cpu = ffmpeg.cpu();
        let cores_used = (cpu >= TELLING_CPU_MIN).then(|| cpu.div_duration_f64(began.elapsed()));
        let made = transcoded.and_then(|complaints| self.verified(job, &mut ffmpeg, complaints, cancel));
        self.cpu.add(made.is_ok(), ffmpeg.cpu());
        Ok(Made { result: made?, cores_used })
    }

    /// The result, if it is one; a last picture that is held is held here, too.
    fn verified(
        &self,
        job: &Job,
        ffmpeg: &mut Ffmpeg<'_>,
        complaints: Complaints,
        cancel: &Cancel,
    ) -> Result<Verified, TranscodeError> {
        let input = Some(((*job.input).as_ref(), &job.info));
        let wanted = Wanted { content: job.content, profile: &job.profile, input };
        let result = self.verifier().own(wanted, complaints, self.take(ffmpeg)?, cancel)?;
        let Length::Held(end) = result.length() else { return Ok(result) };
        ffmpeg.hold(result.path(), end)?;
        self.verifier().own(wanted, complaints, self.take(ffmpeg)?, cancel)
    }

    /// What ffmpeg has written, out of the folder of its own, which goes.
    fn take(&self, ffmpeg: &Ffmpeg<'_>) -> Result<Scratch, TranscodeError> {
        let (_, scratch) = self.dir.scratch_file("result-")?;
        fs::rename(ffmpeg.output(), &*scratch).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TranscodeError::BadOutput { reason: "there is none".to_owned() },
            _ => error.into(),
        })?;
        Ok(scratch)
    }

    pub(super) fn verifier(&self) -> Verifier<'_> {
        Verifier { prober: &self.prober, limits: &self.limits, dir: &self.dir }
    }
}

impl Job {
    /// A path as a job's input, for callers that keep the file alive themselves.
    pub fn kept(path: impl Into<PathBuf>) -> Arc<dyn AsRef<Path> + Send + Sync> {
        Arc::new(path.into())
    }
}
