//! A second keeper's watch over the nodes that hold jobs of which it has copies, and a returning node's over its second keepers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::NodeName;
use tokio::task::JoinSet;

use super::LOOK_INTERVAL;
use crate::api::{COMPARED_MAX, CopyQuestion, Held};
use crate::jobs::{JobNumber, Record};
use crate::node::{Node, Readiness};

/// How often it is asked whether anything was missed.
const COMPARE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a node that comes back waits for the membership to tell of a second keeper, before it goes on without its word.
const RETURN_WAIT: Duration = Duration::from_secs(10);
/// And how long for the word of one that is there.
const RETURN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest that an answer may take that needs nothing to be fetched.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches for as long as the node lives; aborted when it stops.
pub(super) async fn watch(node: Arc<Node>) {
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    let started = Instant::now();
    let (mut compared, mut comparing) = (started, JoinSet::new());
    loop {
        tick.tick().await;
        let now = Instant::now();
        node.go_on_alone(now.duration_since(started)).await;
        node.tell_former_holders().await;
        let by_holder = node.copies_by_holder();
        node.take_over_from_the_gone(&by_holder, now).await;
        node.replace_the_gone(now);
        while comparing.try_join_next().is_some() {}
        if comparing.is_empty() && now.duration_since(compared) >= COMPARE_INTERVAL {
            compared = now;
            for (holder, copies) in by_holder {
                let node = Arc::clone(&node);
                comparing.spawn(async move { node.compare_with_holder(&holder, &copies).await });
            }
        }
    }
}

impl Node {
    fn copies_by_holder(&self) -> BTreeMap<NodeName, Vec<Record>> {
        let mut by_holder: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (holder, record) in self.jobs().copies() {
            by_holder.entry(holder).or_default().push(record);
        }
        by_holder
    }

    /// Begins jobs of before this start whose second keeper is away, or does not say in time whether it holds them now.
    async fn go_on_alone(&self, since_start: Duration) {
        for record in self.jobs().unsure() {
            let is_there = record.keeping.second.as_ref().is_some_and(|name| self.live(name).is_some());
            let patience = if is_there { RETURN_WAIT_MAX } else { RETURN_WAIT };
            if since_start >= patience {
                tracing::info!(job = %record.id(), "a job goes on without the word of its second keeper");
                self.jobs().is_own(record.number).await;
            }
        }
    }

    /// Takes over the jobs of nodes that have been away for long enough.
    async fn take_over_from_the_gone(&self, by_holder: &BTreeMap<NodeName, Vec<Record>>, now: Instant) {
        // Whoever hears nobody is more likely to be cut off than the last one.
        if self.readiness() != Readiness::Ready {
            return;
        }
        let view = self.view();
        for (holder, copies) in by_holder {
            let state = view.peer(holder).map(|member| member.state);
            let gone = self.keepers.holders.lock().is_gone(holder, state, now);
            if gone {
                self.take_over(holder, copies.iter().map(|record| record.number)).await;
            }
        }
        self.keepers.holders.lock().retain(|holder| by_holder.contains_key(holder));
    }

    /// Has another second node sought for the jobs held here whose second node is gone: nothing else may change of them for hours.
    fn replace_the_gone(&self, now: Instant) {
        let (view, by_second) = (self.view(), self.jobs().by_second());
        let mut seconds = self.keepers.seconds.lock();
        seconds.retain(|second| by_second.contains_key(second));
        for (second, numbers) in by_second {
            if seconds.is_gone(&second, view.peer(&second).map(|member| member.state), now) {
                for number in numbers {
                    self.jobs().still_untold(number);
                }
            }
        }
    }

    async fn take_over(&self, holder: &NodeName, numbers: impl Iterator<Item = JobNumber>) {
        let mut jobs = 0;
        for number in numbers {
            match self.jobs().take_over(number).await {
                Ok(taken) => jobs += usize::from(taken.is_some()),
                Err(error) => tracing::warn!(%holder, %error, "a job can't be taken over: tried again"),
            }
        }
        if jobs > 0 {
            tracing::warn!(%holder, jobs, "a node is gone: its jobs are taken over");
        }
    }

    /// Asks a holder whether anything was missed of its jobs.
    async fn compare_with_holder(self: &Arc<Self>, holder: &NodeName, copies: &[Record]) {
        let Some(peer) = self.live(holder) else { return };
        for copies in copies.chunks(COMPARED_MAX) {
            let held = copies.iter().map(|record| Held { number: record.number, rank: record.rank() });
            let question = CopyQuestion::Compare { held: held.collect() };
            let answer = match self.peers.ask_keeper(&peer, &question, ANSWER_TIMEOUT).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(%holder, %error, "a node does not say how its jobs are: asked again");
                    return;
                }
            };
            for record in answer.newer {
                if let Err(error) = self.keep_copy(holder, record).await {
                    tracing::debug!(%holder, %error, "a newer word on a job is not taken: asked again");
                }
            }
            // It has lost its disk: what it does not know it does not do.
            self.take_over(holder, answer.unknown.into_iter()).await;
        }
    }

    /// Tells nodes that held a job before, and are back, that they do not hold it any more.
    async fn tell_former_holders(self: &Arc<Self>) {
        let mut silent = BTreeSet::new();
        for record in self.jobs().held_before() {
            for name in &record.keeping.former {
                if !silent.contains(name) && !self.tell_former_holder(name, &record).await {
                    silent.insert(name.clone());
                }
            }
        }
    }

    /// The same of one job and one node. False: it does not answer.
    async fn tell_former_holder(self: &Arc<Self>, name: &NodeName, record: &Record) -> bool {
        let Some(peer) = self.live(name) else { return false };
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_TIMEOUT, self.say_keep(&peer, record)).await else {
            tracing::debug!(peer = %name, job = %record.id(), "a former holder is told later");
            return false;
        };
        for newer in answer.newer {
            if let Err(error) = self.keep_copy(name, newer).await {
                tracing::debug!(peer = %name, %error, "a newer word on a job is not taken: told once more");
                return true;
            }
        }
        let told = self.jobs().change_keepers(record.number, |record| {
            record.keeping.former.retain(|former| former != name);
            record.keeping.version += 1;
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "a former holder is told once more");
        }
        true
    }
}
