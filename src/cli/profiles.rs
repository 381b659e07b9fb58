//! `starling profiles`: what can be asked for, and whether a profile file is good.

use std::path::PathBuf;
use std::process::ExitCode;

use starling::client::{Endpoint, Profiles};
use starling::profile::ProfileSet;

use super::{out, runtime};

/// Exit status for a file that can't be used.
const EXIT_FAULTY: u8 = 2;

/// Show what can be asked for and what it makes; check a profile file
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// The node to ask: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    node: Endpoint,

    /// Print the node's own JSON (the answer of GET /profiles), one line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: super::reach::Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read profile files as `starling node --profiles` does, and say what is wrong with them: exit status 2 if anything is
    Check {
        /// TOML files; a later one's profiles take the place of an earlier one's
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(Command::Check { files }) => check(&files),
        None => runtime::block_on(async {
            let (raw, profiles) = Profiles::fetch(&args.reach.client()?, &args.node).await?;
            if args.json {
                // Read above, so it is one JSON value; it says what the node wrote.
                out::json_text(&String::from_utf8(raw.trim_ascii().to_vec())?)?;
            } else {
                out::lines(&profiles.table())?;
            }
            Ok(ExitCode::SUCCESS)
        }),
    }
}

fn check(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    match ProfileSet::with_files(files) {
        Ok(set) => {
            let names: Vec<_> = set.iter().map(|profile| profile.name.as_str()).collect();
            out::lines(&format!("good: {} by default, of {}", set.default_name(), names.join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            out::complain(error);
            Ok(ExitCode::from(EXIT_FAULTY))
        }
    }
}
