//! Which peer gets the next job of a node that is leaving. Its gossip has ended, so what it knows of their load is as it was
//! then; what it has given them since, it counts itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use starling_overlay::{LoadSample, NodeName};

use crate::policy::{Candidate, RTT_UNKNOWN, wait_after};

/// How many jobs each peer has been given, and not answered.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    given: Arc<Mutex<BTreeMap<NodeName, u32>>>,
}

/// One job that is given to a peer: counted until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    given: Arc<Mutex<BTreeMap<NodeName, u32>>>,
    peer: NodeName,
}

impl Handovers {
    /// Takes the peer out of `peers` where a job is likely to begin soonest; of equal ones the first.
    pub(super) fn next(&self, peers: &mut Vec<Candidate>) -> Option<(Candidate, Turn)> {
        let mut given = lock(&self.given);
        let begins = |peer: &Candidate| {
            let more = given.get(&peer.identity.name).copied().unwrap_or_default();
            // A peer that says nothing is neither the first nor the last: it is taken to be at work, on one job. A way there and
            // back counts as waiting.
            let at_work = LoadSample { running_jobs: 1, ..LoadSample::default() };
            let wait = wait_after(&peer.load.unwrap_or(at_work), more);
            (wait + peer.rtt.unwrap_or(RTT_UNKNOWN), more)
        };
        let best = (0..peers.len()).min_by_key(|place| begins(&peers[*place]))?;
        let candidate = peers.remove(best);
        let peer = candidate.identity.name.clone();
        *given.entry(peer.clone()).or_default() += 1;
        Some((candidate, Turn { given: Arc::clone(&self.given), peer }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut given = lock(&self.given);
        if let Some(count) = given.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                given.remove(&self.peer);
            }
        }
    }
}

fn lock(given: &Mutex<BTreeMap<NodeName, u32>>) -> MutexGuard<'_, BTreeMap<NodeName, u32>> {
    given.lock()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use starling_overlay::{BootEpoch, Identity, Versions};

    use super::*;
    use crate::policy::{Concern, Patience, RouteKind};

    pub(in crate::journey) fn peer(name: &str, queued_jobs: u16, rtt_ms: u64) -> Candidate {
        let identity = Identity {
            name: name.parse().unwrap(),
            boot: BootEpoch(1),
            gossip: "127.0.0.1:1".parse().unwrap(),
            http_port: 1,
            zone: "FRA".parse().unwrap(),
            capacity_jobs: 1,
            versions: Versions::SPOKEN,
        };
        let load = LoadSample { queued_jobs, workers: 1, service_ms: 1_000, ..LoadSample::default() };
        let (rtt, load) = (Some(Duration::from_millis(rtt_ms)), Some(load));
        Candidate {
            identity: Arc::new(identity),
            route: RouteKind::SameRegion,
            score: 0.0,
            rtt,
            load,
            concern: Concern::None,
            patience: Patience::LessThanHere,
            work: Duration::from_secs(1),
            hardware: false,
            forecast: None,
        }
    }

    pub(in crate::journey) fn silent(name: &str, rtt_ms: u64) -> Candidate {
        Candidate { load: None, ..peer(name, 0, rtt_ms) }
    }

    /// How many of `jobs` jobs each peer gets.
    fn spread(peers: &[Candidate], jobs: usize) -> Vec<usize> {
        let handovers = Handovers::default();
        let turns: Vec<_> = (0..jobs).map(|_| handovers.next(&mut peers.to_vec()).unwrap().1).collect();
        let got = |peer: &Candidate| turns.iter().filter(|turn| turn.peer == peer.identity.name).count();
        let spread = peers.iter().map(got).collect();
        drop(turns);
        assert!(lock(&handovers.given).is_empty());
        spread
    }

    #[test]
    fn jobs_are_spread_by_what_each_peer_has_to_do() {
        assert_eq!(spread(&[peer("b", 0, 1), peer("c", 0, 1)], 14), [7, 7]);
        assert_eq!(spread(&[peer("b", 4, 1), peer("c", 0, 1)], 14), [5, 9]);
        // A way of 200 ms is a fifth of a job.
        assert_eq!(spread(&[peer("b", 0, 200), peer("c", 0, 1)], 3), [1, 2]);
        assert_eq!(spread(&[peer("b", 0, 200), peer("c", 0, 1)], 4), [2, 2]);
    }

    #[test]
    fn a_peer_of_which_nothing_is_known_stands_between_the_idle_and_the_busy() {
        // An idle one, though it is farther, until it has as much to do as a node at work.
        assert_eq!(spread(&[silent("b", 1), peer("c", 0, 200)], 3), [0, 3]);
        assert_eq!(spread(&[silent("b", 1), peer("c", 0, 200)], 4), [1, 3]);
        assert_eq!(spread(&[silent("b", 1), peer("c", 9, 1)], 1), [1, 0]);
        assert_eq!(spread(&[silent("b", 1), silent("c", 200)], 14), [7, 7]);
        // A way that was not measured is no short one.
        let unmeasured = Candidate { rtt: None, ..peer("b", 0, 0) };
        assert_eq!(spread(&[unmeasured, peer("c", 0, 20)], 1), [0, 1]);
    }

    #[test]
    fn each_is_asked_once_for_a_job() {
        let handovers = Handovers::default();
        let mut peers = vec![peer("b", 0, 1), peer("c", 0, 1)];
        let mut names = Vec::new();
        while let Some((candidate, _turn)) = handovers.next(&mut peers) {
            names.push(candidate.identity.name.to_string());
        }
        assert_eq!(names, ["b", "c"]);
    }
}
