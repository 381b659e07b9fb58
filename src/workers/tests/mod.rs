//! The pool with real ffmpeg, and with stand-ins for an ffmpeg that misbehaves.

mod ladders;
mod look;
mod misbehaviour;
mod pool;
mod previews;
mod transcodes;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sandbox::Sandbox;
use super::*;
use crate::content::{ClientTag, ContentId, MediaInfo, MediaLimits, VideoInfo};
use crate::profile::{Profile, ProfileSet};
use crate::store::DataDir;

/// A pool with a data folder of its own.
struct Rig {
    pool: Pool,
    dir: DataDir,
    folder: tempfile::TempDir,
}

struct Setup<'a> {
    ffmpeg: &'a Path,
    workers: usize,
    queue: usize,
    limits: MediaLimits,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { ffmpeg: Path::new("ffmpeg"), workers: 1, queue: 4, limits: MediaLimits::default() }
    }
}

const CLIENT: ClientTag = ClientTag(1);

impl Rig {
    fn new(setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path().join("data")).unwrap();
        let pool = Pool::start(PoolConfig {
            workers: setup.workers,
            queue_capacity_jobs: setup.queue,
            tools: Tools::find(setup.ffmpeg, Path::new("ffprobe")).unwrap(),
            // The launcher is a program of its own, which tests/it has.
            sandbox: Sandbox { launcher: None, ..Sandbox::default() },
            limits: setup.limits.clone(),
            dir: dir.clone(),
            hardware: HardwareMode::Off,
            events: crate::events::Events::default(),
        })
        .unwrap();
        Self { pool, dir, folder }
    }

    /// A job on a file that a stand-in for ffmpeg doesn't look at.
    fn job(&self, deadline: Duration) -> Job {
        let input = self.folder.path().join("input");
        std::fs::write(&input, "input").unwrap();
        let video = VideoInfo { width: 64, height: 64, frames: 25, fps: 25.0, ..VideoInfo::default() };
        let info =
            MediaInfo { duration: Some(Duration::from_secs(1)), video: Some(video), ..MediaInfo::default() };
        Job {
            input: Job::kept(input),
            content: ContentId::of(b"input"),
            client: CLIENT,
            profile: profile("360p"),
            info,
            deadline: Instant::now() + deadline,
            limit: Instant::now() + deadline,
        }
    }

    /// A job on a real clip.
    async fn clip_job(&self, name: &str, arguments: &str) -> Job {
        let input = clip(&self.folder, arguments);
        let info = self.pool.prober().probe(&input, CLIENT).await.unwrap();
        Job {
            input: Job::kept(input),
            content: ContentId::of(arguments.as_bytes()),
            client: CLIENT,
            profile: profile(name),
            info,
            deadline: Instant::now() + Duration::from_secs(60),
            limit: Instant::now() + Duration::from_secs(60),
        }
    }

    /// Files that are left in the making.
    fn leftovers(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.dir.tmp()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits for a state of the pool that comes by itself.
    async fn until(&self, what: impl Fn(&PoolStats) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !what(&self.pool.stats()) {
            assert!(Instant::now() < give_up, "never came to it: {:?}", self.pool.stats());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn profile(name: &str) -> Arc<Profile> {
    ProfileSet::builtin().get(&name.parse().unwrap()).unwrap()
}

/// Makes a clip of what ffmpeg's test sources give: `arguments` stand between `ffmpeg` and the file's name.
fn clip(folder: &tempfile::TempDir, arguments: &str) -> PathBuf {
    let number = std::fs::read_dir(folder.path()).unwrap().count();
    let path = folder.path().join(format!("clip{number}.mp4"));
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success(), "ffmpeg makes no clip of {arguments}");
    path
}

/// A script that plays ffmpeg: `body` is run with `$out` set to the file that is to be written.
fn stub(folder: &tempfile::TempDir, body: &str) -> PathBuf {
    let path = folder.path().join("ffmpeg");
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in -version) echo 'ffmpeg version 5.1.9 stub'; exit;; -codecs|-filters) exit;; esac\n\
         for out; do :; done\nout=${{out#file:}}\n{body}\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
