//! What the chain of filters costs beside the plain scale: ffmpeg as a node runs it for `360p`, and the same command line with `scale` in
//! place of its filters, by turns.
//!
//! `cargo bench --bench chain -- CLIP [ROUNDS]` prints a line of JSON: CPU seconds of both, median and least, and their ratios. The
//! clip should be progressive and of BT.709, which is what most uploads are.

mod cpu;

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use starling::content::{ClientTag, MediaLimits};
use starling::media::{Plan, Run};
use starling::profile::ProfileSet;
use starling::workers::sandbox::Sandbox;
use starling::workers::{Prober, Tools};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let clip = PathBuf::from(args.first().ok_or("give a clip")?);
    let rounds: usize = args.get(1).map_or(Ok(9), |arg| arg.parse())?;
    let folder = tempfile::tempdir_in("target")?;
    let chain = command_line(&clip, &folder.path().join("out.mp4"))?;
    let plain = plain(&chain)?;
    let (mut of_chain, mut of_plain) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whichever runs second finds the file in memory, and the machine as warm as it gets.
        let mut both = [(&chain, &mut of_chain), (&plain, &mut of_plain)];
        if round % 2 == 1 {
            both.reverse();
        }
        for (args, times) in both {
            times.push(cpu_seconds(args)?);
        }
    }
    let filters = chain[position(&chain)? + 1].to_string_lossy().into_owned();
    let (chain_median, chain_least) = median_and_least(&mut of_chain);
    let (plain_median, plain_least) = median_and_least(&mut of_plain);
    println!(
        "{{\"clip\":{:?},\"rounds\":{rounds},\"chain\":{:?},\"chain_cpu_s\":{chain_median:.2},\"plain_cpu_s\":{plain_median:.2},\
         \"ratio_of_medians\":{:.3},\"ratio_of_least\":{:.3}}}",
        clip.display().to_string(),
        filters,
        chain_median / plain_median,
        chain_least / plain_least
    );
    Ok(())
}

/// ffmpeg's arguments for `360p`, as a node gives them.
fn command_line(clip: &Path, output: &Path) -> Result<Vec<OsString>> {
    let limits = MediaLimits::default();
    let tools = std::sync::Arc::new(Tools::find(Path::new("ffmpeg"), Path::new("ffprobe"))?);
    let features = tools.features.clone();
    let sandbox = Sandbox { launcher: Some(env!("CARGO_BIN_EXE_starling").into()), ..Sandbox::default() };
    let prober = Prober::new(tools, sandbox, limits.clone(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let info = runtime.block_on(prober.probe(clip, ClientTag(1)))?;
    let profile = ProfileSet::builtin().get(&"360p".parse()?).ok_or("no profile `360p`")?;
    let plan = Plan::new(&info, &profile, &features, false)?;
    Ok(plan.argv(&profile, &Run { input: clip, output, threads: 2, limits: &limits, hardware: None }))
}

/// The same with nothing but the scale to the same size.
fn plain(chain: &[OsString]) -> Result<Vec<OsString>> {
    let mut plain = chain.to_vec();
    plain[position(chain)? + 1] = "scale=640:360".into();
    Ok(plain)
}

fn position(args: &[OsString]) -> Result<usize> {
    args.iter().position(|arg| arg == "-vf").ok_or_else(|| "there are no filters".into())
}

fn cpu_seconds(args: &[OsString]) -> Result<f64> {
    let before = cpu::of_children()?;
    let status = Command::new("ffmpeg").args(args).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(cpu::of_children()? - before) } else { Err("ffmpeg failed".into()) }
}

fn median_and_least(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}
