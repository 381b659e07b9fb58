//! Encoders in hardware: which of them work here, found out by using them, and which rest after they failed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::cancel::Cancel;
use super::child::{self, Ended, Listener};
use super::sandbox::{Allowed, Sandbox};
use super::tools::Tools;
use crate::media::{Family, HardwareEncoder, UnknownFamily, hardware_test};
use crate::profile::VideoCodec;
use crate::store::DataDir;

/// A test takes a second at the most; a driver that hangs is not waited for.
const TEST_TIME_MAX: Duration = Duration::from_secs(10);
const TEST_BYTES_MAX: u64 = 16 << 20;
/// An encoder that failed where software did not rests for so long, and twice as long after each further time.
const REST_MIN: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(3600);

/// Which encoders in hardware are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HardwareMode {
    /// Those that ffmpeg has, and whose device is there.
    #[default]
    Auto,
    /// None.
    Off,
    /// Those of these kinds, and no others, wherever their device may be.
    Only(Vec<Family>),
}

impl FromStr for HardwareMode {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            list => list.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Self::Only),
        }
    }
}

/// The encoders in hardware that work here.
#[derive(Debug, Default)]
pub(super) struct Hardware(Mutex<BTreeMap<HardwareEncoder, Standing>>);

/// How an encoder fares.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Times that it failed in a row.
    failures: u32,
    rests_until: Option<Instant>,
}

impl Hardware {
    fn state(&self) -> MutexGuard<'_, BTreeMap<HardwareEncoder, Standing>> {
        self.0.lock()
    }

    /// These have passed the test.
    pub(super) fn set(&self, found: &[HardwareEncoder]) {
        *self.state() = found.iter().map(|encoder| (*encoder, Standing::default())).collect();
    }

    /// The encoder to use for this codec, if one works and does not rest.
    pub(super) fn choose(&self, codec: VideoCodec, now: Instant) -> Option<HardwareEncoder> {
        let state = self.state();
        let ready = |standing: &Standing| standing.rests_until.is_none_or(|until| until <= now);
        state
            .iter()
            .find(|(encoder, standing)| encoder.codec == codec && ready(standing))
            .map(|(found, _)| *found)
    }

    /// It has made a result that passed.
    pub(super) fn worked(&self, encoder: HardwareEncoder) {
        if let Some(standing) = self.state().get_mut(&encoder) {
            *standing = Standing::default();
        }
    }

    /// It failed, and software made the same: for how long it rests.
    pub(super) fn failed(&self, encoder: HardwareEncoder, now: Instant) -> Duration {
        let mut state = self.state();
        let Some(standing) = state.get_mut(&encoder) else { return Duration::ZERO };
        let rest = REST_MIN.saturating_mul(1 << standing.failures.min(16)).min(REST_MAX);
        *standing = Standing { failures: standing.failures + 1, rests_until: Some(now + rest) };
        rest
    }

    /// What is encoded in hardware here.
    pub(super) fn codecs(&self) -> Vec<VideoCodec> {
        let mut codecs: Vec<_> = self.state().keys().map(|encoder| encoder.codec).collect();
        codecs.sort_unstable();
        codecs.dedup();
        codecs
    }
}

/// Looks for encoders in hardware: those that ffmpeg has, of the kinds asked for, that encode a test's pictures so that software
/// decodes them as they were. Blocks, for seconds where there are some.
pub(super) fn find(
    mode: &HardwareMode,
    tools: &Tools,
    sandbox: &Sandbox,
    dir: &DataDir,
) -> io::Result<Vec<HardwareEncoder>> {
    let wanted = |family: Family| match mode {
        HardwareMode::Off => false,
        HardwareMode::Auto => family.has_device(),
        HardwareMode::Only(families) => families.contains(&family),
    };
    let listed = |encoder: &HardwareEncoder| {
        encoder.name().is_some_and(|name| tools.features.lists_encoder(name)) && wanted(encoder.family)
    };
    let mut found: Vec<HardwareEncoder> = Vec::new();
    for encoder in HardwareEncoder::all().filter(listed) {
        if found.iter().any(|other| other.codec == encoder.codec) {
            // The first kind that works is the one that is used.
            continue;
        }
        match test(encoder, tools, sandbox, dir)? {
            Ok(()) => {
                tracing::info!(%encoder, "an encoder in hardware works, and is used by the profiles that allow it");
                found.push(encoder);
            }
            Err(reason) => {
                tracing::info!(%encoder, reason, "an encoder in hardware does not work here: software encodes");
            }
        }
    }
    Ok(found)
}

/// All bytes of a child's stdout, within bounds.
#[derive(Default)]
struct Output(Vec<u8>);

impl Listener for Output {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() as u64 <= TEST_BYTES_MAX
    }
}

/// Whether the encoder writes what it was given; else why not.
fn test(
    encoder: HardwareEncoder,
    tools: &Tools,
    sandbox: &Sandbox,
    dir: &DataDir,
) -> io::Result<Result<(), String>> {
    let folder = dir.scratch_folder("job-")?;
    let file = folder.path().join("test.mp4");
    let mut heard = Output::default();
    let mut run = |args, input: &Path, device| {
        let allowed = Allowed {
            input,
            output_dir: Some(folder.path()),
            file_bytes_max: TEST_BYTES_MAX,
            cpu_seconds_max: TEST_TIME_MAX.as_secs(),
            device,
        };
        let mut command = sandbox.command(&tools.ffmpeg, args, &allowed);
        command.current_dir(folder.path());
        let deadline = Instant::now() + TEST_TIME_MAX;
        let outcome = child::run(&mut command, deadline, &Cancel::new()?, &mut heard)?;
        Ok::<_, io::Error>(match outcome.ended {
            Ended::Exited(status) if status.success() => Ok(()),
            Ended::Exited(status) => {
                Err(outcome.stderr.lines().last().map_or_else(|| status.to_string(), str::to_owned))
            }
            other => Err(format!("{other:?}")),
        })
    };
    let encoded =
        run(hardware_test::encode_argv(encoder, &file), Path::new("/dev/null"), Some(encoder.family))?;
    if let Err(reason) = encoded {
        return Ok(Err(reason));
    }
    if let Err(reason) = run(hardware_test::decode_argv(&file), &file, None)? {
        return Ok(Err(format!("what it writes can't be decoded: {reason}")));
    }
    Ok(hardware_test::check(&heard.0).map_err(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NVENC: HardwareEncoder = HardwareEncoder { family: Family::Nvenc, codec: VideoCodec::H264 };
    const VAAPI: HardwareEncoder = HardwareEncoder { family: Family::Vaapi, codec: VideoCodec::H264 };

    #[test]
    fn an_encoder_that_fails_rests_and_another_one_is_used_meanwhile() {
        let (hardware, now) = (Hardware::default(), Instant::now());
        assert_eq!(hardware.choose(VideoCodec::H264, now), None);
        hardware.set(&[VAAPI, NVENC]);
        assert_eq!(hardware.choose(VideoCodec::H264, now), Some(NVENC));
        assert_eq!(hardware.choose(VideoCodec::Vp9, now), None);
        assert_eq!(hardware.failed(NVENC, now), REST_MIN);
        assert_eq!(hardware.choose(VideoCodec::H264, now), Some(VAAPI));
        assert_eq!(hardware.choose(VideoCodec::H264, now + REST_MIN), Some(NVENC));
        assert_eq!(hardware.failed(NVENC, now), 2 * REST_MIN);
        for _ in 0..40 {
            hardware.failed(NVENC, now);
        }
        assert_eq!(hardware.failed(NVENC, now), REST_MAX);
        hardware.worked(NVENC);
        assert_eq!(hardware.choose(VideoCodec::H264, now), Some(NVENC));
        assert_eq!(hardware.failed(NVENC, now), REST_MIN, "it begins anew");
        assert_eq!(hardware.codecs(), [VideoCodec::H264]);
    }

    #[test]
    fn what_is_looked_for_is_told_by_name() {
        assert_eq!("auto".parse(), Ok(HardwareMode::Auto));
        assert_eq!("off".parse(), Ok(HardwareMode::Off));
        assert_eq!("nvenc, v4l2".parse(), Ok(HardwareMode::Only(vec![Family::Nvenc, Family::V4l2])));
        let error = "nvenc,cuda".parse::<HardwareMode>().unwrap_err().to_string();
        assert!(error.contains("\"cuda\"") && error.contains("use nvenc, qsv, vaapi or v4l2"), "{error}");
    }
}
