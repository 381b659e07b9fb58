//! What this node holds against its peers: who could not be reached, who stalled, who lied. Such a peer is avoided, each time for
//! twice as long as the time before; what it does well, and time, make it forgotten. An incident is told of once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use starling_overlay::{BootEpoch, Identity, NodeName};

use crate::journey::{Fault, PeerError};
use crate::policy::{Avoided, Concern};

/// Peers of which something is remembered at the most; the one whose time is over first is forgotten then.
const PEERS_MAX: usize = 4096;
/// How long a peer that is tried again is given to do well, before another job may try it.
const TRIAL: Duration = Duration::from_secs(5);
/// An incident is over when its peer has done nothing wrong for so many times as long as it was avoided.
const FORGOTTEN_AFTER: u32 = 4;

/// How long a peer is avoided for the first time, and for the longest.
const fn pauses(fault: Fault) -> (Duration, Duration) {
    let (first_s, longest_s) = match fault {
        // Gossip finds it dead or well in that time.
        Fault::Unreachable => (5, 60),
        Fault::Doubtful | Fault::Stalled => (5, 600),
        Fault::Reneged | Fault::Contradicted | Fault::Unproven => (10, 600),
        Fault::Lied => (30, 3600),
    };
    (Duration::from_secs(first_s), Duration::from_secs(longest_s))
}

/// How many of them are for nothing: an input that is odd makes an honest result doubtful, and what an honest peer has taken it may
/// have to give back, when it leaves or its disk is full.
const fn forgiven(fault: Fault) -> u32 {
    match fault {
        Fault::Doubtful | Fault::Reneged => 2,
        _ => 0,
    }
}

/// One incident of a peer: all that it did wrong since it last did well.
#[derive(Debug)]
struct Incident {
    boot: BootEpoch,
    /// The worst of it.
    fault: Fault,
    /// Faults in all, and those of them for which it was avoided anew.
    faults: u32,
    strikes: u32,
    /// Of the kind that is forgiven at first.
    forgiven: u32,
    /// Until when it is avoided; until when one job tries it again, and no other; and when all of it is forgotten.
    until: Instant,
    trial: Instant,
    over: Instant,
}

/// What is held against each peer.
#[derive(Debug, Default)]
pub struct Standings {
    peers: Mutex<BTreeMap<NodeName, Incident>>,
    counts: Mutex<BTreeMap<Fault, u64>>,
}

/// A reading of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandingStats {
    /// Faults since the start, by kind.
    pub faults: Vec<(Fault, u64)>,
    /// Peers that are avoided now.
    pub avoided: usize,
}

impl Standings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Incident>> {
        self.peers.lock()
    }

    /// A peer did something wrong. None where it was avoided already, or is not yet.
    pub fn report(&self, now: Instant, peer: &Identity, fault: Fault) -> Option<Avoidance> {
        *self.counts.lock().entry(fault).or_default() += 1;
        let mut peers = self.lock();
        prune(&mut peers, now);
        let fresh = Incident {
            boot: peer.boot,
            fault,
            faults: 0,
            strikes: 0,
            forgiven: 0,
            until: now,
            trial: now,
            over: now,
        };
        let incident = peers.entry(peer.name.clone()).or_insert(fresh);
        if incident.boot != peer.boot {
            incident.boot = peer.boot;
            if incident.fault != Fault::Lied {
                (incident.fault, incident.strikes, incident.until) = (fault, 0, now);
            }
        }
        let is_worse = fault > incident.fault;
        incident.fault = incident.fault.max(fault);
        incident.faults += 1;
        if forgiven(fault) > incident.forgiven {
            incident.forgiven += 1;
            incident.over = incident.over.max(now + pauses(fault).1);
            return None;
        }
        // Jobs that were with it already when it was found out: what they see is no new incident.
        if now < incident.until && !is_worse {
            return None;
        }
        incident.strikes += 1;
        let pause = incident.pause();
        (incident.until, incident.trial) = (now + pause, now);
        incident.over = now + pause * (1 + FORGOTTEN_AFTER);
        let Incident { fault, strikes, .. } = *incident;
        // Each line tells of what came since the one before.
        let faults = std::mem::take(&mut incident.faults);
        Some(Avoidance { fault, faults, strikes, pause })
    }

    /// A peer was asked something: an answer shows that it can be reached, and none is held against it.
    pub fn heard<T>(
        &self,
        now: Instant,
        peer: &Identity,
        answer: &Result<T, PeerError>,
    ) -> Option<Avoidance> {
        match answer {
            Err(PeerError::Unreachable(_)) => return self.report(now, peer, Fault::Unreachable),
            Ok(_) | Err(PeerError::Refused { .. } | PeerError::Ended(_)) => self.answered(peer),
            Err(PeerError::Avoided(_) | PeerError::Faulty { .. } | PeerError::NotTaken(_)) => {}
        }
        None
    }

    /// It delivered what was asked for, or told honestly that it does not: half of what was held against it is forgotten.
    pub fn delivered(&self, now: Instant, peer: &Identity) {
        let mut peers = self.lock();
        if let Some(incident) = peers.get_mut(&peer.name) {
            incident.strikes /= 2;
            incident.forgiven = 0;
            (incident.until, incident.trial) = (now, now);
            if incident.strikes == 0 {
                peers.remove(&peer.name);
            }
        }
    }

    fn answered(&self, peer: &Identity) {
        let mut peers = self.lock();
        if peers.get(&peer.name).is_some_and(|incident| incident.fault == Fault::Unreachable) {
            peers.remove(&peer.name);
        }
    }

    /// For how much longer a peer is avoided, and why.
    pub fn avoided(&self, now: Instant, peer: &Identity) -> Option<(Fault, Duration)> {
        let peers = self.lock();
        let incident = peers.get(&peer.name).filter(|incident| incident.concerns(peer))?;
        incident.avoided(now)
    }

    /// Whether a peer has done worse lately than not to answer.
    pub fn is_distrusted(&self, now: Instant, peer: &Identity) -> bool {
        self.avoided(now, peer).is_some_and(|(fault, _)| fault != Fault::Unreachable)
    }

    /// Which peers are avoided, by name, for the routing policies.
    pub fn concerns(&self, now: Instant) -> Vec<Avoided> {
        let peers = self.lock();
        let avoided = peers.iter().filter_map(|(name, incident)| {
            let (fault, _) = incident.avoided(now)?;
            Some(Avoided {
                name: name.clone(),
                boot: (fault != Fault::Lied).then_some(incident.boot),
                concern: if fault == Fault::Unreachable { Concern::Unreachable } else { Concern::Distrusted },
            })
        });
        avoided.collect()
    }

    /// Whether a peer may be asked something: [`PeerError::Avoided`] if not.
    pub fn may_ask(&self, now: Instant, peer: &Identity) -> Result<(), PeerError> {
        self.avoided(now, peer).map_or(Ok(()), |avoided| Err(passed_over(avoided)))
    }

    /// Whether a job may be offered to a peer: [`PeerError::Avoided`] if not. One whose time is over gets one job, and no second one
    /// until that went well.
    pub fn may_offer(&self, now: Instant, peer: &Identity) -> Result<(), PeerError> {
        let mut peers = self.lock();
        let Some(incident) = peers.get_mut(&peer.name).filter(|incident| incident.concerns(peer)) else {
            return Ok(());
        };
        if let Some(avoided) = incident.avoided(now) {
            return Err(passed_over(avoided));
        }
        if incident.strikes > 0 {
            incident.trial = now + TRIAL;
            incident.over = incident.over.max(now + 2 * TRIAL);
        }
        Ok(())
    }

    /// A reading.
    pub fn stats(&self, now: Instant) -> StandingStats {
        let counts = self.counts.lock();
        StandingStats {
            faults: Fault::ALL.map(|fault| (fault, counts.get(&fault).copied().unwrap_or_default())).to_vec(),
            avoided: self.lock().values().filter(|incident| incident.avoided(now).is_some()).count(),
        }
    }
}

fn passed_over((fault, left): (Fault, Duration)) -> PeerError {
    PeerError::Avoided(format!("{}, and avoided for {} ms more", fault.as_str(), left.as_millis()))
}

/// A peer is avoided from now on: what is told of in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoidance {
    /// The worst of what it did.
    pub fault: Fault,
    /// Faults since it was told of before.
    pub faults: u32,
    /// How often it was found at fault, less what it did well.
    pub strikes: u32,
    /// For how long.
    pub pause: Duration,
}

impl Incident {
    fn pause(&self) -> Duration {
        let (first, longest) = pauses(self.fault);
        let doubled = 1u32.checked_shl(self.strikes.saturating_sub(1)).unwrap_or(u32::MAX);
        first.saturating_mul(doubled).min(longest)
    }

    /// A restart may mend anything but a liar.
    fn concerns(&self, peer: &Identity) -> bool {
        self.boot == peer.boot || self.fault == Fault::Lied
    }

    fn avoided(&self, now: Instant) -> Option<(Fault, Duration)> {
        let until = self.until.max(self.trial);
        (now < until).then(|| (self.fault, until - now))
    }
}

fn prune(peers: &mut BTreeMap<NodeName, Incident>, now: Instant) {
    peers.retain(|_, incident| now < incident.over);
    if peers.len() >= PEERS_MAX
        && let Some(first) =
            peers.iter().min_by_key(|(_, incident)| incident.over).map(|(name, _)| name.clone())
    {
        peers.remove(&first);
    }
}

#[cfg(test)]
mod tests;
