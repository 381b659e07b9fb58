//! `starling node`: run one node.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use listenfd::ListenFd;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use starling::config::{NodeConfig, NodeOptions};
use starling::lab::DIE_WITH_PARENT;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Exit status for a configuration that can't be used.
pub(super) const EXIT_USAGE: u8 = 2;

/// Run one node, or have running ones take no work
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) command: Option<super::work::Command>,

    /// TOML file with options; its keys are the long flags' names
    #[arg(long, env = "STARLING_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: NodeOptions,
}

/// Runs it until SIGINT or SIGTERM.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Before the key is read: neither ffmpeg nor another process of this user is to read this one's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let config = match configure(args) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| super::out::complain(format_args!("starling node: {error}")));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    super::log::init_service(config.log);
    if std::env::var_os(DIE_WITH_PARENT).is_some_and(|value| value == "1") {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    let inherited = inherited_listeners()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (stop, reload) = (stop_signal()?, reload_signal()?);
        starling::run::run(config, inherited, stop, reload).await.map_err(anyhow::Error::from)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn configure(args: Args) -> Result<NodeConfig, starling::config::ConfigErrors> {
    let options = match &args.config {
        Some(path) => args.options.or(NodeOptions::from_file(path)?),
        None => args.options,
    };
    NodeConfig::from_options(options)
}

/// Listeners handed over by the systemd convention (`sd_listen_fds(3)`).
fn inherited_listeners() -> anyhow::Result<Vec<TcpListener>> {
    let mut fds = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..fds.len() {
        match fds.take_tcp_listener(index) {
            Ok(Some(listener)) => listeners.push(listener),
            Ok(None) => {}
            Err(error) => anyhow::bail!("LISTEN_FDS: descriptor {} is no TCP listener: {error}", 3 + index),
        }
    }
    Ok(listeners)
}

/// A message for each SIGHUP; those that come while one is being acted on are one.
pub(super) fn reload_signal() -> io::Result<mpsc::Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (send, receive) = mpsc::channel(1);
    // Ends with the node, which drops the receiver.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() && !matches!(send.try_send(()), Err(TrySendError::Closed(()))) {}
    });
    Ok(receive)
}

/// Ends with the first SIGINT or SIGTERM.
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
