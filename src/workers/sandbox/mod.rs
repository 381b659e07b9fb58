//! Confinement of ffmpeg and ffprobe, which read what strangers send.
//!
//! A child is started as `starling sandbox … -- ffmpeg …`: the hidden subcommand confines itself and then turns into
//! ffmpeg by exec. So no code runs between fork and exec here, and a node that is killed takes its children with it.

mod acts;
mod confine;
mod descriptors;
mod devices;
mod guarantees;
mod landlock;
mod rights;
mod seccomp;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use super::webp::WebpAct;
use crate::media::Family;

pub use confine::{ConfineError, Confinement, confine_and_check, confine_and_exec, confine_and_stay};
pub use guarantees::Guarantees;
pub use landlock::supported as landlock_supported;

/// How children are started.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The `starling` program whose `sandbox` subcommand confines the child. `None` runs children unconfined: only for
    /// tests of what is around them.
    pub launcher: Option<PathBuf>,
    /// Added to the child's niceness, so that gossip and HTTP never wait for an encoder.
    pub nice: u8,
    /// Address space of one child.
    pub memory_bytes_max: u64,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            // Not the path it was started by: this stays the same program while it is being replaced by an upgrade.
            launcher: Some(PathBuf::from("/proc/self/exe")),
            nice: 10,
            memory_bytes_max: 4 << 30,
        }
    }
}

/// What one child may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed<'a> {
    /// The one file of ours that it may read.
    pub input: &'a Path,
    /// The folder that it may write in; `None`: nowhere.
    pub output_dir: Option<&'a Path>,
    /// Longest file it may write.
    pub file_bytes_max: u64,
    /// CPU time after which the kernel ends it, should the node not be able to.
    pub cpu_seconds_max: u64,
    /// The kind of encoder in hardware whose devices it may use; `None`: no device.
    pub device: Option<Family>,
}

/// Children that made a system call which only an attacker makes.
static VIOLATIONS: AtomicU64 = AtomicU64::new(0);

/// How many children were killed by the filter of system calls since this process started.
pub fn violations_total() -> u64 {
    VIOLATIONS.load(Ordering::Relaxed)
}

/// Counts a child that the filter killed, and tells of it.
pub(super) fn tell_violation(pid: u32) {
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(
        pid,
        hint = "only an attacker makes such a call: see \"Media from strangers\" in docs/OPERATIONS.md",
        "a media tool was killed for a forbidden system call"
    );
}

impl Sandbox {
    /// The command that runs `program` with `args` confined.
    pub(super) fn command(&self, program: &Path, args: Vec<OsString>, allowed: &Allowed<'_>) -> Command {
        let mut command = if let Some(launcher) = &self.launcher {
            let mut command = self.confining(launcher, allowed);
            command.arg("--").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args);
        clean_environment(&mut command);
        if allowed.device.is_some() {
            keep_of_environment(&mut command, &devices::ENVIRONMENT);
        }
        command
    }

    /// The command by which a process of this program does that with the WebP file that it is allowed to read.
    pub(super) fn webp(&self, act: WebpAct, allowed: &Allowed<'_>) -> io::Result<Command> {
        // Of tests of what is around it there is one that has no program of its own.
        let launcher = self.launcher.as_ref().ok_or_else(|| io::Error::other("children are not confined"))?;
        let mut command = self.confining(launcher, allowed);
        command.arg("--webp").arg(act.as_str());
        clean_environment(&mut command);
        Ok(command)
    }

    /// The command that tries out what holds.
    fn checking(&self, allowed: &Allowed<'_>) -> io::Result<Command> {
        let launcher = self.launcher.as_ref().ok_or_else(|| io::Error::other("children are not confined"))?;
        let mut command = self.confining(launcher, allowed);
        command.arg("--check").stdin(std::process::Stdio::null());
        clean_environment(&mut command);
        Ok(command)
    }

    fn confining(&self, launcher: &Path, allowed: &Allowed<'_>) -> Command {
        let mut command = Command::new(launcher);
        command.arg("sandbox");
        let mut option = |name: &str, value: &OsStr| {
            command.arg(name).arg(value);
        };
        let number = |value: u64| OsString::from(value.to_string());
        option("--parent", &number(std::process::id().into()));
        option("--nice", &number(self.nice.into()));
        option("--memory-bytes", &number(self.memory_bytes_max));
        option("--file-bytes", &number(allowed.file_bytes_max));
        option("--cpu-seconds", &number(allowed.cpu_seconds_max));
        option("--readable", allowed.input.as_os_str());
        if let Some(dir) = allowed.output_dir {
            option("--writable", dir.as_os_str());
        }
        if let Some(device) = allowed.device {
            option("--device", OsStr::new(device.as_str()));
        }
        command
    }
}

/// The node's environment may hold its cluster key; a child has no use for any of it.
fn clean_environment(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C").env("AV_LOG_FORCE_NOCOLOR", "1").env("SVT_LOG", "1");
    keep_of_environment(command, &["PATH", "LD_LIBRARY_PATH"]);
}

fn keep_of_environment(command: &mut Command, names: &[&str]) {
    for name in names {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}
