//! The slots that send, until the time is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};

use super::breaker::{Breakers, NoNode};
use super::outcome::{Failure, Outcome};
use super::plan::Plan;
use super::request::Common;
use super::schedule::{Ended, Record, UPLOADS_MAX, content_of};
use super::tally::{Snapshot, Tally};
use super::{Report, ReportUrl, Source, cluster, reporting};
use crate::client::{Client, Target};
use crate::content::ContentId;

/// Wait of a slot that finds every node's breaker open.
const NO_NODE_PAUSE: Duration = Duration::from_millis(100);
/// Wait after a failure, so that a node that refuses connections is not asked as fast as it can refuse.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Asks the nodes.
    pub client: Client,
    /// Each upload goes to a random one of these.
    pub nodes: Vec<Target>,
    /// Each upload sends a random one of these; not empty.
    pub sources: Vec<Source>,
    /// None leaves the choice to the nodes.
    pub profile: Option<String>,
    /// Uploads in flight at once.
    pub parallel: u16,
    /// All slots wait for the last of them before they send again.
    pub batches: bool,
    /// For how long uploads are begun; each still ends within its timeout.
    pub duration: Duration,
    /// For one upload, from the first byte sent to the last one received.
    pub timeout: Duration,
    /// What nodes are told that an upload may take.
    pub deadline: Duration,
    /// Decides who sends what.
    pub seed: u64,
    /// Whether every upload is a content that nobody sent before.
    pub unique: bool,
    /// Whether a refused upload is sent again, to the same node, when its Retry-After is over.
    pub retry: bool,
    /// Whether results are checked against their digest.
    pub verify: bool,
    /// Where it is told now and then how the run goes: a monitor.
    pub report: Option<ReportUrl>,
    /// Whether each upload leaves a record: see [`Generator::records`].
    pub record: bool,
}

/// A run.
#[derive(Debug)]
pub struct Generator {
    options: Options,
    common: Common,
    breakers: Breakers,
    tally: Mutex<Tally>,
    records: Mutex<Vec<Record>>,
    next: AtomicU64,
    began: Instant,
}

/// What a slot does next.
enum Next {
    Another,
    /// Refused: after this time, and if it is to be sent again, with this plan to this node.
    Wait(Duration, Option<(Plan, usize)>),
}

impl Generator {
    /// A run that begins when the nodes have said who they are; an error if none of them does.
    pub async fn begin(options: Options) -> Result<Self, NoNode> {
        let common = Common {
            client: options.client.clone(),
            profile: options.profile.clone(),
            deadline: options.deadline,
            timeout: options.timeout,
            verify: options.verify,
        };
        let breakers = Breakers::new(&options.nodes);
        breakers.meet(&common.client).await?;
        let began = Instant::now();
        Ok(Self {
            options,
            common,
            breakers,
            tally: Mutex::new(Tally::new(began)),
            records: Mutex::default(),
            next: AtomicU64::new(0),
            began,
        })
    }

    /// Sends until the time is over or `stop` ends, waits for what is under way, and reports.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Report {
        let nodes = &self.options.nodes;
        let before = cluster::read(&self.common.client, nodes).await;
        let slots = async {
            if self.options.batches {
                while !self.is_over() {
                    join_all((0..self.options.parallel).map(|_| self.once(None))).await;
                }
            } else {
                join_all((0..self.options.parallel).map(|_| self.slot())).await;
            }
        };
        tokio::select! {
            () = slots => {}
            () = self.breakers.watch(&self.common.client) => {}
            () = reporting::regularly(self, &self.common.client, self.options.report.as_ref()) => {}
            () = stop => {}
        }
        reporting::once(self, &self.common.client, self.options.report.as_ref()).await;
        let elapsed = self.began.elapsed();
        let after = cluster::read(&self.common.client, nodes).await;
        self.report(elapsed, cluster::between(&before, &after))
    }

    /// The run so far.
    pub fn snapshot(&self) -> Snapshot {
        self.tally().snapshot()
    }

    /// A record of each upload that has ended, by its number, if records are made.
    pub fn records(&self) -> Vec<Record> {
        let mut records = self.records.lock().clone();
        records.sort_by_key(|record| record.number);
        records
    }

    /// The content of an upload, as nodes call it. Reads the file.
    pub fn content(&self, number: u64) -> std::io::Result<ContentId> {
        let Options { seed, unique, sources, .. } = &self.options;
        content_of(sources, &Plan::new(*seed, number, sources.len(), *unique))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock()
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.options.duration
    }

    async fn slot(&self) {
        let mut again = None;
        while !self.is_over() {
            match self.once(again.take()).await {
                Next::Another => {}
                Next::Wait(time, retry) => {
                    let left = self.options.duration.saturating_sub(self.began.elapsed());
                    tokio::time::sleep(time.min(left)).await;
                    again = retry;
                }
            }
        }
    }

    /// One upload: a new one, or one that was refused before.
    async fn once(&self, again: Option<(Plan, usize)>) -> Next {
        let (is_retry, mut number) = (again.is_some(), 0);
        let (plan, node) = match again {
            Some((plan, node)) if self.breakers.is_closed(node) => (plan, Some(node)),
            Some((plan, _)) => {
                let node = self.breakers.pick(plan.draw);
                (plan, node)
            }
            None => {
                number = self.next.fetch_add(1, Ordering::Relaxed);
                let Options { seed, unique, sources, .. } = &self.options;
                let plan = Plan::new(*seed, number, sources.len(), *unique);
                let node = self.breakers.pick(plan.draw);
                (plan, node)
            }
        };
        let Some(node) = node else {
            return Next::Wait(NO_NODE_PAUSE, None);
        };
        let source = &self.options.sources[plan.file];
        self.tally().sent(source.bytes + plan.tail.len() as u64);
        let sent = Instant::now();
        let tail = Bytes::copy_from_slice(&plan.tail);
        let outcome = self.common.upload(self.breakers.endpoint(node), source, tail).await;
        let took = sent.elapsed();
        self.tally().ended(&outcome, took, (plan.file, &plan.tail), is_retry);
        // What comes again when it was told to is no request of its own.
        if self.options.record && !is_retry {
            self.keep(Record {
                number,
                at: sent - self.began,
                took,
                file: plan.file,
                node: Some(node),
                bytes: source.bytes + plan.tail.len() as u64,
                ended: Ended::of(&outcome),
            });
        }
        match outcome {
            Outcome::Served(_) => Next::Another,
            Outcome::Refused(refused) => match refused.retry_after {
                Some(after) => Next::Wait(after, self.options.retry.then_some((plan, node))),
                None => Next::Wait(FAILURE_PAUSE, None),
            },
            Outcome::Failed(failure) => {
                if !matches!(failure, Failure::File | Failure::Invalid) {
                    self.breakers.trip(node);
                }
                Next::Wait(FAILURE_PAUSE, None)
            }
        }
    }

    fn keep(&self, record: Record) {
        let mut records = self.records.lock();
        if records.len() < UPLOADS_MAX {
            records.push(record);
        }
    }

    fn report(&self, elapsed: Duration, cluster: super::ClusterReport) -> Report {
        let tally = self.tally();
        let (refused, failed, cache, hops, contents) = tally.kinds();
        let share = tally.succeeded as f64 / tally.requests.max(1) as f64;
        Report {
            seed: self.options.seed,
            parallel: self.options.parallel,
            timeout_ms: self.options.timeout.as_millis() as u64,
            elapsed_ms: elapsed.as_millis() as u64,
            requests: tally.requests,
            succeeded: tally.succeeded,
            success_share: (share * 10_000.0).round() / 10_000.0,
            latency: tally.latency(),
            refused,
            failed,
            cache,
            hops,
            contents,
            bytes_sent: tally.bytes_sent,
            bytes_received: tally.bytes_received,
            retries: tally.retries,
            retries_accepted_share: tally.retries.accepted_share(),
            cluster,
        }
    }
}
