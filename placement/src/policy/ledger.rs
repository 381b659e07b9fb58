//! What this node has handed to its peers, and what became of it: gossip shows a job that was handed over only seconds later, and
//! until then every further job would go to the same peer.
//!
//! A hand-off counts from its offer until its peer's load sample is younger than the peer's acceptance: then the sample has it. One
//! that ended after the sample was taken is counted off.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_overlay::{BootEpoch, Identity, LoadSample, NodeName};

use super::SAMPLE_AGE_MAX;
use crate::profile::ProfileName;

/// Hand-offs remembered at the most; the oldest is forgotten then.
const HANDOFFS_MAX: usize = 4096;

/// One job that was offered to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandoffId(u64);

/// What is known of a hand-off at its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handing {
    /// To whom.
    pub peer: NodeName,
    /// In which boot.
    pub boot: BootEpoch,
    /// What is made.
    pub profile: ProfileName,
    /// Length of the input.
    pub bytes: u64,
    /// How long it is likely to keep a worker there.
    pub work: Duration,
}

/// What a peer has been given by this node and its load sample does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Jobs that it was offered or has taken, and the work in them.
    pub jobs: u32,
    /// The time that they keep workers.
    pub work: Duration,
    /// Those of them that it has taken for sure.
    pub taken: u32,
    /// And the work in these.
    pub taken_work: Duration,
    /// Jobs that the sample shows, and that are done by now.
    pub ended: u32,
    /// It refused a job since the sample was taken: for so much longer it will have no place, by its own words.
    pub busy_for: Duration,
}

impl Handed {
    /// Jobs that a node has or is about to have, which says this of itself.
    pub(super) fn jobs(&self, load: &LoadSample) -> u32 {
        let shown = u32::from(load.queued_jobs) + u32::from(load.running_jobs);
        (shown + self.jobs).saturating_sub(self.ended)
    }

    /// Only what is there for sure.
    pub(super) fn for_sure(&self) -> Self {
        Self { jobs: self.taken, work: self.taken_work, ..*self }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    id: HandoffId,
    handing: Handing,
    taken: Option<Instant>,
    ended: Option<Instant>,
}

/// All that one peer was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    entries: Vec<Entry>,
    /// When it last refused a job, in which boot, and until when it had no place by its own words.
    refused: Option<(BootEpoch, Instant, Instant)>,
}

/// Every hand-off that gossip may not show yet.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    peers: BTreeMap<NodeName, Given>,
    /// Whose each one is.
    by_id: BTreeMap<HandoffId, NodeName>,
    last_id: u64,
}

impl Given {
    /// What a sample that was taken then does not show.
    pub(super) fn unseen(&self, boot: BootEpoch, sample_taken: Option<Instant>, now: Instant) -> Handed {
        let mut handed = Handed::default();
        for entry in self.entries.iter().filter(|entry| entry.handing.boot == boot) {
            match (entry.taken, entry.ended) {
                (None, None) => handed.add(entry.handing.work),
                (Some(taken), None) if sample_taken.is_none_or(|sample| sample <= taken) => {
                    handed.add(entry.handing.work);
                    handed.taken += 1;
                    handed.taken_work += entry.handing.work;
                }
                (Some(taken), Some(ended)) => {
                    let shown = sample_taken.is_some_and(|sample| taken < sample && sample <= ended);
                    handed.ended += u32::from(shown);
                }
                (_, _) => {}
            }
        }
        if let Some((of, at, until)) = self.refused
            && of == boot
            && sample_taken.is_none_or(|sample| sample <= at)
        {
            handed.busy_for = until.saturating_duration_since(now);
        }
        handed
    }

    fn prune(&mut self, now: Instant) {
        self.entries.retain(|entry| entry.ended.is_none_or(|ended| now < ended + SAMPLE_AGE_MAX));
        self.refused = self.refused.filter(|(_, _, until)| now < *until);
    }
}

impl Handed {
    fn add(&mut self, work: Duration) {
        self.jobs += 1;
        self.work = self.work.saturating_add(work);
    }
}

impl Ledger {
    /// A job is offered to a peer.
    pub fn begin(&mut self, now: Instant, handing: Handing) -> HandoffId {
        self.prune(now);
        if self.by_id.len() >= HANDOFFS_MAX
            && let Some(oldest) = self.by_id.keys().next().copied()
        {
            self.forget(oldest);
        }
        self.last_id += 1;
        let id = HandoffId(self.last_id);
        self.by_id.insert(id, handing.peer.clone());
        let given = self.peers.entry(handing.peer.clone()).or_default();
        given.entries.push(Entry { id, handing, taken: None, ended: None });
        id
    }

    /// What is known of one.
    pub fn get(&self, id: HandoffId) -> Option<&Handing> {
        let entries = &self.peers.get(self.by_id.get(&id)?)?.entries;
        entries.iter().find(|entry| entry.id == id).map(|entry| &entry.handing)
    }

    /// The peer has a place for it.
    pub fn taken(&mut self, now: Instant, id: HandoffId) {
        if let Some(entry) = self.entry(id) {
            entry.taken = Some(now);
        }
    }

    /// The peer has none, and says when it may have one.
    pub fn refused(&mut self, now: Instant, id: HandoffId, retry_after: Option<Duration>) {
        if let (Some(retry_after), Some(boot)) = (retry_after, self.get(id).map(|handing| handing.boot))
            && let Some(given) = self.by_id.get(&id).and_then(|peer| self.peers.get_mut(peer))
        {
            given.refused = Some((boot, now, now + retry_after.min(SAMPLE_AGE_MAX)));
        }
        self.forget(id);
    }

    /// It is not there any more: its result is here, or it failed.
    pub fn ended(&mut self, now: Instant, id: HandoffId) {
        match self.entry(id) {
            Some(entry) if entry.taken.is_some() => entry.ended = Some(now),
            _ => self.forget(id),
        }
    }

    /// It is given up, unless it is over already. What the peer still does of it, it will say itself.
    pub fn give_up(&mut self, id: HandoffId) {
        if self.entry(id).is_some_and(|entry| entry.ended.is_none()) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: HandoffId) {
        let Some(peer) = self.by_id.remove(&id) else { return };
        if let Some(given) = self.peers.get_mut(&peer) {
            given.entries.retain(|entry| entry.id != id);
            if given.entries.is_empty() && given.refused.is_none() {
                self.peers.remove(&peer);
            }
        }
    }

    /// What a peer has been given and a sample of it that was taken then does not show.
    pub fn unseen(&self, peer: &Identity, sample_taken: Option<Instant>, now: Instant) -> Handed {
        let given = self.peers.get(&peer.name);
        given.map(|given| given.unseen(peer.boot, sample_taken, now)).unwrap_or_default()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of it, by name.
    pub(super) fn by_name(&self) -> impl Iterator<Item = (&NodeName, &Given)> {
        self.peers.iter()
    }

    fn entry(&mut self, id: HandoffId) -> Option<&mut Entry> {
        let given = self.peers.get_mut(self.by_id.get(&id)?)?;
        given.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// Forgets what no sample in use can be older than.
    fn prune(&mut self, now: Instant) {
        let by_id = &mut self.by_id;
        self.peers.retain(|_, given| {
            given
                .entries
                .iter()
                .filter(|entry| entry.ended.is_some_and(|ended| now >= ended + SAMPLE_AGE_MAX))
                .for_each(|entry| {
                    by_id.remove(&entry.id);
                });
            given.prune(now);
            !given.entries.is_empty() || given.refused.is_some()
        });
    }
}
