//! What the peers of a view say of themselves, taken together.

use std::time::Instant;

use starling_overlay::{Member, MemberState, View};

use super::SAMPLE_AGE_MAX;

/// How many pixels of work a second a worker of the peers does, as most of them say lately; none where none of them knows. A node tells
/// of its own speed beside that: see [`crate::desk::Speed::beside`].
pub fn usual_speed(view: &View, now: Instant) -> Option<f64> {
    let oldest = now.checked_sub(SAMPLE_AGE_MAX);
    // Those that know of no speed, of whom there are many in the beginning, cost no look at what else they say.
    let speed_of = |peer: &Member| {
        let load = peer.load.filter(|load| load.sample.kilopixels_per_s > 0)?;
        let is_fresh = oldest.is_none_or(|oldest| load.taken >= oldest);
        let works = peer.state == MemberState::Alive && !peer.identity.is_observer();
        (is_fresh && works).then_some(load.sample.kilopixels_per_s)
    };
    let mut speeds = Vec::with_capacity(view.peers.len());
    speeds.extend(view.peers.iter().filter_map(speed_of));
    let middle = speeds.len().checked_sub(1)? / 2;
    let (_, middle, _) = speeds.select_nth_unstable(middle);
    Some(f64::from(*middle) * 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::testing::{member, sample, view_of};
    use crate::testing::start;

    #[test]
    fn most_peers_that_say_something_lately_make_the_usual_speed() {
        let now = start();
        let second = Duration::from_secs(1);
        let peer = |number: u32, service| {
            let load = Some(sample(0, 1, service));
            member(&format!("node{number}"), "FRA", Some(1), load, now)
        };
        let local = member("node1", "FRA", Some(0), None, now);
        let of = |peers, now| usual_speed(&view_of(now, local.clone(), peers), now);
        assert_eq!(of(vec![], now), None);
        // 100, 50 and 1 megapixels a second: one that boasts or crawls moves nothing.
        let peers = vec![peer(2, 10 * second), peer(3, 20 * second), peer(4, 1_000 * second)];
        assert_eq!(of(peers.clone(), now), Some(50e6));
        assert_eq!(of(peers.clone(), now + SAMPLE_AGE_MAX + second), None);
        let silent = member("node5", "FRA", Some(1), None, now);
        assert_eq!(of([peers, vec![silent]].concat(), now), Some(50e6));
    }
}
