//! The `netem` command: shapes the links of this machine or container, and injects faults into them or into a lab's.

mod hold;
mod place;
mod play;
mod show;
mod target;

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use starling_netem::args::Action;
use starling_netem::control::{Client, Reply, Request};
use starling_netem::{Backend, Zones};

/// Real links between zones: delay, loss and partitions that every packet feels.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Control socket of the process that holds links shaped: this container's, else the running lab's
    #[arg(long, global = true, env = "NETEM_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    lab: target::Lab,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shape this machine's links in the background, until `netem clear`
    Apply(hold::Options),
    /// Shape this machine's links until this command ends
    Run(hold::Options),
    /// Say how links are: backend, nodes, links, faults
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Act(Action),
    /// Play a timeline of faults; they end with it, so its last line says when: at 60s end
    Play {
        /// Lines such as: at 10s partition FRA,IAD / BOM; the last one: at 60s end
        timeline: PathBuf,
    },
    /// Restore what was there before `netem apply`, also after a run that was killed
    Clear(ClearOptions),
    /// Print the zone file in use: the built-in one is a good one to start from
    Zones,
    /// Restores a device when its holder dies; started by `netem run`
    #[command(hide = true)]
    Guard {
        /// The device
        #[arg(long)]
        device: String,
    },
}

#[derive(clap::Args)]
struct ClearOptions {
    /// The device; found by its address if not given
    #[arg(long)]
    device: Option<String>,
    /// Zones whose addresses find the device
    #[arg(long, env = "NETEM_ZONES", value_name = "FILE")]
    zones: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_env_var("NETEM_LOG")
                .with_default_directive(tracing_subscriber::filter::LevelFilter::INFO.into())
                .from_env_lossy(),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netem: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    let (socket, lab) = (cli.socket, cli.lab);
    match cli.command {
        Command::Apply(options) => hold::apply(&options, socket),
        Command::Run(options) => hold::run(&options, socket),
        Command::Guard { device } => hold::guard(&device),
        Command::Show { json } => show::show(&mut target::connect(socket, &lab)?, json),
        Command::Act(action) => act(&mut target::connect(socket, &lab)?, &action),
        Command::Play { timeline } => play::play(&mut target::connect(socket, &lab)?, &timeline),
        Command::Clear(options) => hold::clear(socket, options.device, options.zones.as_deref()),
        Command::Zones => {
            print!("{}", Zones::builtin_text());
            Ok(())
        }
    }
}

fn act(client: &mut Client, action: &Action) -> Result<(), Box<dyn Error>> {
    match client.ask(&action.request(false))? {
        Reply::Fault(fault) => println!("{}", show::fault_line(&fault)),
        Reply::Healed(0) => println!("no fault was in force"),
        Reply::Healed(count) => println!("healed: {count}"),
        other => return Err(format!("unexpected answer: {other:?}").into()),
    }
    if action.holds() {
        eprintln!("in force until this command ends (Ctrl-C)");
        client.wait_for_end()?;
    }
    Ok(())
}

/// `--backend`.
fn parse_backend(text: &str) -> Result<Option<Backend>, String> {
    match text {
        "auto" => Ok(None),
        "tc" => Ok(Some(Backend::Tc)),
        "nfqueue" => Ok(Some(Backend::Nfqueue)),
        _ => Err("expected auto, tc or nfqueue".to_owned()),
    }
}

/// Asks for a restore and waits until the holder is gone.
fn ask_to_clear(client: &mut Client) -> Result<(), Box<dyn Error>> {
    client.ask(&Request::Clear)?;
    Ok(client.wait_for_end()?)
}
