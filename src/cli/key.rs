//! `starling key`: the cluster's keys.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use starling::config::{KeyFile, NewKeyFileError};

/// Make keys for a cluster
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new key, as a line of a key file, or make a file with it
    New {
        /// Make this file, readable by its owner alone; one that is there already is an error and stays as it is
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,

        /// A file that is there already is no error
        #[arg(long, requires = "file")]
        if_absent: bool,
    },
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::New { file, if_absent } = &args.command;
    match file.as_deref().map(KeyFile::create) {
        None => std::io::stdout().write_all(KeyFile::new_line().as_bytes())?,
        Some(Ok(())) => {}
        Some(Err(NewKeyFileError::Exists { .. })) if *if_absent => {}
        Some(Err(error)) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
