//! What happened in a run: its trace, its figures, what the checkers make of it, and which rare states were reached.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::check::Check;
use super::cluster::Cluster;
use super::setup::{Setup, Trouble, ZONES};
use super::tally::Tally;
use super::trace::Trace;
use crate::content::{ContentId, Key};
use crate::journey::{Event, What};
use crate::lease::Verdict;
use crate::policy::Candidate;

/// Rare states, and how often each was reached: what is never reached is not tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rare {
    /// A home gave a lease to a node while another one was still at the work.
    pub lease_stolen: u64,
    /// A question came to a home whose process is stopped.
    pub home_frozen: u64,
    /// A video came for an offer that was held no more.
    pub offer_expired: u64,
    /// What was begun beside work that did not get on was done first.
    pub hedge_won: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// Work that did not move, or took long, at a peer or for another node.
    pub stalled: u64,
    pub slow: u64,
    /// Jobs that nodes which leave gave to others.
    pub handed_on: u64,
    /// A home that said nothing.
    pub home_silent: u64,
    /// A job that waited so long for its turn that it was given up.
    pub overtaken: u64,
}

/// An event as the trace has it.
struct Told<'a>(&'a What);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of some twenty candidates all that is known of each made most of a trace's text, and its text most of what a trace costs. Another
        // ranking has other names or other scores.
        let What::Ranked { candidates, .. } = self.0 else { return write!(f, "{:?}", self.0) };
        f.write_str("Ranked")?;
        candidates.iter().try_for_each(|Candidate { identity, score, .. }| {
            f.write_str(" ")?;
            f.write_str(identity.name.as_str())?;
            f.write_str("=")?;
            f.write_str(hex(score.to_bits(), &mut [0; 16]))
        })
    }
}

/// As `{:x}` writes it, which costs more than all else in a ranking's line.
fn hex(mut bits: u64, text: &mut [u8; 16]) -> &str {
    let mut begin = text.len();
    loop {
        begin -= 1;
        text[begin] = b"0123456789abcdef"[(bits & 15) as usize];
        bits >>= 4;
        if bits == 0 {
            break;
        }
    }
    std::str::from_utf8(&text[begin..]).expect("digits are text")
}

/// All that is written down.
pub(super) struct Record {
    pub trace: Trace,
    pub tally: Tally,
    pub check: Check,
    pub rare: Rare,
    /// Whose lease it is, by the homes' words.
    lessees: BTreeMap<Key, usize>,
}

impl Record {
    pub fn new(setup: &Setup) -> Self {
        Self {
            trace: Trace::keeping(setup.keeps_trace),
            tally: Tally::default(),
            check: Check::new(setup),
            rare: Rare::default(),
            lessees: BTreeMap::new(),
        }
    }

    pub fn note(&mut self, at: Duration, node: usize, what: fmt::Arguments<'_>) {
        self.trace.note(at, format_args!("node{} {what}", node + 1));
    }

    pub fn begins(&mut self, at: Duration, node: usize, requester: usize, key: &Key) {
        self.note(at, node, format_args!("begins {} for node{}", key.content.short(), requester + 1));
        self.tally.transcodes_begun += 1;
        self.check.begins(at, (node, requester), key);
    }

    pub fn ends(&mut self, at: Duration, node: usize, key: &Key, is_done: bool, ran: Duration) {
        let how = if is_done { "makes" } else { "gives up" };
        self.note(at, node, format_args!("{how} {}", key.content.short()));
        self.tally.worked(is_done, ran);
        self.check.ends(node, key, is_done);
    }

    /// A worker's task is over, whether it came to its end or not.
    pub fn breaks_off(&mut self, node: usize, key: &Key) {
        self.check.ends(node, key, false);
    }

    pub fn strikes(&mut self, at: Duration, trouble: &Trouble) {
        self.trace.note(at, format_args!("{trouble:?}"));
        self.check.troubled(at);
        match trouble {
            Trouble::Death { node, .. } => self.check.died(*node, at),
            Trouble::Freeze { node, time } | Trouble::Leave { node, time } => {
                self.check.held_up(*node, at + *time);
            }
            Trouble::Partition { time, .. } | Trouble::Loss { time, .. } => self.check.troubled(at + *time),
            Trouble::Hang { node, time } => self.check.hangs(*node, at + *time),
            Trouble::Restart { .. } => {}
        }
    }

    fn tell(&mut self, at: Duration, node: usize, Event { key, what }: &Event) {
        let content = &key.content;
        self.note(at, node, format_args!("{}: {}", content.short(), Told(what)));
        match what {
            What::Joined | What::NotWaitedFor { .. } => self.check.waits(node, *content),
            What::HomeAsked { .. } => self.check.asked_home(node, *content),
            What::HomeSilent { .. } => self.rare.home_silent += 1,
            What::HedgedHere { .. } => self.hedged(node, *content),
            What::Slow { .. } => {
                self.rare.slow += 1;
                self.hedged(node, *content);
            }
            What::Stalled { .. } => {
                self.rare.stalled += 1;
                self.hedged(node, *content);
            }
            What::HedgeWon => self.rare.hedge_won += 1,
            What::Refused { .. } => self.tally.offers_refused += 1,
            _ => {}
        }
    }

    fn hedged(&mut self, node: usize, content: ContentId) {
        self.tally.hedges += 1;
        self.check.hedged(content);
        self.check.waits(node, content);
    }

    /// A home has answered a claim.
    fn gave(&mut self, key: &Key, to: usize, verdict: &Verdict) {
        if *verdict != Verdict::Yours {
            return;
        }
        let before = self.lessees.insert(key.clone(), to);
        if before.is_some_and(|before| before != to && self.check.is_at_work(before, key)) {
            self.rare.lease_stolen += 1;
        }
    }
}

/// What nodes tell of their doings, for the record.
impl Cluster {
    pub fn heard(&self, node: usize, event: &Event) {
        let at = self.elapsed();
        self.record().tell(at, node, event);
    }

    /// A request for this content waits for work that another one began, or was taken: its refusal is no quick one any more.
    pub fn waits(&self, node: usize, content: ContentId) {
        self.record().check.waits(node, content);
    }

    /// A job that waited at a node is given up: others had their turns before it.
    pub fn overtaken(&self, node: usize, content: ContentId) {
        let mut record = self.record();
        record.rare.overtaken += 1;
        record.check.overtaken(node, content);
    }

    /// A refused job was told when to come again.
    pub fn promised(&self, node: usize, key: &Key, after: Duration) {
        let at = self.elapsed();
        self.note(node, format_args!("{} may come in {after:?}", key.content.short()));
        self.record().check.promised(node, key, (at, at + after));
    }

    /// A question of this node's has no answer.
    pub fn unanswered(&self, node: usize) {
        self.record().rare.unanswered += 1;
        self.note(node, format_args!("is left without an answer"));
    }

    pub fn asks_home(&self, home: usize) {
        if self.node(home).is_some_and(|home| home.process.is_stopped()) {
            self.record().rare.home_frozen += 1;
        }
    }

    pub fn gave(&self, key: &Key, to: usize, verdict: &Verdict) {
        self.record().gave(key, to, verdict);
    }

    pub fn expired(&self, node: usize) {
        self.record().rare.offer_expired += 1;
        self.note(node, format_args!("has no such offer"));
    }

    /// A job is offered to a peer.
    pub fn offers(&self, from: usize, to: usize) {
        self.record().tally.offers += 1;
        self.note(from, format_args!("offers to node{}", to + 1));
    }

    /// A job that a peer has taken goes there.
    pub fn hands(&self, from: usize, to: usize) {
        let at = self.elapsed();
        let crosses = crosses(from, to);
        let leaves =
            self.node(from).is_some_and(|node| node.draining.load(std::sync::atomic::Ordering::Relaxed));
        let mut record = self.record();
        record.rare.handed_on += u64::from(leaves);
        record.tally.handed(at, to, crosses);
        drop(record);
        self.note(from, format_args!("hands to node{}", to + 1));
    }

    /// Bytes go from one node to another.
    pub fn carries(&self, from: usize, to: usize, bytes: u64) {
        let crosses = crosses(from, to);
        self.record().tally.carried(bytes, crosses);
    }
}

fn crosses(a: usize, b: usize) -> bool {
    a % ZONES != b % ZONES
}
