//! The `starling` command.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::from_command_line().run()
}
