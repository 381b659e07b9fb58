//! Uploads whose times, files and nodes are fixed before the first of them is sent, and a record of each: what compares policies.
//!
//! In an open loop an upload is sent at its time, whatever became of those before it. In a closed loop so many slots send one
//! after the other. Either way the seed and an upload's number decide which file it sends and which node it asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::breaker::{Breakers, NoNode};
use super::outcome::{Failure, Hops, Outcome};
use super::plan::Plan;
use super::request::Common;
use super::{Snapshot, Source, tally::Tally};
use crate::client::{Client, Target};
use crate::content::ContentId;

/// Wait of a slot after an upload without a result, so that a node that refuses is not asked as fast as it can refuse.
const PAUSE: Duration = Duration::from_millis(100);
/// The most uploads of which one run keeps records.
pub(super) const UPLOADS_MAX: usize = 1_000_000;

/// When uploads are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// At these times after the begin, in their order.
    Open(Vec<Duration>),
    /// So many slots send one after the other, and begin none after this time.
    Closed {
        /// Uploads in flight at once.
        parallel: u16,
        /// For how long.
        duration: Duration,
    },
}

impl Pace {
    /// Arrivals of a Poisson process, so many a second on average, drawn from the seed.
    pub fn poisson(per_s: f64, duration: Duration, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x00a2_21fa);
        let (mut at, mut arrivals) = (0.0, Vec::new());
        while per_s > 0.0 && arrivals.len() < UPLOADS_MAX {
            at += -(1.0 - rng.random::<f64>()).ln() / per_s;
            if at >= duration.as_secs_f64() {
                break;
            }
            arrivals.push(Duration::from_secs_f64(at));
        }
        Self::Open(arrivals)
    }
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Each upload goes to one of these, drawn by the seed; to another one where that one does not answer.
    pub nodes: Vec<Target>,
    /// Each upload sends one of these, drawn by the seed; not empty.
    pub sources: Vec<Source>,
    /// None leaves the choice to the nodes.
    pub profile: Option<String>,
    /// When.
    pub pace: Pace,
    /// For one upload; the nodes are told the same.
    pub timeout: Duration,
    /// Decides what is sent and where.
    pub seed: u64,
    /// Whether every upload is a content that was never sent before (MP4 and QuickTime alone).
    pub unique: bool,
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a result, whose job went so far: `local`, `same_zone`, `cross_zone`, `unknown`.
    Served(&'static str),
    /// With this error status.
    Refused(u16),
    /// `unreachable`, `broken`, `timeout`, `invalid`, `file`; `no_node` where no node was there to ask.
    Failed(&'static str),
}

/// One upload that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0 on.
    pub number: u64,
    /// When it was sent, after the begin.
    pub at: Duration,
    /// From then to its end.
    pub took: Duration,
    /// Which of the sources.
    pub file: usize,
    /// Which of the nodes was asked, if any.
    pub node: Option<usize>,
    /// Bytes sent.
    pub bytes: u64,
    /// How it ended.
    pub ended: Ended,
}

/// A schedule that is being sent.
#[derive(Debug)]
pub struct Sending {
    schedule: Schedule,
    common: Common,
    breakers: Breakers,
    tally: Mutex<Tally>,
    records: Mutex<Vec<Record>>,
    next: AtomicU64,
    began: Instant,
}

impl Sending {
    /// Begins when the nodes have said who they are; an error if none of them does.
    pub async fn begin(schedule: Schedule) -> Result<Self, NoNode> {
        let common = Common {
            client: Client::new(),
            profile: schedule.profile.clone(),
            deadline: schedule.timeout,
            timeout: schedule.timeout,
            verify: false,
        };
        let breakers = Breakers::new(&schedule.nodes);
        breakers.meet(&common.client).await?;
        let began = Instant::now();
        let (tally, records) = (Mutex::new(Tally::new(began)), Mutex::default());
        Ok(Self { schedule, common, breakers, tally, records, next: AtomicU64::new(0), began })
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// So far.
    pub fn snapshot(&self) -> Snapshot {
        self.tally.lock().snapshot()
    }

    /// Sends all of it, and waits for what is under way; the records by number.
    pub async fn run(&self) -> Vec<Record> {
        let uploads = async {
            match &self.schedule.pace {
                Pace::Open(arrivals) => {
                    join_all((0..).zip(arrivals).map(|(number, at)| async move {
                        tokio::time::sleep_until((self.began + *at).into()).await;
                        self.once(number).await;
                    }))
                    .await;
                }
                Pace::Closed { parallel, duration } => {
                    join_all((0..*parallel).map(|_| self.slot(*duration))).await;
                }
            }
        };
        tokio::select! {
            () = uploads => {}
            () = self.breakers.watch(&self.common.client) => {}
        }
        let mut records = self.records.lock().clone();
        records.sort_by_key(|record| record.number);
        records
    }

    async fn slot(&self, duration: Duration) {
        while self.began.elapsed() < duration {
            let served = self.once(self.next.fetch_add(1, Ordering::Relaxed)).await;
            if !served {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn plan(&self, number: u64) -> Plan {
        Plan::new(self.schedule.seed, number, self.schedule.sources.len(), self.schedule.unique)
    }

    /// The content of an upload, as nodes call it. Reads the file.
    pub fn content(&self, number: u64) -> std::io::Result<ContentId> {
        content_of(&self.schedule.sources, &self.plan(number))
    }

    /// Whether there was a result.
    async fn once(&self, number: u64) -> bool {
        let plan = self.plan(number);
        let at = self.began.elapsed();
        let source = &self.schedule.sources[plan.file];
        let bytes = source.bytes + plan.tail.len() as u64;
        let node = self.breakers.pick(plan.draw);
        let (ended, took) = match node {
            None => (Ended::Failed("no_node"), Duration::ZERO),
            Some(node) => {
                self.tally.lock().sent(bytes);
                let sent = Instant::now();
                let tail = Bytes::copy_from_slice(&plan.tail);
                let outcome = self.common.upload(self.breakers.endpoint(node), source, tail).await;
                let took = sent.elapsed();
                self.tally.lock().ended(&outcome, took, (plan.file, &plan.tail), false);
                (self.ended(&outcome, node), took)
            }
        };
        self.records.lock().push(Record { number, at, took, file: plan.file, node, bytes, ended });
        matches!(ended, Ended::Served(_))
    }

    fn ended(&self, outcome: &Outcome, node: usize) -> Ended {
        if let Outcome::Failed(failure) = outcome
            && !matches!(failure, Failure::File | Failure::Invalid)
        {
            self.breakers.trip(node);
        }
        Ended::of(outcome)
    }
}

impl Ended {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Served(served) => Self::Served(Hops::of(&served.route).name()),
            Outcome::Refused(refused) => Self::Refused(refused.status),
            Outcome::Failed(failure) => Self::Failed(failure.name()),
        }
    }
}

/// The content of an upload, as nodes call it. Reads the file.
pub(super) fn content_of(sources: &[Source], plan: &Plan) -> std::io::Result<ContentId> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(&sources[plan.file].path)?, &mut hash)?;
    hash.update(&plan.tail);
    Ok(ContentId(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_the_seeds_and_come_as_often_as_they_should() {
        let arrivals = |seed| match Pace::poisson(5.0, Duration::from_secs(400), seed) {
            Pace::Open(arrivals) => arrivals,
            Pace::Closed { .. } => unreachable!("arrivals are an open loop"),
        };
        assert_eq!(arrivals(7), arrivals(7));
        assert_ne!(arrivals(7), arrivals(8));
        assert!((1_800..2_200).contains(&arrivals(7).len()), "{}", arrivals(7).len());
        assert!(arrivals(7).is_sorted());
        assert_eq!(Pace::poisson(0.0, Duration::from_secs(9), 1), Pace::Open(Vec::new()));
    }
}
