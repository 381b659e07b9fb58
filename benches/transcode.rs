//! The worker pool beside bare ffmpeg: `xargs -P$(nproc) ffmpeg` with the paper's command line on the same clips.
//!
//! `cargo bench --bench transcode -- FOLDER [ROUNDS]` prints a line of JSON: medians of wall time and of CPU time of all
//! children, and the ratios of rates. The pool does more than bare ffmpeg: it probes each input, confines each child,
//! verifies and hashes each result.

mod cpu;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling::content::{ClientTag, ContentId, MediaLimits};
use starling::profile::ProfileSet;
use starling::store::DataDir;
use starling::workers::sandbox::Sandbox;
use starling::workers::{HardwareMode, Job, Pool, PoolConfig, Tools};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let folder = args.first().ok_or("give a folder of clips")?;
    let rounds: usize = args.get(1).map_or(Ok(3), |arg| arg.parse())?;
    let mut clips: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    clips.retain(|path| path.extension().is_some_and(|extension| extension == "mp4"));
    clips.sort();
    let cores = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut bare, mut pool) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(measured(|| xargs(&clips, cores))?);
        pool.push(measured(|| runtime.block_on(pooled(&clips, cores)))?);
    }
    let (bare, pool) = (medians(&bare), medians(&pool));
    println!(
        "{{\"clips\":{},\"cores\":{cores},\"rounds\":{rounds},\"bare_s\":{:.2},\"pool_s\":{:.2},\"rate_ratio\":{:.3},\
         \"bare_cpu_s\":{:.2},\"pool_cpu_s\":{:.2},\"cpu_ratio\":{:.3}}}",
        clips.len(),
        bare.0,
        pool.0,
        bare.0 / pool.0,
        bare.1,
        pool.1,
        bare.1 / pool.1
    );
    Ok(())
}

fn xargs(clips: &[PathBuf], cores: usize) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let list: Vec<String> = clips.iter().map(|path| path.display().to_string()).collect();
    std::fs::write(folder.path().join("list"), list.join("\n"))?;
    let script = format!(
        "xargs -P{cores} -I@ sh -c 'ffmpeg -v error -nostdin -y -i @ -vf scale=640:360 -c:v libx264 -preset fast -crf 28 \
         -movflags +faststart out-$(basename @)' < list"
    );
    let status =
        Command::new("sh").args(["-c", &script]).current_dir(folder.path()).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("xargs ffmpeg failed".into()) }
}

async fn pooled(clips: &[PathBuf], cores: usize) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let pool = Pool::start(PoolConfig {
        workers: cores,
        queue_capacity_jobs: clips.len(),
        tools: Tools::find(Path::new("ffmpeg"), Path::new("ffprobe"))?,
        // Not nice: whatever else the machine does is to fall on both alike.
        sandbox: Sandbox {
            launcher: Some(env!("CARGO_BIN_EXE_starling").into()),
            nice: 0,
            ..Sandbox::default()
        },
        limits: MediaLimits::default(),
        dir: DataDir::open(folder.path())?,
        hardware: HardwareMode::Off,
        events: starling::events::Events::default(),
    })?;
    let profiles = ProfileSet::builtin();
    let profile = profiles.get(&"paper".parse()?).ok_or("no profile `paper`")?;
    let (pool, profile) = (&pool, &profile);
    let jobs = clips.iter().map(|clip| async move {
        let info = pool.prober().probe(clip, ClientTag(1)).await?;
        let job = Job {
            input: Job::kept(clip),
            content: ContentId::of(clip.as_os_str().as_encoded_bytes()),
            client: ClientTag(1),
            profile: Arc::clone(profile),
            info,
            deadline: Instant::now() + Duration::from_secs(600),
            limit: Instant::now() + Duration::from_secs(600),
        };
        pool.submit(job)?.wait().await?;
        Result::Ok(())
    });
    futures_util::future::try_join_all(jobs).await.map(drop)
}

/// Wall time, and CPU time of the children that ended meanwhile, in seconds.
fn measured(run: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (start, before) = (Instant::now(), cpu::of_children()?);
    run()?;
    Ok((start.elapsed().as_secs_f64(), cpu::of_children()? - before))
}

fn medians(rounds: &[(f64, f64)]) -> (f64, f64) {
    let median = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(|round| round.0), median(|round| round.1))
}
