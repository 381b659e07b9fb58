use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, getppid, nice, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;

use super::{acts, descriptors, devices, landlock, rights, seccomp};
use crate::media::Family;

/// What a process takes from itself before it turns into the program it runs.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// The process that has to be the parent still.
    pub parent: u32,
    /// Added to the niceness.
    pub nice: i32,
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// Longest file that may be written.
    pub file_bytes: u64,
    /// CPU time, in seconds.
    pub cpu_seconds: u64,
    /// Files that may be read, besides the system's libraries.
    pub readable: Vec<PathBuf>,
    /// Folders that may be written in.
    pub writable: Vec<PathBuf>,
    /// The kind of encoder in hardware whose devices may be used.
    pub device: Option<Family>,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// There is nothing to run.
    #[error("no program given after --")]
    NoProgram,
    /// The node went away while the child was being started.
    #[error("the parent process is gone")]
    Orphaned,
    /// A step failed that is not optional.
    #[error("{step}: {source}")]
    Step {
        /// Which one.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Confines the calling process and turns it into `command`. Comes back only with an error.
///
/// What the kernel must have, it must grant: limits, no new privileges, no capabilities, death with the parent. Landlock and
/// seccomp are used as far as the kernel has them; the node says at start what holds.
pub fn confine_and_exec(confinement: &Confinement) -> ConfineError {
    match confine(confinement) {
        Ok(mut command) => ConfineError::Step { step: "exec", source: command.exec() },
        Err(error) => error,
    }
}

/// Confines the calling process and has it try what it should not be able to do; it says what came of it on stdout. What
/// comes last kills it, so that it comes back only where that failed.
pub fn confine_and_check(confinement: &Confinement) -> Result<(), ConfineError> {
    let node = getppid().ok_or(ConfineError::Orphaned)?;
    // By this name also where the folder that it is in is closed to this user.
    confine_for(confinement, Path::new("/proc/self/exe"))?;
    acts::try_all(node).map_err(|source| ConfineError::Step { step: "say what holds", source })
}

/// Confines the calling process, which goes on as what it is: nothing more of the system is loaded.
pub fn confine_and_stay(confinement: &Confinement) -> Result<(), ConfineError> {
    confine_for(confinement, Path::new("/"))
}

fn confine(this: &Confinement) -> Result<Command, ConfineError> {
    let (program, args) = this.command.split_first().ok_or(ConfineError::NoProgram)?;
    confine_for(this, program.as_ref())?;
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

fn confine_for(this: &Confinement, program: &Path) -> Result<(), ConfineError> {
    step("death signal", set_parent_process_death_signal(Some(Signal::KILL)))?;
    // The parent may have gone between the fork and the line above; then no signal comes.
    if getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned()) != Some(this.parent) {
        return Err(ConfineError::Orphaned);
    }
    step("no new privileges", set_no_new_privs(true))?;
    step("nice", nice(this.nice).map(drop))?;
    first_to_go()?;
    if !this.device.is_some_and(devices::maps_all_memory) {
        limit("address space", Resource::As, this.memory_bytes)?;
    }
    limit("file size", Resource::Fsize, this.file_bytes)?;
    limit("CPU time", Resource::Cpu, this.cpu_seconds)?;
    limit("core size", Resource::Core, 0)?;
    limit("open files", Resource::Nofile, 64)?;
    step("capabilities", rights::drop_all())?;
    descriptors::close_at_exec().map_err(|source| ConfineError::Step { step: "open files", source })?;
    landlock::restrict(program, &this.readable, &this.writable, this.device)
        .map_err(|error| ConfineError::Step { step: "landlock", source: io::Error::other(error) })?;
    seccomp::restrict(this.device.is_some()).map_err(|source| ConfineError::Step { step: "seccomp", source })
}

/// Where the machine runs out of memory, the kernel ends this process rather than any other, the node above all.
fn first_to_go() -> Result<(), ConfineError> {
    match std::fs::write("/proc/self/oom_score_adj", "1000") {
        // Not everywhere is there a /proc that can be written.
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem) =>
        {
            Err(ConfineError::Step { step: "oom_score_adj", source: error })
        }
        _ => Ok(()),
    }
}

fn limit(step_name: &'static str, resource: Resource, value: u64) -> Result<(), ConfineError> {
    // Never above what this process was given itself: that would need a privilege.
    let hard = rustix::process::getrlimit(resource).maximum;
    let value = hard.map_or(value, |hard| hard.min(value));
    step(step_name, setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }))
}

fn step(step: &'static str, result: rustix::io::Result<()>) -> Result<(), ConfineError> {
    result.map_err(|error| ConfineError::Step { step, source: error.into() })
}
