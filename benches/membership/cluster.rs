//! Processes of one system and what their logs said, each change with the time at which it was read.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::system::{Change, System, name};
use crate::{NODES, Result};

/// A ring of nodes: each joins through the next one alone.
pub struct Cluster {
    system: System,
    nodes: Vec<Child>,
    data: TempDir,
    log: Arc<Log>,
    /// When the first process was started.
    pub begun: Instant,
}

/// One change as one node saw it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Instant,
    pub node: usize,
    pub change: Change,
}

#[derive(Default)]
struct Log {
    entries: Mutex<Vec<Entry>>,
    more: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock()
    }

    fn add(&self, entry: Entry) {
        self.lock().push(entry);
        self.more.notify_all();
    }
}

impl Cluster {
    pub fn start(system: System) -> Result<Self> {
        let mut cluster = Self {
            system,
            nodes: Vec::new(),
            data: tempfile::tempdir()?,
            log: Arc::default(),
            begun: Instant::now(),
        };
        for node in 0..NODES {
            let child = cluster.spawn(node)?;
            cluster.nodes.push(child);
        }
        Ok(cluster)
    }

    /// A cluster in which everyone has long seen everyone.
    pub fn settled(system: System) -> Result<Self> {
        let cluster = Self::start(system)?;
        cluster.all_see_all(Duration::from_secs(120)).ok_or("the nodes do not find each other")?;
        thread::sleep(Duration::from_secs(15));
        Ok(cluster)
    }

    fn spawn(&self, node: usize) -> Result<Child> {
        self.log.add(Entry { at: Instant::now(), node, change: Change::Started });
        let data = self.data.path().join(name(node));
        let mut command = self.system.command(node, (node + 1) % NODES, &data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|out| Box::new(out) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let (log, system) = (Arc::clone(&self.log), self.system);
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                    if let Some(change) = system.change(&line) {
                        log.add(Entry { at: Instant::now(), node, change });
                    }
                }
            });
        }
        Ok(child)
    }

    fn pid(&self, node: usize) -> Pid {
        Pid::from_child(&self.nodes[node])
    }

    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].kill()?;
        self.nodes[node].wait()?;
        Ok(())
    }

    pub fn restart(&mut self, node: usize) -> Result<()> {
        self.nodes[node] = self.spawn(node)?;
        Ok(())
    }

    pub fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid(node), signal)?)
    }

    /// What was logged since then.
    pub fn since(&self, since: Instant) -> Vec<Entry> {
        self.log.lock().iter().filter(|entry| entry.at >= since).cloned().collect()
    }

    /// Folds all entries from `since` on, also those still to come, until `step` breaks: the time of the entry that
    /// did, or none if the time is up.
    pub fn watch(
        &self,
        since: Instant,
        timeout: Duration,
        mut step: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Option<Instant> {
        let end = Instant::now() + timeout;
        let (mut next, mut entries) = (0, self.log.lock());
        loop {
            while let Some(entry) = entries.get(next) {
                next += 1;
                if entry.at >= since && step(entry).is_break() {
                    return Some(entry.at);
                }
            }
            let left = end.checked_duration_since(Instant::now())?;
            self.log.more.wait_for(&mut entries, left);
        }
    }

    /// When each node first saw all others, counted from the start of the first process.
    pub fn joined_after(&self, timeout: Duration) -> Vec<Option<Duration>> {
        let mut views = Views::default();
        let mut complete = vec![None; NODES];
        self.watch(self.begun, timeout, |entry| {
            views.take(entry);
            if views.0[entry.node].len() == NODES - 1 {
                complete[entry.node].get_or_insert(entry.at - self.begun);
            }
            if complete.iter().all(Option::is_some) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        complete
    }

    /// The time at which every node saw every other.
    pub fn all_see_all(&self, timeout: Duration) -> Option<Instant> {
        let mut views = Views::default();
        let mut last = None;
        // Whole, and not only in passing: the log of the moment is read to its end.
        let end = Instant::now() + timeout;
        let mut read = 0;
        loop {
            let mut entries = self.log.lock();
            for entry in entries.iter().skip(read) {
                views.take(entry);
                last = views.complete().then_some(last.unwrap_or(entry.at));
            }
            read = entries.len();
            if last.is_some() {
                return last;
            }
            let left = end.checked_duration_since(Instant::now())?;
            self.log.more.wait_for(&mut entries, left);
        }
    }

    /// CPU time of all nodes so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let mut ticks = 0_u64;
        for node in 0..self.nodes.len() {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid(node).as_raw_nonzero()))?;
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            for field in after_name.split_whitespace().skip(11).take(2) {
                ticks += field.parse::<u64>()?;
            }
        }
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Mean resident memory of a node, in bytes.
    pub fn rss_bytes(&self) -> Result<f64> {
        let mut pages = 0_u64;
        for node in 0..self.nodes.len() {
            let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid(node).as_raw_nonzero()))?;
            pages += statm.split_whitespace().nth(1).ok_or("no RSS")?.parse::<u64>()?;
        }
        Ok((pages * rustix::param::page_size() as u64) as f64 / self.nodes.len() as f64)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // One that was killed before is no loss.
            if node.kill().is_ok()
                && let Err(error) = node.wait()
            {
                eprintln!("a node did not end: {error}");
            }
        }
    }
}

/// Whom each node takes for alive, itself left out.
pub struct Views(pub Vec<BTreeSet<String>>);

impl Default for Views {
    fn default() -> Self {
        Self(vec![BTreeSet::new(); NODES])
    }
}

impl Views {
    pub fn take(&mut self, entry: &Entry) {
        let view = &mut self.0[entry.node];
        match &entry.change {
            // Serf says that it has joined itself.
            Change::Live(member) if *member != name(entry.node) => {
                view.insert(member.clone());
            }
            Change::Failed(member) | Change::Left(member) => {
                view.remove(member);
            }
            Change::Started => view.clear(),
            Change::Live(_) | Change::Suspected(_) => {}
        }
    }

    fn complete(&self) -> bool {
        self.0.iter().all(|view| view.len() == NODES - 1)
    }
}
