//! The command line: a file a subcommand.

mod bench;
mod config;
mod events;
mod job;
mod key;
mod lab;
mod lab_logs;
mod load;
mod log;
mod members;
mod monitor;
mod node;
mod out;
mod policy;
mod profiles;
mod reach;
mod runtime;
mod sandbox;
mod shell;
mod sim;
mod token;
mod top;
mod upload;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Longest time that an option takes.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// A decentralized video-transcoding cluster in one binary
#[derive(Parser)]
#[command(name = "starling", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one node
    Node(Box<node::Args>),
    /// Have a running node take no new work and give the jobs that wait there to others: the same as `starling node drain`
    Drain(work::Drain),
    /// Run a whole cluster on this machine: network namespaces, shaped links, published on localhost
    Lab(Box<lab::Args>),
    /// Send files to a node, with a progress bar, and save the transcoded results
    Upload(upload::Args),
    /// Watch a cluster: its dashboard with the figures of all nodes, their history, and load generators' reports
    Monitor(Box<monitor::MonitorArgs>),
    /// Watch a cluster in the terminal: nodes, links, events and jobs
    Top(top::Args),
    /// Show the membership as one node sees it: zone, state, RTT, load, age of the load
    Members(members::Args),
    /// Show what happens, as one node sees it: members that fail and come back, uploads, jobs
    Events(events::Args),
    /// List, show, watch, cancel and retry jobs: uploads whose answer is fetched later
    Job(job::Args),
    /// Send many uploads at once, each to a random node, and report what came of them
    Load(Box<load::Args>),
    /// Run the paper's experiments on a lab of this machine, and write a report
    Bench(Box<bench::Args>),
    /// Show what can be asked for and what it makes; check a profile file
    Profiles(profiles::Args),
    /// Print an example of a node's TOML file, or check one
    Config(config::Args),
    /// Show or change the routing policy of running nodes
    Policy(policy::Args),
    /// Make keys for a cluster
    Key(key::Args),
    /// Make tokens for clients, list and revoke them
    Token(token::Args),
    /// Simulate the overlay: virtual time, the same state machine as the real node
    Sim(Box<sim::Args>),
    /// Print a script that completes the command line in a shell
    Completions(shell::CompletionsArgs),
    /// Write the manual pages into a folder, one for each command
    Man(shell::ManArgs),
    /// Confine this process, then become a media tool (used by the node itself)
    #[command(hide = true)]
    Sandbox(sandbox::Args),
}

impl Cli {
    /// Parses the process's arguments. Those that cannot be used end the process with status 2 and a line that says why.
    pub fn from_command_line() -> Self {
        let command = taking_negative_numbers(Self::command());
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command that was given.
    pub fn run(self) -> ExitCode {
        let result = match self.command {
            // Becomes another program: no runtime, no threads.
            Command::Sandbox(args) => return sandbox::run(&args),
            Command::Node(args) => match *args {
                node::Args { command: Some(command), .. } => runtime::block_on(work::run(command)),
                args => node::run(args),
            },
            Command::Drain(args) => runtime::block_on(work::run(work::Command::Drain(args))),
            Command::Monitor(args) => monitor::run(*args),
            Command::Lab(args) => runtime::block_on(lab::run(*args)),
            Command::Sim(args) => sim::run_command(&args),
            Command::Key(args) => key::run(&args),
            Command::Token(args) => token::run(args),
            Command::Config(args) => config::run(&args),
            Command::Completions(args) => shell::completions(&args, Self::command()),
            Command::Man(args) => shell::man(&args, Self::command()),
            Command::Upload(args) => runtime::block_on(upload::run(args)),
            Command::Load(args) => runtime::block_on(load::run(*args)),
            Command::Bench(args) => runtime::block_on(bench::run(*args)),
            Command::Members(args) => runtime::block_on(members::run(args)),
            Command::Top(args) => runtime::block_on(top::run(args)),
            Command::Events(args) => runtime::block_on(events::run(args)),
            Command::Job(args) => runtime::block_on(job::run(args)),
            Command::Profiles(args) => profiles::run(args),
            Command::Policy(args) => runtime::block_on(policy::run(args)),
        };
        result.unwrap_or_else(|error| {
            out::complain(format_args!("starling: {}", told_once(&error)));
            ExitCode::FAILURE
        })
    }
}

/// The same command, with every option taking a value such as `-1`: the option's own check then refuses it by the
/// option's name. Otherwise the value would be taken for an option that there is not.
fn taking_negative_numbers(command: Clap) -> Clap {
    command
        .mut_args(|arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(taking_negative_numbers)
}

/// A time that something may take: none is no time.
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(1)..=TIME_MAX).contains(&time) => Ok(time),
        Ok(_) => Err("give 1ms to 24h".to_owned()),
        Err(error) => Err(format!("{error}; give a time such as 40s or 2m")),
    }
}

/// What is to be written goes into a folder: a file of that name can't be one.
fn is_no_file(option: &str, folder: &std::path::Path) -> anyhow::Result<()> {
    if std::fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
        anyhow::bail!(
            "{option} {}: it is a file: give a folder, which is made where there is none",
            folder.display()
        );
    }
    Ok(())
}

/// An error and its causes; those that it has told itself already are not told again.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.contains(&cause) { told } else { format!("{told}: {cause}") }
    })
}
