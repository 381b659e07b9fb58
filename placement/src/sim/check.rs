//! What must hold in every run, whatever goes wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::node::SimNode;
use super::setup::Setup;
use super::workload::Workload;
use crate::content::{ContentId, Key};

/// Violations kept of one run.
const VIOLATIONS_MAX: usize = 20;
/// A timer is as fine as a millisecond, and an answer follows a timer.
const TIMER_SLACK: Duration = Duration::from_millis(5);
/// A refusal comes this soon after the video, or its announcement.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// What went wrong may be felt for so long: until all nodes see the same members again, and what was lost has been tried again.
const TROUBLE_LASTS: Duration = Duration::from_secs(60);
/// A client that comes back this much later than it was told is in time. A desk keeps the place for longer than that.
const PROMISE_LASTS: Duration = Duration::from_secs(2);

/// What a checker looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No content is transcoded twice without a lost message or a death to explain it.
    MadeOnce,
    /// Every request is answered once.
    AnsweredOnce,
    /// And by its deadline.
    AnsweredInTime,
    /// A client that comes back when it was told to is taken.
    PromiseKept,
    /// A refusal comes within a second.
    RefusedSoon,
    /// Queues and tables stay within their bounds.
    Bounded,
    /// No place is held for a job that is not there.
    PlaceOwned,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// When, from the begin of the run.
    pub at: Duration,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s: {:?}: {}", self.at.as_secs_f64(), self.rule, self.what)
    }
}

/// One piece of work on a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    UnderWay { node: usize, since: Duration },
    Done { node: usize, since: Duration },
}

/// What a node told a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    made: Duration,
    /// When it is to come.
    due: Duration,
}

/// Requests to one node for one content.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    open: u32,
    /// Whether one of them waited for work that another one began, or was taken.
    waited: bool,
    /// Whether one that was taken was overtaken in the line, until it could not be done in time any more.
    overtaken: bool,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub node: usize,
    pub content: ContentId,
    pub arrived: Duration,
    /// When its video, or the announcement of it, was there.
    pub ready: Duration,
    pub deadline: Duration,
    /// What it was told, if it was refused before.
    pub promised: Option<Promise>,
}

/// All checkers, and what they know.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
    runs: BTreeMap<ContentId, Vec<Run>>,
    hedged: BTreeSet<ContentId>,
    asked_home: BTreeSet<(usize, ContentId)>,
    /// Only of requests that are open.
    alike: BTreeMap<(usize, ContentId), Alike>,
    /// When anything last went wrong anywhere, or still did.
    trouble: Option<Duration>,
    /// When each node was last stopped or leaving, or gone.
    held_up: BTreeMap<usize, Duration>,
    /// When what runs at each node last stood still.
    hung: BTreeMap<usize, Duration>,
    promises: BTreeMap<(usize, ContentId), Promise>,
    /// By node.
    owners: BTreeMap<usize, BTreeMap<Key, usize>>,
    open: BTreeMap<u64, Open>,
    /// How many of them each node has.
    open_at: BTreeMap<usize, usize>,
    /// Jobs take what they are predicted to take. What they take that none could predict no node can make up for.
    predictable: bool,
}

impl Check {
    pub fn new(setup: &Setup) -> Self {
        // A job of which nothing is known when it is booked may be much longer than such jobs usually are.
        let Workload { estimate_sigma, service_sigma, foreign, .. } = setup.workload;
        let predictable = estimate_sigma <= 0.1 && service_sigma <= 0.1 && foreign <= 0.0;
        Self { predictable, ..Self::default() }
    }

    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn violated(&mut self, rule: Rule, at: Duration, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { rule, at, what });
        }
    }

    /// Something goes wrong, or did until now.
    pub fn troubled(&mut self, until: Duration) {
        self.trouble = self.trouble.max(Some(until));
    }

    /// A node is stopped, or leaves, until then.
    pub fn held_up(&mut self, node: usize, until: Duration) {
        self.troubled(until);
        let last = self.held_up.entry(node).or_default();
        *last = until.max(*last);
    }

    /// What runs at a node stands still until then.
    pub fn hangs(&mut self, node: usize, until: Duration) {
        self.troubled(until);
        let last = self.hung.entry(node).or_default();
        *last = until.max(*last);
    }

    pub fn died(&mut self, node: usize, at: Duration) {
        self.held_up(node, at);
        self.promises.retain(|(of, _), _| *of != node);
        self.owners.remove(&node);
    }

    fn is_troubled(&self, since: Duration) -> bool {
        self.trouble.is_some_and(|trouble| trouble + TROUBLE_LASTS >= since)
    }

    fn was_held_up(&self, node: usize, since: Duration) -> bool {
        self.held_up.get(&node).is_some_and(|until| *until >= since)
    }

    fn was_hung(&self, node: usize, since: Duration) -> bool {
        self.hung.get(&node).is_some_and(|until| *until >= since)
    }

    /// A worker begins a content, for a request at another node perhaps.
    pub fn begins(&mut self, at: Duration, (node, requester): (usize, usize), key: &Key) {
        let content = key.content;
        let runs = self.runs.entry(content).or_default();
        let before = runs.first().copied();
        runs.push(Run::UnderWay { node, since: at });
        let Some(Run::UnderWay { node: other, since } | Run::Done { node: other, since }) = before else {
            return;
        };
        // To ask the home was not worth it, or it was decided to begin it once more.
        let on_purpose = !self.asked_home.contains(&(requester, content)) || self.hedged.contains(&content);
        if !on_purpose && !self.is_troubled(since) {
            let what = format!(
                "node{} begins {} for node{}, and node{} had begun it at {:.3} s",
                node + 1,
                content.short(),
                requester + 1,
                other + 1,
                since.as_secs_f64()
            );
            self.violated(Rule::MadeOnce, at, what);
        }
    }

    pub fn ends(&mut self, node: usize, key: &Key, is_done: bool) {
        let Some(runs) = self.runs.get_mut(&key.content) else { return };
        let own = |run: &Run| matches!(run, Run::UnderWay { node: by, .. } if *by == node);
        let Some(at) = runs.iter().position(own) else { return };
        let Run::UnderWay { since, .. } = runs.remove(at) else { return };
        if is_done {
            runs.insert(0, Run::Done { node, since });
        }
    }

    pub fn is_at_work(&self, requester: usize, key: &Key) -> bool {
        let runs = self.runs.get(&key.content);
        self.owners.get(&requester).is_some_and(|keys| keys.contains_key(key))
            && runs.is_some_and(|runs| runs.iter().any(|run| matches!(run, Run::UnderWay { .. })))
    }

    pub fn asked_home(&mut self, node: usize, content: ContentId) {
        self.asked_home.insert((node, content));
    }

    pub fn hedged(&mut self, content: ContentId) {
        self.hedged.insert(content);
    }

    pub fn waits(&mut self, node: usize, content: ContentId) {
        if let Some(alike) = self.alike.get_mut(&(node, content)) {
            alike.waited = true;
        }
    }

    /// A job that waited at a node is given up there, since others had their turns before it.
    pub fn overtaken(&mut self, node: usize, content: ContentId) {
        if let Some(alike) = self.alike.get_mut(&(node, content)) {
            alike.overtaken = true;
        }
    }

    pub fn promised(&mut self, node: usize, key: &Key, (made, due): (Duration, Duration)) {
        self.promises.insert((node, key.content), Promise { made, due });
    }

    pub fn owns(&mut self, node: usize, key: &Key) {
        *self.owners.entry(node).or_default().entry(key.clone()).or_default() += 1;
    }

    pub fn disowns(&mut self, node: usize, key: &Key) {
        let Some(keys) = self.owners.get_mut(&node) else { return };
        if let Some(count) = keys.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(key);
            }
        }
    }

    /// A request has come to a node.
    pub fn arrived(&mut self, number: u64, mut request: Open) {
        // One that its own answer makes is for the next time.
        request.promised = self.promises.remove(&(request.node, request.content));
        *self.open_at.entry(request.node).or_default() += 1;
        self.alike.entry((request.node, request.content)).or_default().open += 1;
        self.open.insert(number, request);
    }

    /// It is over; and what became of it and others for the same.
    fn closes(&mut self, number: u64) -> Option<(Open, Alike)> {
        let open = self.open.remove(&number)?;
        if let Some(count) = self.open_at.get_mut(&open.node) {
            *count -= 1;
        }
        let of = (open.node, open.content);
        let alike = self.alike.get_mut(&of)?;
        alike.open -= 1;
        let alike = *alike;
        if alike.open == 0 {
            self.alike.remove(&of);
        }
        Some((open, alike))
    }

    /// Its video is there.
    pub fn received(&mut self, number: u64, at: Duration) {
        if let Some(open) = self.open.get_mut(&number) {
            open.ready = at;
        }
    }

    /// A request was answered; whether it was told that there is no place for it.
    pub fn answered(&mut self, number: u64, at: Duration, is_refusal: bool) {
        let Some((open, alike)) = self.closes(number) else {
            self.violated(Rule::AnsweredOnce, at, format!("request {number} is answered once more"));
            return;
        };
        let Open { node, arrived, ready, deadline, promised, .. } = open;
        if self.was_held_up(node, arrived) {
            return;
        }
        if at > deadline + TIMER_SLACK {
            let what = format!(
                "request {number} to node{}: {:?} after its deadline",
                node + 1,
                at.saturating_sub(deadline)
            );
            self.violated(Rule::AnsweredInTime, at, what);
        }
        if !is_refusal {
            return;
        }
        if !alike.waited && at > ready + REFUSED_WITHIN {
            let what =
                format!("request {number} to node{}: refused after {:?}", node + 1, at.saturating_sub(ready));
            self.violated(Rule::RefusedSoon, at, what);
        }
        // Whatever it waited for meanwhile, and whatever went wrong elsewhere: who promises knows what else it takes on. What a node does
        // not know is that it is going to be stopped itself, or what runs on it; and which clients come later, whose turns come before
        // those of a client with more jobs.
        let is_due = |promise: &Promise| (promise.due..=promise.due + PROMISE_LASTS).contains(&arrived);
        let Some(Promise { made, due }) = promised.filter(is_due) else { return };
        if self.predictable && !alike.overtaken && !self.was_held_up(node, made) && !self.was_hung(node, made)
        {
            let what = format!(
                "request {number} came back to node{} as it was told at {:.3} s for {:.3} s, and was refused{}",
                node + 1,
                made.as_secs_f64(),
                due.as_secs_f64(),
                if alike.waited { " after it had waited" } else { "" }
            );
            self.violated(Rule::PromiseKept, at, what);
        }
    }

    /// The node that was asked is gone, and the answer with it.
    pub fn broken(&mut self, number: u64, at: Duration) {
        let Some((open, _)) = self.closes(number) else { return };
        if !self.was_held_up(open.node, open.arrived) {
            let what = format!("request {number} has no answer, and node{} is well", open.node + 1);
            self.violated(Rule::AnsweredOnce, at, what);
        }
    }

    /// A look at a node and what it holds.
    pub fn look(&mut self, at: Duration, node: &SimNode, setup: &Setup) {
        if node.process.is_stopped() {
            return;
        }
        let (stats, workers) = {
            let bench = node.bench();
            (bench.desk.occupancy(), bench.desk.workers())
        };
        let (answers, works) = node.journeys.under_way();
        let idle = workers.saturating_sub(stats.running);
        let open = self.open_at.get(&node.index).copied().unwrap_or_default();
        let places = setup.queue + idle;
        // They hold no place here, and come back to one beyond the queue's capacity if need be.
        let elsewhere = stats.away + stats.came_back + stats.promised;
        let bounds = [
            (
                "jobs and places in its queue",
                stats.queued - stats.came_back + stats.reserved,
                places + workers + stats.promised,
            ),
            ("jobs that run", stats.running, workers + 1),
            ("offers that it holds", node.offers.len(), places + workers),
            ("answers under way", answers, open + places),
            ("pieces of work under way", works, places + workers + 1 + elsewhere),
            ("hand-offs that it remembers", node.handoffs(), 4096),
            ("leases", node.journeys.leases.len(), 65_536),
        ];
        for (what, count, most) in bounds {
            if count > most {
                self.violated(
                    Rule::Bounded,
                    at,
                    format!("node{}: {count} {what}, and {most} at most", node.index + 1),
                );
            }
        }
        let held = node.held_places.lock();
        for key in held.values() {
            let owned = self.owners.get(&node.index).is_some_and(|keys| keys.contains_key(key));
            if !owned && node.offers.count(|held| held.key == *key) == 0 {
                let what = format!(
                    "node{} holds a place for {}, and no such job is there",
                    node.index + 1,
                    key.content.short()
                );
                self.violated(Rule::PlaceOwned, at, what);
            }
        }
    }

    /// A look at all that is under way.
    pub fn look_at_requests(&mut self, at: Duration) {
        for (number, node) in self.overdue(at) {
            let what =
                format!("request {number} to node{} has no answer, and its deadline is over", node + 1);
            self.violated(Rule::AnsweredInTime, at, what);
        }
    }

    /// The run is over.
    pub fn finish(&mut self, at: Duration) {
        for (number, node) in self.overdue(Duration::MAX) {
            self.violated(
                Rule::AnsweredOnce,
                at,
                format!("request {number} to node{} was never answered", node + 1),
            );
        }
    }

    /// Requests whose deadline is over, to nodes that were well all the while.
    fn overdue(&self, at: Duration) -> Vec<(u64, usize)> {
        let is_late =
            |open: &Open| at > open.deadline + 4 * TIMER_SLACK && !self.was_held_up(open.node, open.arrived);
        self.open
            .iter()
            .filter(|(_, open)| is_late(open))
            .map(|(number, open)| (*number, open.node))
            .collect()
    }
}
