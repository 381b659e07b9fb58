//! The supervisor: makes the network, starts the nodes, answers requests, takes all down.

mod orders;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use starling_netem::Zones;
use tokio::process::Child;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::cgroup::Cgroup;
use super::ctl;
use super::folder::Folder;
use super::launch::Lifeline;
use super::links::Links;
use super::network::{Loopback, Namespaces, Network};
use super::node::{self, Node, NodeState, Spec, how};
use super::page::Page;
use super::plan::{self, NodePlan};
use super::user::NodeUser;
use super::{Isolation, LabError, NodeReport, Options, Report, files, ready, report, zones};
use crate::config::KeyFile;

/// How long nodes get to leave the cluster and to end their jobs after SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// What SIGKILL needs, at most.
const KILLED_MAX: Duration = Duration::from_secs(5);

/// Runs the lab whose folder the launcher made, until it is told to stop; the exit status of the lab.
pub async fn supervise(options: Options, id: &str, isolation: Isolation) -> Result<ExitCode, LabError> {
    let folder = Folder::join(&options.base_folder, id)?;
    let mut stop = Stop::new()?;
    let mut lab = Supervisor::new(options, folder, isolation).await?;
    let outcome = lab.live(&mut stop).await;
    let gently = !matches!(outcome, Ok(End::Abandoned));
    let cleaned = lab.close(gently).await;
    match outcome? {
        End::Asked | End::Abandoned => cleaned.map(|()| ExitCode::SUCCESS),
        End::Ran(code) => cleaned.map(|()| code),
    }
}

/// Why a lab ends.
enum End {
    /// By a signal or by the launcher.
    Asked,
    /// The launcher is gone without a word: it was killed, and perhaps a new lab waits for the ports.
    Abandoned,
    /// `--once`: by the end of the command.
    Ran(ExitCode),
}

/// All that tells a supervisor to stop.
struct Stop {
    lifeline: Lifeline,
    terminate: Signals,
    interrupt: Signals,
}

impl Stop {
    fn new() -> Result<Self, LabError> {
        let failed = |source| LabError::Process { what: "the lab's signal handling".to_owned(), source };
        Ok(Self {
            lifeline: Lifeline::from_stdin().map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn wait(&mut self) -> End {
        tokio::select! {
            told = self.lifeline.told_to_stop() => if told { End::Asked } else { End::Abandoned },
            _ = self.terminate.recv() => End::Asked,
            _ = self.interrupt.recv() => End::Asked,
        }
    }
}

/// A new key for the nodes: none if the lab is to have none, or if their options name one.
fn make_key(options: &Options, folder: &Folder) -> Result<Option<PathBuf>, LabError> {
    let names_one = |arg: &String| arg == "--key-file" || arg.starts_with("--key-file=");
    if !options.key || options.node_args.iter().any(names_one) {
        return Ok(None);
    }
    let file = folder.key_file();
    KeyFile::create(&file)?;
    Ok(Some(file))
}

struct Supervisor {
    options: Options,
    folder: Folder,
    isolation: Isolation,
    network: Network,
    cgroup: Option<Cgroup>,
    zones: Zones,
    subnets: Vec<String>,
    key_file: Option<PathBuf>,
    user: Option<NodeUser>,
    links: Links,
    nodes: Vec<Node>,
    children: Signals,
    converged: Duration,
    page: Option<Page>,
}

impl Supervisor {
    async fn new(options: Options, folder: Folder, isolation: Isolation) -> Result<Self, LabError> {
        files::raise();
        let zones = zones::load(options.zone_file.as_deref())?;
        let (base, id) = (&options.base_folder, folder.id());
        let user = NodeUser::choose(options.user.as_deref(), isolation, base, folder.path(), id).await?;
        let key_file = make_key(&options, &folder)?;
        if let Some(user) = user {
            open_to(user, &folder, key_file.as_deref())?;
        }
        let children = signal(SignalKind::child())
            .map_err(|source| LabError::Process { what: "the lab's signal handling".to_owned(), source })?;
        let network = match isolation {
            Isolation::Loopback | Isolation::Auto => Network::Loopback(Loopback::new(folder.id())),
            Isolation::Namespaces | Isolation::UserNamespaces => {
                Network::Namespaces(Namespaces::create(&folder.namespaces()).await?)
            }
        };
        let converged = Duration::ZERO;
        let subnets = zones::subnets(&zones);
        let (cgroup, nodes, links) = (None, Vec::new(), Links::unshaped());
        Ok(Self {
            options,
            folder,
            isolation,
            network,
            cgroup,
            zones,
            subnets,
            key_file,
            user,
            links,
            nodes,
            children,
            converged,
            page: None,
        })
    }

    async fn live(&mut self, stop: &mut Stop) -> Result<End, LabError> {
        tokio::select! {
            started = self.start() => started?,
            end = stop.wait() => return Ok(end),
        }
        let (sender, mut calls) = ctl::serve(&self.folder.control_socket())?;
        self.page = Some(Page::serve(self.options.dashboard_port, sender, self.folder.netem_socket()).await?);
        self.tell_page();
        self.announce()?;
        let mut command = self.command()?;
        loop {
            tokio::select! {
                end = stop.wait() => return Ok(end),
                _ = self.children.recv() => {
                    self.notice_deaths()?;
                    self.tell_page();
                }
                Some(call) = calls.recv() => self.answer(call).await,
                status = ended(&mut command) => {
                    command = None;
                    if self.options.once {
                        return Ok(End::Ran(status));
                    }
                }
            }
        }
    }

    async fn start(&mut self) -> Result<(), LabError> {
        self.limit_cpus();
        let plans = plan::nodes(self.options.nodes, &self.zones)?;
        self.network.add(&plans, &self.subnets).await?;
        self.network.introduce(&plans).await?;
        self.links = Links::shape(
            self.options.backend,
            &self.zones,
            &self.network,
            &plans,
            &self.folder.netem_socket(),
        )
        .await?;
        let seeds: Vec<_> = (0..plans.len())
            .map(|index| plan::seed_of(index, &plans).map(|seed| self.network.address(seed)))
            .collect();
        let mut listeners = Vec::new();
        for plan in &plans {
            let (node, listener) = self.place(plan.clone())?;
            self.nodes.push(node);
            listeners.push(listener);
        }
        let since = Instant::now();
        for ((node, listener), seed) in self.nodes.iter_mut().zip(listeners).zip(seeds) {
            node.start(listener, seed.as_slice())?;
        }
        let published: Vec<_> =
            self.nodes.iter().map(|node| (node.name().to_owned(), node.spec.published)).collect();
        let ready = ready::converged(&published, since, self.options.ready_within);
        let mut ready = std::pin::pin!(ready);
        loop {
            tokio::select! {
                converged = &mut ready => {
                    self.converged = converged?;
                    return Ok(());
                }
                _ = self.children.recv() => died_early(&mut self.nodes, self.user)?,
            }
        }
    }

    fn limit_cpus(&mut self) {
        if self.options.cpus.is_none() {
            return;
        }
        match Cgroup::create(self.folder.id()) {
            Ok(cgroup) => self.cgroup = Some(cgroup),
            Err(error) => {
                tracing::warn!(%error, "CPUs are NOT limited: this user may not make cgroups here");
            }
        }
    }

    /// A node with its port bound, not started.
    fn place(&self, plan: NodePlan) -> Result<(Node, std::net::TcpListener), LabError> {
        let port = match self.options.base_port {
            0 => 0,
            base => base
                .checked_add(u16::from(plan.number) - 1)
                .ok_or_else(|| LabError::NoPort(plan.name.clone()))?,
        };
        let (listener, published) = node::publish(&plan.name, port)?;
        let cgroup = match (&self.cgroup, self.options.cpus) {
            (Some(cgroup), Some(cpus)) => {
                Some(cgroup.node(&plan.name, cpus).map_err(LabError::file("limit the CPUs of", &plan.name))?)
            }
            _ => None,
        };
        let logs = self.options.logs.clone().unwrap_or_else(|| self.folder.logs());
        std::fs::create_dir_all(&logs).map_err(LabError::file("create", &logs))?;
        let spec = Spec {
            address: self.network.address(plan.address),
            published,
            log: logs.join(format!("{}.log", plan.name)),
            data: self.folder.data(&plan.name),
            cgroup,
            enter: self.network.enter(&plan.name),
            cluster: format!("lab-{}", self.folder.id()),
            key_file: self.key_file.clone(),
            user: self.user,
            args: self.options.node_args.clone(),
            plan,
        };
        Ok((Node::new(spec), listener))
    }

    fn announce(&self) -> Result<(), LabError> {
        let report = self.report();
        let text =
            if self.options.json { report.line() } else { report.text(self.own_folder(), self.options.once) };
        report::print(&text).map_err(LabError::file("write to", "stdout"))
    }

    /// Where its files are, if that is not where `starling lab ctl` and `netem` look by themselves.
    fn own_folder(&self) -> Option<&Path> {
        let base = self.options.base_folder.as_path();
        let usual = base.to_str().is_some_and(|text| text.starts_with("/var/tmp/starling-lab-"));
        (!usual).then_some(base)
    }

    fn command(&self) -> Result<Option<Child>, LabError> {
        let Some(line) = &self.options.run else { return Ok(None) };
        let urls: Vec<_> = self.nodes.iter().map(|node| format!("http://{}", node.spec.published)).collect();
        let mut command = tokio::process::Command::new("sh");
        if let Some(key) = &self.key_file {
            command.env("STARLING_KEY_FILE", key);
        }
        let child = command
            .args(["-c", line])
            .env("STARLING_NODE", urls.first().map_or("", String::as_str))
            .env("STARLING_NODES", urls.join(","))
            .env("STARLING_LAB_DIR", &self.options.base_folder)
            .env("STARLING_LAB", self.folder.id())
            .env("NETEM_SOCKET", self.folder.netem_socket())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| LabError::Process { what: format!("`{line}`"), source })?;
        Ok(Some(child))
    }

    fn report(&self) -> Report {
        let nodes = self.nodes.iter().map(|node| NodeReport {
            name: node.name().to_owned(),
            zone: node.spec.plan.zone.clone(),
            http: node.spec.published.to_string(),
            gossip: node.spec.address.to_string(),
            state: node.state(),
        });
        Report {
            id: self.folder.id().to_owned(),
            nodes: nodes.collect(),
            backend: self.links.backend().to_owned(),
            isolation: self.isolation.name().to_owned(),
            cpus: self.cgroup.as_ref().and(self.options.cpus),
            dashboard: self.page.as_ref().map(Page::url),
            converged_ms: self.converged.as_millis().try_into().unwrap_or(u64::MAX),
            logs: self.options.logs.clone().unwrap_or_else(|| self.folder.logs()).display().to_string(),
            key_file: self.key_file.as_ref().map(|file| file.display().to_string()),
            user: self.user.map(NodeUser::uid),
        }
    }

    fn notice_deaths(&mut self) -> Result<(), LabError> {
        for node in &mut self.nodes {
            if let Some(status) = node.ended()? {
                tracing::warn!(node = node.name(), "{} {}", node.name(), how(status));
            }
        }
        Ok(())
    }

    /// The dashboard asks nodes that run, and shows which do not.
    fn tell_page(&self) {
        if let Some(page) = &self.page {
            page.tell(self.report());
        }
    }

    /// Ends nodes: SIGTERM and a bounded wait if gently, then SIGKILL for whoever is left.
    async fn end(&mut self, indices: &[usize], gently: bool) -> Result<(), LabError> {
        if gently {
            for &index in indices {
                self.nodes[index].signal(Signal::TERM)?;
                // A stopped process gets its SIGTERM when it runs again.
                self.nodes[index].signal(Signal::CONT)?;
            }
            self.wait_ended(indices, GRACE + Duration::from_secs(1)).await?;
        }
        for &index in indices {
            self.nodes[index].signal(Signal::KILL)?;
        }
        self.wait_ended(indices, KILLED_MAX).await
    }

    /// Returns when all of them have ended, or after `limit`.
    async fn wait_ended(&mut self, indices: &[usize], limit: Duration) -> Result<(), LabError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let mut left = 0;
            for &index in indices {
                self.nodes[index].ended()?;
                left += usize::from(self.nodes[index].state() != NodeState::Down);
            }
            if left == 0 || tokio::time::timeout_at(deadline, self.children.recv()).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Takes all down; tries every part, whatever the others say, and reports the first failure.
    async fn close(&mut self, gently: bool) -> Result<(), LabError> {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        let ended = self.end(&all, gently).await;
        let uncapped = match &self.cgroup {
            Some(cgroup) => cgroup.remove().map_err(LabError::file("remove", "the lab's cgroup")),
            None => Ok(()),
        };
        let closed = self.network.close();
        let removed = self.folder.remove();
        ended.and(uncapped).and(closed).and(removed)
    }
}

/// A node that ends before the cluster stands ends the lab.
fn died_early(nodes: &mut [Node], user: Option<NodeUser>) -> Result<(), LabError> {
    for node in nodes {
        if let Some(status) = node.ended()? {
            let log = node.last_words();
            let hint = match user {
                Some(user) if log.contains("ermission denied") => format!(
                    "\nthe nodes run as the user {}, which has to be able to read what their options name; --user root \
                     runs them as root",
                    user.uid()
                ),
                _ => String::new(),
            };
            return Err(LabError::NodeDied { node: node.name().to_owned(), how: how(status), log, hint });
        }
    }
    Ok(())
}

/// Lets the nodes' user at what is the nodes' in the lab's folder.
fn open_to(user: NodeUser, folder: &Folder, key_file: Option<&Path>) -> Result<(), LabError> {
    let key_folder = key_file.and_then(Path::parent).map(Path::to_owned);
    for path in [Some(folder.all_data()), key_folder].into_iter().flatten() {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .map_err(LabError::file("open", &path))?;
    }
    key_file.map_or(Ok(()), |file| user.own(file))
}

/// The end of the command; never, if there is none.
async fn ended(command: &mut Option<Child>) -> ExitCode {
    match command {
        None => std::future::pending().await,
        Some(child) => match child.wait().await {
            Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
            Err(error) => {
                tracing::error!(%error, "cannot wait for the command");
                ExitCode::FAILURE
            }
        },
    }
}
