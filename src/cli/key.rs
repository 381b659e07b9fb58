//! `starling key`: the cluster's keys.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use starling_overlay::{KEY_BYTES, Keyring};

/// Make keys for a cluster
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new key, as a line of a key file: starling key new > cluster.key; chmod 600 cluster.key
    New,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::New = args.command;
    let key: [u8; KEY_BYTES] = rand::random();
    writeln!(std::io::stdout(), "{}", Keyring::line(&key))?;
    Ok(ExitCode::SUCCESS)
}
