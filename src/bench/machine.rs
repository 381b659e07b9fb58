//! What this machine can do: bare ffmpeg on the clips, and no Starling around it.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::process::Command;

use super::report::Machine;
use super::{BenchError, clips};
use crate::client::load::Source;

/// The part of bare ffmpeg's rate that counts as the cluster's capacity, and of the cores that its nodes share: the rest is
/// for the load generator, and for a shaper in user space.
const CLUSTER_PART: f64 = 0.9;
/// Bare ffmpeg is measured for so long at least, so that its start does not count.
const MEASURED_MIN: Duration = Duration::from_secs(10);

/// Cores that each node of a lab may use, so that a node that is busy can't take what is another's.
pub(super) fn cpus_per_node(cores: usize, nodes: u8) -> f64 {
    cores as f64 * CLUSTER_PART / f64::from(nodes.max(1))
}

/// Measures it. `scratch` takes what ffmpeg makes.
pub(super) async fn measure(
    sources: &[Source],
    made: bool,
    short: bool,
    scratch: &Path,
) -> Result<Machine, BenchError> {
    let cores = available_parallelism().map_or(1, usize::from);
    let least = if short { Duration::ZERO } else { MEASURED_MIN };
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    // Each clip once at least, and as often as each other but for the last round.
    let slot = async |slot: usize| {
        let mut done = 0u32;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= sources.len() && began.elapsed() >= least {
                return Ok::<_, BenchError>(done);
            }
            let clip = &sources[number % sources.len()].path;
            clips::ffmpeg(bare(clip, &scratch.join(format!("bare{slot}.mp4"))), clip).await?;
            done += 1;
        }
    };
    let mut done = 0;
    for slot in join_all((0..cores).map(slot)).await {
        done += slot?;
    }
    let per_s = f64::from(done) / began.elapsed().as_secs_f64().max(1e-3);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Machine {
        cores,
        cpu: cpu(),
        ffmpeg: version().await?,
        clips: sources.iter().map(|source| (name(&source.path), source.bytes)).collect(),
        clips_made: made,
        bare_per_s: per_s,
        capacity_per_s: per_s * CLUSTER_PART,
        cpus_per_node: None,
        isolation: String::new(),
        links: String::new(),
    })
}

/// The paper's recipe, as profile `paper` has it, by ffmpeg alone.
fn bare(from: &Path, to: &Path) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(from)
        .args(["-vf", "scale=640:360", "-c:v", "libx264", "-preset", "fast", "-crf", "28"])
        .args(["-c:a", "aac", "-b:a", "128k"])
        .arg(to);
    command
}

async fn version() -> Result<String, BenchError> {
    let mut command = Command::new("ffmpeg");
    command.arg("-version").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(BenchError::NoFfmpeg)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The processor's name, as the kernel tells it.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_share_what_is_left_for_them() {
        assert!((cpus_per_node(2, 5) - 0.36).abs() < 1e-9);
        assert!((cpus_per_node(20, 5) - 3.6).abs() < 1e-9);
    }
}
