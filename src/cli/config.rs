//! `starling config`: the TOML file of a node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use starling::config::{EXAMPLE, NodeConfig, NodeOptions};

use super::node::EXIT_USAGE;
use super::out;

/// Print an example of a node's TOML file, or check one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a file with every key, what it does, and its default
    Example,
    /// Read files as `starling node --config` does, with the keys, tokens, certificates and profiles that they name, and say of each what
    /// is wrong first: exit status 2 if anything is. Flags and the environment are left aside
    Check {
        /// TOML files, each of one node
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match &args.command {
        Command::Example => {
            out::lines(EXAMPLE.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Check { files } => files,
    };
    let mut failed = false;
    for file in files {
        match NodeOptions::from_file(file).and_then(NodeConfig::from_options) {
            Ok(config) => out::lines(&format!(
                "{}: node {} in zone {}, gossip {}, HTTP {}",
                file.display(),
                config.name,
                config.zone,
                config.gossip,
                config.http
            ))?,
            Err(error) => {
                failed = true;
                let name = if error.names_file() { String::new() } else { format!("{}: ", file.display()) };
                out::complain(format_args!("starling config: {name}{error}"));
            }
        }
    }
    Ok(if failed { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS })
}
