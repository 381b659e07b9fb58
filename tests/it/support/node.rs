//! Node processes on loopback, each with its log at hand.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Http, PATIENCE, Stub, eventually};

/// How a node of a test is started.
#[derive(Clone, Default)]
pub struct NodeOptions {
    pub name: String,
    pub zone: String,
    pub join: Vec<String>,
    /// Further flags.
    pub args: Vec<String>,
    /// Comes first on PATH: stub tools.
    pub path: Option<PathBuf>,
    /// `RUST_LOG`, where more is to be seen than usual.
    pub log: Option<&'static str>,
    /// Further variables of its environment.
    pub env: Vec<(&'static str, String)>,
    /// Kept over a restart.
    pub data_dir: Option<PathBuf>,
    /// What is given to the shell's `ulimit` before.
    pub ulimit: Option<&'static str>,
}

impl NodeOptions {
    pub fn new(name: &str, zone: &str) -> Self {
        Self { name: name.into(), zone: zone.into(), ..Self::default() }
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// It uses these instead of the machine's ffmpeg and ffprobe.
    pub fn tools(mut self, stub: &Stub) -> Self {
        self.path = Some(stub.path().to_owned());
        self
    }

    /// The same, if this is the node's name.
    pub fn tools_of(self, name: &str, stub: &Stub) -> Self {
        if self.name == name { self.tools(stub) } else { self }
    }

    pub fn join(mut self, gossip: &str) -> Self {
        self.join.push(gossip.into());
        self
    }
}

/// A running node; killed when dropped.
pub struct Node {
    pub options: NodeOptions,
    pub http: Http,
    pub http_address: String,
    pub gossip: String,
    child: Child,
    log: Arc<Log>,
    data: Option<TempDir>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<Value>, bool)>,
    grown: Condvar,
}

impl Log {
    fn push(&self, line: &str) {
        // With the libraries' own prints a line may be no JSON; it is kept as text.
        let value = serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.into()));
        self.lines.lock().0.push(value);
        self.grown.notify_all();
    }

    fn close(&self) {
        self.lines.lock().1 = true;
        self.grown.notify_all();
    }

    /// The first line from `from` on that `wanted` takes, waiting for it.
    fn wait(&self, from: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut state = self.lines.lock();
        let mut seen = from;
        loop {
            if let Some(line) = state.0[seen..].iter().find(|line| wanted(line)) {
                return line.clone();
            }
            seen = state.0.len();
            let left = end.saturating_duration_since(Instant::now());
            let text = || state.0.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            assert!(!left.is_zero() && !state.1, "no log line: {what}; the log:\n{}", text());
            self.grown.wait_for(&mut state, left);
        }
    }
}

impl Node {
    pub fn start(mut options: NodeOptions) -> Self {
        let mut data = None;
        let data_dir = options.data_dir.get_or_insert_with(|| {
            let dir = data.insert(tempfile::tempdir().unwrap());
            dir.path().to_owned()
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        if let Some(ulimit) = options.ulimit {
            command = Command::new("sh");
            command.args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\"")]);
            command.arg(env!("CARGO_BIN_EXE_starling"));
        }
        command.arg("node").args(["--name", &options.name, "--zone", &options.zone]);
        command.args(["--log", "json", "--deadline", "5m"]);
        if !options.args.iter().any(|arg| arg.starts_with("--workers")) {
            command.args(["--workers", "1"]);
        }
        if !options.args.iter().any(|arg| arg.starts_with("--timing")) {
            command.args(["--timing", "local"]);
        }
        command.arg("--data-dir").arg(data_dir);
        if !options.args.iter().any(|arg| arg.starts_with("--gossip")) {
            command.args(["--gossip", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        }
        if !options.join.is_empty() {
            command.args(["--join", &options.join.join(",")]);
        }
        command.args(&options.args);
        if let Some(path) = &options.path {
            let rest = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{rest}", path.display()));
        }
        command.env("STARLING_DIE_WITH_PARENT", "1").env_remove("RUST_LOG");
        command.envs(options.env.iter().cloned());
        command.envs(options.log.map(|filter| ("RUST_LOG", filter)));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        let feed = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                feed.push(&line.unwrap());
            }
            feed.close();
        });
        let started = log.wait(0, "node started", |line| line["message"] == "node started");
        let address = |key: &str| started[key].as_str().unwrap().to_owned();
        let (http_address, gossip) = (address("http"), address("gossip"));
        let http = Http::new(&http_address);
        Self { options, http, http_address, gossip, child, log, data }
    }

    /// Waits for a log line with this message for which `wanted` holds.
    pub async fn logged(&self, message: &str, wanted: impl Fn(&Value) -> bool + Send + 'static) -> Value {
        self.logged_since(0, message, wanted).await
    }

    /// The same, among the lines from `mark` on.
    pub async fn logged_since(
        &self,
        mark: usize,
        message: &str,
        wanted: impl Fn(&Value) -> bool + Send + 'static,
    ) -> Value {
        let (log, message) = (Arc::clone(&self.log), message.to_owned());
        let wait =
            move || log.wait(mark, &message, |line| line["message"] == message.as_str() && wanted(line));
        tokio::task::spawn_blocking(wait).await.unwrap()
    }

    /// Waits for a line whose message begins like this.
    pub async fn logged_like(&self, begin: &str) -> Value {
        let (log, begin) = (Arc::clone(&self.log), begin.to_owned());
        let is_like = move |line: &Value, begin: &str| {
            line["message"].as_str().is_some_and(|message| message.starts_with(begin))
        };
        let wait = move || log.wait(0, &begin, |line| is_like(line, &begin));
        tokio::task::spawn_blocking(wait).await.unwrap()
    }

    /// Waits until `GET /health` says so many transcodes running and jobs queued.
    pub async fn busy(&self, running: u64, queued: u64) {
        eventually(&format!("{running} running and {queued} queued"), async || {
            let health = self.http.json("/health").await;
            health["running"] == running && health["queued"] == queued
        })
        .await;
    }

    /// How many lines the log has: a mark for [`Self::logged_since`].
    pub fn mark(&self) -> usize {
        self.log.lines.lock().0.len()
    }

    /// Where the first line with this message stands in the log.
    pub fn position(&self, message: &str) -> Option<usize> {
        self.log.lines.lock().0.iter().position(|line| line["message"] == message)
    }

    /// How many lines with this message there are.
    pub fn count(&self, message: &str) -> usize {
        self.count_since(0, message)
    }

    /// How many lines with this message have this value in this field.
    pub fn count_with(&self, message: &str, field: &str, value: &str) -> usize {
        let log = self.log.lines.lock();
        log.0.iter().filter(|line| line["message"] == message && line[field] == value).count()
    }

    /// The same, among the lines from `mark` on.
    pub fn count_since(&self, mark: usize, message: &str) -> usize {
        self.log.lines.lock().0[mark..].iter().filter(|line| line["message"] == message).count()
    }

    /// How many lines with this message tell of this peer.
    pub fn count_of_peer(&self, message: &str, peer: &str) -> usize {
        let log = self.log.lines.lock();
        log.0.iter().filter(|line| line["message"] == message && line["peer"] == peer).count()
    }

    /// A sample of `GET /metrics` by its full name and labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.http.get("/metrics").await.body.to_vec()).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// The names of what it keeps for jobs.
    pub fn kept_files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.options.data_dir.as_ref().unwrap().join("jobs")).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// kill -9, and start again with the same name and addresses.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        let mut options = self.options.clone();
        options.args.retain(|arg| !arg.starts_with("--gossip") && !arg.starts_with("--http"));
        options.args.push(format!("--gossip={}", self.gossip));
        options.args.push(format!("--http={}", self.http_address));
        let data = self.data.take();
        *self = Self::start(options);
        self.data = data;
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // All that it has said is in the log.
        let mut state = self.log.lines.lock();
        while !state.1 && !self.log.grown.wait_for(&mut state, PATIENCE).timed_out() {}
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The ffmpegs at work for it: processes whose command line names its folder.
    pub fn ffmpegs(&self) -> Vec<Pid> {
        let folder = self.options.data_dir.as_ref().unwrap().as_os_str().as_encoded_bytes();
        let is_its_own = |line: &[u8]| {
            (line.starts_with(b"ffmpeg") || line.windows(7).take(64).any(|word| word == b"/ffmpeg"))
                && line.windows(folder.len()).any(|word| word == folder)
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                is_its_own(&line).then(|| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))?
            })
            .collect()
    }

    /// Freezes its ffmpegs, once there are any: what runs then neither ends nor fails.
    pub async fn pause_ffmpeg(&self) {
        eventually("ffmpeg is at work", async || !self.ffmpegs().is_empty()).await;
        self.signal_ffmpegs(Signal::STOP);
    }

    /// And lets them go on.
    pub fn resume_ffmpeg(&self) {
        self.signal_ffmpegs(Signal::CONT);
    }

    fn signal_ffmpegs(&self, signal: Signal) {
        for pid in self.ffmpegs() {
            kill_process(pid, signal).unwrap();
        }
    }

    /// SIGTERM, and its exit status.
    pub async fn terminate(&mut self) -> std::process::ExitStatus {
        self.signal(Signal::TERM);
        self.exited().await
    }

    /// Its exit status, when it ends by itself.
    pub async fn exited(&mut self) -> std::process::ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "does not stop");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Several nodes that know each other.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Nodes `node1`, `node2` … in these zones, converged.
    pub async fn start(zones: &[&str]) -> Self {
        Self::start_with(zones, |options| options).await
    }

    pub async fn start_with(zones: &[&str], adjust: impl Fn(NodeOptions) -> NodeOptions) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, zone) in zones.iter().enumerate() {
            let mut options = NodeOptions::new(&format!("node{}", index + 1), zone);
            if let Some(seed) = nodes.last() {
                options = options.join(&seed.gossip);
            }
            nodes.push(Node::start(adjust(options)));
        }
        let cluster = Self { nodes };
        cluster.converged(zones.len()).await;
        cluster
    }

    /// Waits until every node has seen this many live members at rest.
    pub async fn converged(&self, members: usize) {
        for node in &self.nodes {
            node.logged("converged", move |line| line["members"] == members).await;
        }
    }

    /// Transcodes begun anywhere.
    pub async fn transcodes(&self) -> u64 {
        let mut sum = 0;
        for node in &self.nodes {
            sum += node.metric("starling_transcodes_total").await;
        }
        sum
    }
}
