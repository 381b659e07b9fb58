//! What this node holds against its peers: who could not be reached, who stalled, who lied. Such a peer is avoided, each time for
//! twice as long as the time before; what it does well, and time, make it forgotten. An incident is told of once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use starling_overlay::{BootEpoch, Identity, NodeName};
use starling_placement::journey::Fault;

use starling_placement::policy::{self as route, Concern};

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
        Fault::Unproven => (10, 600),
        Fault::Lied => (30, 3600),
    };
    (Duration::from_secs(first_s), Duration::from_secs(longest_s))
}

/// How many of them are for nothing: an input that is odd makes an honest result doubtful.
const fn forgiven(fault: Fault) -> u32 {
    match fault {
        Fault::Doubtful => 2,
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
    peers: Mutex<HashMap<NodeName, Incident>>,
    counts: Mutex<HashMap<Fault, u64>>,
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
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Incident>> {
        self.peers.lock()
    }

    /// A peer did something wrong. `seen` is what was seen of it, for the log.
    pub fn report(&self, peer: &Identity, fault: Fault, seen: &str) {
        *self.counts.lock().entry(fault).or_default() += 1;
        if let Some(avoided) = self.report_at(peer, fault, Instant::now()) {
            let Avoided { fault, faults, strikes, pause } = avoided;
            tracing::warn!(
                peer = %peer.name,
                http = %peer.http(),
                fault = fault.as_str(),
                seen,
                times = faults,
                strikes,
                avoided_s = pause.as_secs(),
                "a peer is avoided"
            );
        } else {
            tracing::debug!(peer = %peer.name, fault = fault.as_str(), seen, "a peer's fault, told of before or forgiven");
        }
    }

    /// None where it was avoided already, or is not yet.
    fn report_at(&self, peer: &Identity, fault: Fault, now: Instant) -> Option<Avoided> {
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
        Some(Avoided { fault, faults, strikes, pause })
    }

    /// It delivered what was asked for, or told honestly that it does not: half of what was held against it is forgotten.
    pub fn delivered(&self, peer: &Identity) {
        self.delivered_at(peer, Instant::now());
    }

    fn delivered_at(&self, peer: &Identity, now: Instant) {
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

    /// It answered a question: it can be reached.
    pub fn answered(&self, peer: &Identity) {
        let mut peers = self.lock();
        if peers.get(&peer.name).is_some_and(|incident| incident.fault == Fault::Unreachable) {
            peers.remove(&peer.name);
        }
    }

    /// For how much longer a peer is avoided, and why.
    pub fn avoided(&self, peer: &Identity) -> Option<(Fault, Duration)> {
        self.avoided_at(peer, Instant::now())
    }

    /// Which peers are avoided, by name, for the routing policies.
    pub fn concerns(&self) -> Vec<route::Avoided> {
        self.concerns_at(Instant::now())
    }

    fn concerns_at(&self, now: Instant) -> Vec<route::Avoided> {
        let peers = self.lock();
        let avoided = peers.iter().filter_map(|(name, incident)| {
            let (fault, _) = incident.avoided(now)?;
            Some(route::Avoided {
                name: name.clone(),
                boot: (fault != Fault::Lied).then_some(incident.boot),
                concern: if fault == Fault::Unreachable { Concern::Unreachable } else { Concern::Distrusted },
            })
        });
        let mut avoided: Vec<_> = avoided.collect();
        avoided.sort_by(|a, b| a.name.cmp(&b.name));
        avoided
    }

    fn avoided_at(&self, peer: &Identity, now: Instant) -> Option<(Fault, Duration)> {
        let peers = self.lock();
        let incident = peers.get(&peer.name).filter(|incident| incident.concerns(peer))?;
        incident.avoided(now)
    }

    /// Whether a job may be offered to a peer. One whose time is over gets one job, and no second one until that went well.
    pub fn may_try(&self, peer: &Identity) -> Result<(), (Fault, Duration)> {
        self.may_try_at(peer, Instant::now())
    }

    fn may_try_at(&self, peer: &Identity, now: Instant) -> Result<(), (Fault, Duration)> {
        let mut peers = self.lock();
        let Some(incident) = peers.get_mut(&peer.name).filter(|incident| incident.concerns(peer)) else {
            return Ok(());
        };
        if let Some(avoided) = incident.avoided(now) {
            return Err(avoided);
        }
        if incident.strikes > 0 {
            incident.trial = now + TRIAL;
            incident.over = incident.over.max(now + 2 * TRIAL);
        }
        Ok(())
    }

    /// A reading.
    pub fn stats(&self) -> StandingStats {
        let counts = self.counts.lock();
        let now = Instant::now();
        StandingStats {
            faults: Fault::ALL.map(|fault| (fault, counts.get(&fault).copied().unwrap_or_default())).to_vec(),
            avoided: self.lock().values().filter(|incident| incident.avoided(now).is_some()).count(),
        }
    }
}

/// What is told of in the log.
#[derive(Debug, PartialEq, Eq)]
struct Avoided {
    fault: Fault,
    faults: u32,
    strikes: u32,
    pause: Duration,
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

fn prune(peers: &mut HashMap<NodeName, Incident>, now: Instant) {
    peers.retain(|_, incident| now < incident.over);
    if peers.len() >= PEERS_MAX
        && let Some(first) =
            peers.iter().min_by_key(|(_, incident)| incident.over).map(|(name, _)| name.clone())
    {
        peers.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use starling_overlay::Versions;

    use super::*;

    fn peer(boot: u64) -> Identity {
        Identity {
            name: "node2".parse().unwrap(),
            boot: BootEpoch(boot),
            gossip: "127.0.0.1:1".parse().unwrap(),
            http_port: 1,
            zone: "FRA".parse().unwrap(),
            capacity_jobs: 1,
            versions: Versions::SPOKEN,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_time_it_is_avoided_for_twice_as_long_and_told_of_once() {
        let (standings, peer) = (Standings::default(), peer(1));
        let mut now = Instant::now();
        for (strikes, pause_s) in (1..).zip([5, 10, 20, 40, 80, 160, 320, 600, 600]) {
            let pause = pause_s * SECOND;
            let told = standings.report_at(&peer, Fault::Stalled, now).unwrap();
            let times = if strikes == 1 { 1 } else { 4 };
            assert_eq!(told, Avoided { fault: Fault::Stalled, faults: times, strikes, pause });
            // The jobs that it had beside that one.
            for _ in 0..3 {
                assert_eq!(standings.report_at(&peer, Fault::Stalled, now + SECOND), None);
            }
            let left = pause.saturating_sub(SECOND);
            assert_eq!(standings.avoided_at(&peer, now + SECOND), Some((Fault::Stalled, left)));
            assert!(standings.may_try_at(&peer, now + left).is_err());
            now += pause;
            assert_eq!(standings.may_try_at(&peer, now), Ok(()), "one job tries it");
            assert!(standings.may_try_at(&peer, now + SECOND).is_err(), "and no second one meanwhile");
            assert!(standings.avoided_at(&peer, now + SECOND).is_some());
        }
    }

    #[test]
    fn what_it_does_well_and_time_make_it_forgotten() {
        let (standings, peer) = (Standings::default(), peer(1));
        let now = Instant::now();
        for second in 0..3 {
            standings.report_at(&peer, Fault::Lied, now + 100 * second * SECOND);
        }
        let now = now + 400 * SECOND;
        standings.delivered_at(&peer, now);
        assert_eq!(standings.avoided_at(&peer, now), None);
        // Of three strikes one was left.
        assert_eq!(standings.report_at(&peer, Fault::Lied, now).unwrap().strikes, 2);
        standings.delivered_at(&peer, now);
        standings.delivered_at(&peer, now);
        assert_eq!(standings.report_at(&peer, Fault::Lied, now).unwrap().strikes, 1);
        let later = now + 30 * SECOND * (1 + FORGOTTEN_AFTER);
        assert_eq!(standings.report_at(&peer, Fault::Lied, later).unwrap().strikes, 1);
    }

    #[test]
    fn a_restart_mends_anything_but_a_liar() {
        let (standings, now) = (Standings::default(), Instant::now());
        standings.report_at(&peer(1), Fault::Stalled, now);
        assert!(
            standings.avoided_at(&peer(1), now).is_some() && standings.avoided_at(&peer(2), now).is_none()
        );
        standings.report_at(&peer(1), Fault::Lied, now).expect("worse than what is known of it");
        assert!(standings.avoided_at(&peer(2), now).is_some());
        // It can be reached, and lies all the same.
        standings.answered(&peer(2));
        assert!(standings.avoided_at(&peer(2), now).is_some());
    }

    #[test]
    fn an_odd_input_is_not_held_against_it_and_a_row_of_them_is() {
        let (standings, peer, now) = (Standings::default(), peer(1), Instant::now());
        for _ in 0..2 {
            assert_eq!(standings.report_at(&peer, Fault::Doubtful, now), None);
            assert_eq!(standings.report_at(&peer, Fault::Doubtful, now), None);
            assert_eq!(standings.avoided_at(&peer, now), None);
            standings.delivered_at(&peer, now);
        }
        for told in [false, false, true] {
            assert_eq!(standings.report_at(&peer, Fault::Doubtful, now).is_some(), told);
        }
    }

    #[test]
    fn the_routing_policies_hear_of_it() {
        let (standings, now) = (Standings::default(), Instant::now());
        let named = |name: &str| Identity { name: name.parse().unwrap(), ..peer(1) };
        standings.report_at(&named("c"), Fault::Unreachable, now);
        standings.report_at(&named("a"), Fault::Stalled, now);
        standings.report_at(&named("b"), Fault::Lied, now);
        let told = |at| {
            let concerns = standings.concerns_at(at).into_iter();
            concerns
                .map(|avoided| (avoided.name.to_string(), avoided.boot, avoided.concern))
                .collect::<Vec<_>>()
        };
        let boot = Some(BootEpoch(1));
        let (a, c) =
            (("a".to_owned(), boot, Concern::Distrusted), ("c".to_owned(), boot, Concern::Unreachable));
        let b = ("b".to_owned(), None, Concern::Distrusted);
        assert_eq!(told(now), [a, b.clone(), c]);
        assert_eq!(told(now + 6 * SECOND), [b], "the others are over");
        assert_eq!(told(now + 3600 * SECOND), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (standings, now) = (Standings::default(), Instant::now());
        for number in 0..PEERS_MAX + 10 {
            let peer = Identity { name: format!("node{number}").parse().unwrap(), ..peer(1) };
            standings.report_at(&peer, Fault::Unreachable, now);
        }
        assert!(standings.lock().len() <= PEERS_MAX);
    }
}
