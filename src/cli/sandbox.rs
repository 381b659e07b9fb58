//! `starling sandbox`, hidden: confines itself as told, then turns into ffmpeg. Only the node's own workers call it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use starling::media::Family;
use starling::workers::sandbox::{Confinement, confine_and_check, confine_and_exec, confine_and_stay};
use starling::workers::webp::{self, WebpAct};

/// Exit code when the program could not be run; the shell's own for "found but can't be executed".
const CANNOT_RUN: u8 = 126;

/// Confine this process and turn it into a program.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Process id that has to be the parent.
    #[arg(long)]
    parent: u32,
    /// Added to the niceness.
    #[arg(long, default_value_t = 10)]
    nice: i32,
    /// Address space, in bytes.
    #[arg(long)]
    memory_bytes: u64,
    /// Longest file that may be written, in bytes.
    #[arg(long)]
    file_bytes: u64,
    /// CPU time, in seconds.
    #[arg(long)]
    cpu_seconds: u64,
    /// File or folder that may be read, besides the system's libraries.
    #[arg(long)]
    readable: Vec<PathBuf>,
    /// Folder that may be written in.
    #[arg(long)]
    writable: Vec<PathBuf>,
    /// Kind of encoder in hardware whose devices may be used.
    #[arg(long)]
    device: Option<Family>,
    /// Try out what can't be done, instead of running a program.
    #[arg(long, conflicts_with = "command")]
    check: bool,
    /// Read the file that may be read as a WebP, instead of running a program.
    #[arg(long, conflicts_with_all = ["command", "check"])]
    webp: Option<WebpAct>,
    /// Program and arguments.
    #[arg(last = true, required_unless_present_any = ["check", "webp"])]
    command: Vec<OsString>,
}

/// Runs the program. Comes back only if it can't, with a line on stderr.
pub fn run(args: &Args) -> ExitCode {
    let confinement = Confinement {
        parent: args.parent,
        nice: args.nice,
        memory_bytes: args.memory_bytes,
        file_bytes: args.file_bytes,
        cpu_seconds: args.cpu_seconds,
        readable: args.readable.clone(),
        writable: args.writable.clone(),
        device: args.device,
        command: args.command.clone(),
    };
    if let Some(act) = args.webp {
        return webp(act, &confinement);
    }
    let error = if args.check {
        match confine_and_check(&confinement) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error,
        }
    } else {
        confine_and_exec(&confinement)
    };
    eprintln!("starling sandbox: {error}");
    ExitCode::from(CANNOT_RUN)
}

/// A file that can't be read is told of on stderr, and in the exit code, as ffmpeg does.
fn webp(act: WebpAct, confinement: &Confinement) -> ExitCode {
    let [file] = &confinement.readable[..] else {
        eprintln!("starling sandbox: --webp takes one --readable");
        return ExitCode::from(CANNOT_RUN);
    };
    if let Err(error) = confine_and_stay(confinement) {
        eprintln!("starling sandbox: {error}");
        return ExitCode::from(CANNOT_RUN);
    }
    match webp::act(act, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
