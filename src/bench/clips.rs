//! The videos that are sent: a folder's, or a few that ffmpeg makes from the seed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::process::Command;

use super::BenchError;
use crate::client::load::{Source, find};

/// One clip is not longer at work than this.
const FFMPEG_TIME_MAX: Duration = Duration::from_secs(300);

/// What clips look like.
struct Look {
    count: usize,
    size: &'static str,
    seconds: (f64, f64),
}

const USUAL: Look = Look { count: 8, size: "1280x720", seconds: (2.0, 6.0) };
const SMALL: Look = Look { count: 2, size: "320x180", seconds: (0.4, 0.8) };

/// The videos of a folder, each of a format that can be made unique.
pub(super) fn given(folder: &Path) -> Result<Vec<Source>, BenchError> {
    Ok(find(&[folder.to_owned()], true)?)
}

/// Makes clips in `folder`: the same seed and the same ffmpeg make the same clips.
pub(super) async fn make(folder: &Path, seed: u64, short: bool) -> Result<Vec<Source>, BenchError> {
    let look = if short { SMALL } else { USUAL };
    let mut rng = StdRng::seed_from_u64(seed ^ 0x000c_11b5);
    for number in 1..=look.count {
        let seconds = rng.random_range(look.seconds.0..look.seconds.1);
        let (noise, tone) = (rng.random_range(2..12), rng.random_range(200..900));
        let picture = format!(
            "testsrc2=size={}:rate=30:duration={seconds:.3},noise=alls={noise}:allf=t:all_seed={}",
            look.size,
            rng.random_range(1..100_000)
        );
        let sound = format!("sine=frequency={tone}:duration={seconds:.3}");
        let path = folder.join(format!("clip{number}.mp4"));
        let mut command = Command::new("ffmpeg");
        command
            .args([
                "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound,
            ])
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-crf",
                "23",
                "-pix_fmt",
                "yuv420p",
                "-threads",
                "1",
            ])
            .args(["-c:a", "aac", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"])
            .arg(&path);
        ffmpeg(command, &path).await?;
    }
    given(folder)
}

/// Runs ffmpeg to its end. `path` is what it is about.
pub(super) async fn ffmpeg(mut command: Command, path: &Path) -> Result<(), BenchError> {
    let failed = |reason: String| BenchError::Ffmpeg { path: path.to_owned(), reason };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(BenchError::NoFfmpeg)?;
    let late = |_| failed(format!("it did not end within {} s", FFMPEG_TIME_MAX.as_secs()));
    let output = tokio::time::timeout(FFMPEG_TIME_MAX, child.wait_with_output()).await.map_err(late)?;
    let output = output.map_err(BenchError::NoFfmpeg)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next_back().unwrap_or_default();
    Err(failed(if line.is_empty() { output.status.to_string() } else { line.to_owned() }))
}
