//! `starling lab`: a whole cluster on this machine, and `starling lab ctl`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use starling::lab::{self, Answer, Isolation, LabError, LinkBackend, NODES_MAX, Options, Request};
use starling_netem::control::labs_folder;

use super::lab_logs::{self, LogsArgs};
use super::out;

/// Run a whole cluster on this machine: network namespaces, shaped links, published on localhost
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    options: LabArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add, kill, restart, stop or continue nodes of a running lab
    Ctl(CtlArgs),
}

#[derive(Debug, clap::Args)]
struct LabArgs {
    /// Nodes to start with; they are spread over the zones in turn
    #[arg(long, default_value_t = 5, value_parser = nodes, value_name = "N")]
    nodes: u8,

    /// Zone file: zones, their subnets, the links between them [default: the paper's FRA, IAD, BOM]
    #[arg(long, value_name = "FILE")]
    zones: Option<PathBuf>,

    /// Publish nodeN's HTTP on 127.0.0.1, port PORT + N - 1; 0 takes free ports
    #[arg(long, default_value_t = 5001, value_name = "PORT")]
    base_port: u16,

    /// Serve the lab's dashboard on 127.0.0.1, this port; on a free one where it is 0 or taken [default: 8005, or 0 with --base-port 0]
    #[arg(long, value_name = "PORT")]
    dashboard_port: Option<u16>,

    /// How nodes are kept apart
    #[arg(long, value_enum, default_value_t = Isolation::Auto, value_name = "HOW")]
    isolation: Isolation,

    /// What shapes the links
    #[arg(long, value_enum, default_value_t = LinkBackend::Auto, value_name = "BACKEND")]
    backend: LinkBackend,

    /// CPU limit of each node, in cores (by cgroup, where this user may)
    #[arg(long, value_parser = cpus, value_name = "CORES")]
    cpus: Option<f64>,

    /// Keep the nodes' logs in this folder (otherwise they go with the lab)
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,

    /// Where the lab keeps its files while it runs [default: /var/tmp/starling-lab-UID]
    #[arg(long, env = "STARLING_LAB_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The user that the nodes run as, by name or number, where root starts the lab [default: a number of the lab's own]; root
    /// is for nodes that have to read what only root can
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Let the nodes do without a key: any process of this machine that reaches their ports can act as a member
    #[arg(long)]
    no_key: bool,

    /// Print one line of JSON when the cluster is ready, instead of a table
    #[arg(long)]
    json: bool,

    /// Shell command to run when the cluster is ready; `STARLING_NODE` in its environment is node1, `STARLING_NODES` are
    /// all; `starling lab ctl` and `netem` in it mean this lab
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,

    /// End the lab with the command of --run, with its exit status
    #[arg(long, requires = "run")]
    once: bool,

    /// Give up when the cluster is not ready by then [default: 60s, or 3s for each node if that is longer]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    ready_within: Option<Duration>,

    /// The supervisor of the lab with this id: what the lab starts itself
    #[arg(long, hide = true, value_name = "ID")]
    inside: Option<String>,

    /// Options of `starling node`, for every node: starling lab -- --policy random
    #[arg(last = true, value_name = "NODE OPTION")]
    node_args: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct CtlArgs {
    /// Which lab, where several run (the id is in its JSON)
    #[arg(long, env = "STARLING_LAB", value_name = "ID", global = true)]
    lab: Option<String>,

    /// Where labs keep their files [default: /var/tmp/starling-lab-UID]
    #[arg(long, env = "STARLING_LAB_DIR", value_name = "DIR", global = true)]
    dir: Option<PathBuf>,

    /// Print the lab's state as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Debug, Subcommand)]
enum CtlCommand {
    #[command(flatten)]
    Ask(Request),
    /// Print the nodes' logs, each line with its node's name
    Logs(LogsArgs),
}

/// How long a cluster gets until it is ready, at the least, and for each of its nodes.
const READY_WITHIN_MIN: Duration = Duration::from_secs(60);
const READY_WITHIN_PER_NODE: Duration = Duration::from_secs(3);
/// The paper's system has its monitor there.
const DASHBOARD_PORT: u16 = 8005;
/// Exit status for a folder that is no lab's.
const EXIT_USAGE: u8 = 2;

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match act(args).await {
        Err(error) if error.downcast_ref().is_some_and(LabError::is_usage) => {
            eprintln!("starling: {error}");
            Ok(ExitCode::from(EXIT_USAGE))
        }
        outcome => outcome,
    }
}

async fn act(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Ctl(args)) = args.command {
        return ctl(args).await;
    }
    let isolation = args.options.isolation;
    let inside = args.options.inside.clone();
    let (options, reenter) = args.options.split()?;
    Ok(match inside {
        Some(id) => lab::supervise(options, &id, isolation).await?,
        None => lab::launch(&options, &reenter).await?,
    })
}

impl LabArgs {
    /// The lab's options, and the arguments that give them again.
    fn split(self) -> anyhow::Result<(Options, Vec<String>)> {
        let base_folder = self.dir.unwrap_or_else(labs_folder);
        super::is_no_file("--dir", &base_folder)?;
        if let Some(logs) = &self.logs {
            super::is_no_file("--logs", logs)?;
        }
        let mut again = vec!["lab".to_owned()];
        let mut say = |name: &str, value: String| again.push(format!("--{name}={value}"));
        let path = |path: &PathBuf| -> anyhow::Result<String> {
            let absolute = std::path::absolute(path)?;
            match absolute.to_str() {
                Some(text) => Ok(text.to_owned()),
                None => bail!("{} is not UTF-8", absolute.display()),
            }
        };
        say("nodes", self.nodes.to_string());
        say("base-port", self.base_port.to_string());
        let dashboard_port =
            self.dashboard_port.unwrap_or(if self.base_port == 0 { 0 } else { DASHBOARD_PORT });
        say("dashboard-port", dashboard_port.to_string());
        say("dir", path(&base_folder)?);
        say("backend", self.backend.name().to_owned());
        let ready_within = self.ready_within.unwrap_or_else(|| ready_within(self.nodes));
        say("ready-within", humantime::format_duration(ready_within).to_string());
        for (name, file) in [("zones", &self.zones), ("logs", &self.logs)] {
            if let Some(file) = file {
                say(name, path(file)?);
            }
        }
        if let Some(cpus) = self.cpus {
            say("cpus", cpus.to_string());
        }
        if let Some(user) = &self.user {
            say("user", user.clone());
        }
        if let Some(run) = &self.run {
            say("run", run.clone());
        }
        for (name, set) in [("json", self.json), ("once", self.once), ("no-key", self.no_key)] {
            if set {
                again.push(format!("--{name}"));
            }
        }
        let options = Options {
            nodes: self.nodes,
            zone_file: self.zones,
            base_port: self.base_port,
            dashboard_port,
            isolation: self.isolation,
            backend: self.backend,
            base_folder,
            logs: self.logs,
            cpus: self.cpus,
            json: self.json,
            run: self.run,
            once: self.once,
            ready_within,
            user: self.user,
            key: !self.no_key,
            node_args: self.node_args,
        };
        Ok((options, again))
    }
}

async fn ctl(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let base = args.dir.unwrap_or_else(labs_folder);
    let socket = lab::find(&base, args.lab.as_deref())?;
    let (request, logs) = match &args.command {
        CtlCommand::Ask(request) => (request, None),
        CtlCommand::Logs(logs) => (&Request::Status, Some(logs)),
    };
    match (lab::request(&socket, request).await?, logs) {
        (Answer::Done(report), Some(logs)) => lab_logs::run(Path::new(&report.logs), logs).await?,
        (Answer::Done(report), None) if args.json => out::json_text(&report.line())?,
        (Answer::Done(report), None) => out::lines(&report.table())?,
        (Answer::Refused(reason), _) => bail!(reason),
    }
    Ok(ExitCode::SUCCESS)
}

/// What so many nodes may take on a machine of two cores or more.
fn ready_within(nodes: u8) -> Duration {
    READY_WITHIN_MIN.max(READY_WITHIN_PER_NODE * u32::from(nodes))
}

fn nodes(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(nodes @ 1..=NODES_MAX) => Ok(nodes),
        _ => Err(format!("expected a number of nodes from 1 to {NODES_MAX}")),
    }
}

fn cpus(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(cpus) if (0.01..=1024.0).contains(&cpus) => Ok(cpus),
        _ => Err("expected a number of cores, such as 0.5".to_owned()),
    }
}
