//! `starling config`: the TOML file of a node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use starling::config::{ConfigErrors, EXAMPLE, NodeConfig, NodeOptions};

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
    /// Read files as `starling node --config` does, with the keys, tokens, certificates and profiles that they name, and say of each all
    /// that is wrong: exit status 2 if anything is. Flags and the environment are left aside
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
        match checked(file) {
            Ok(config) => out::lines(&format!(
                "{}: node {} in zone {}, gossip {}, HTTP {}",
                file.display(),
                config.name,
                config.zone,
                config.gossip,
                config.http
            ))?,
            Err(errors) => {
                failed = true;
                for error in errors.iter() {
                    let name =
                        if error.names_file() { String::new() } else { format!("{}: ", file.display()) };
                    out::complain(format_args!("starling config: {name}{error}"));
                }
            }
        }
    }
    Ok(if failed { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS })
}

/// What a file says, or all that is wrong with it: lines that can't be read, and values of the others.
fn checked(file: &Path) -> Result<NodeConfig, ConfigErrors> {
    let (options, unread) = NodeOptions::readable_of_file(file)?;
    match (unread, NodeConfig::from_options(options)) {
        (None, config) => config,
        (Some(unread), Ok(_)) => Err(unread),
        (Some(unread), Err(errors)) => Err(unread.and(errors)),
    }
}
