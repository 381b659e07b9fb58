use starling_overlay::Versions;

use super::*;
use crate::testing::start;

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
    let mut now = start();
    for (strikes, pause_s) in (1..).zip([5, 10, 20, 40, 80, 160, 320, 600, 600]) {
        let pause = pause_s * SECOND;
        let told = standings.report(now, &peer, Fault::Stalled).unwrap();
        let times = if strikes == 1 { 1 } else { 4 };
        assert_eq!(told, Avoidance { fault: Fault::Stalled, faults: times, strikes, pause });
        // The jobs that it had beside that one.
        for _ in 0..3 {
            assert_eq!(standings.report(now + SECOND, &peer, Fault::Stalled), None);
        }
        let left = pause.saturating_sub(SECOND);
        assert_eq!(standings.avoided(now + SECOND, &peer), Some((Fault::Stalled, left)));
        assert!(standings.may_offer(now + left, &peer).is_err());
        now += pause;
        assert_eq!(standings.may_offer(now, &peer), Ok(()), "one job tries it");
        assert!(standings.may_offer(now + SECOND, &peer).is_err(), "and no second one meanwhile");
        assert!(standings.avoided(now + SECOND, &peer).is_some());
    }
}

#[test]
fn what_it_does_well_and_time_make_it_forgotten() {
    let (standings, peer) = (Standings::default(), peer(1));
    let now = start();
    for second in 0..3 {
        standings.report(now + 100 * second * SECOND, &peer, Fault::Lied);
    }
    let now = now + 400 * SECOND;
    standings.delivered(now, &peer);
    assert_eq!(standings.avoided(now, &peer), None);
    // Of three strikes one was left.
    assert_eq!(standings.report(now, &peer, Fault::Lied).unwrap().strikes, 2);
    standings.delivered(now, &peer);
    standings.delivered(now, &peer);
    assert_eq!(standings.report(now, &peer, Fault::Lied).unwrap().strikes, 1);
    let later = now + 30 * SECOND * (1 + FORGOTTEN_AFTER);
    assert_eq!(standings.report(later, &peer, Fault::Lied).unwrap().strikes, 1);
}

#[test]
fn a_restart_mends_anything_but_a_liar() {
    let (standings, now) = (Standings::default(), start());
    standings.report(now, &peer(1), Fault::Stalled);
    assert!(standings.avoided(now, &peer(1)).is_some() && standings.avoided(now, &peer(2)).is_none());
    standings.report(now, &peer(1), Fault::Lied).expect("worse than what is known of it");
    assert!(standings.avoided(now, &peer(2)).is_some());
    // It can be reached, and lies all the same.
    standings.heard(now, &peer(2), &Ok(()));
    assert!(standings.avoided(now, &peer(2)).is_some());
}

#[test]
fn an_odd_input_is_not_held_against_it_and_a_row_of_them_is() {
    let (standings, peer, now) = (Standings::default(), peer(1), start());
    for _ in 0..2 {
        assert_eq!(standings.report(now, &peer, Fault::Doubtful), None);
        assert_eq!(standings.report(now, &peer, Fault::Doubtful), None);
        assert_eq!(standings.avoided(now, &peer), None);
        standings.delivered(now, &peer);
    }
    for told in [false, false, true] {
        assert_eq!(standings.report(now, &peer, Fault::Doubtful).is_some(), told);
    }
}

#[test]
fn the_routing_policies_hear_of_it() {
    let (standings, now) = (Standings::default(), start());
    let named = |name: &str| Identity { name: name.parse().unwrap(), ..peer(1) };
    standings.report(now, &named("c"), Fault::Unreachable);
    standings.report(now, &named("a"), Fault::Stalled);
    standings.report(now, &named("b"), Fault::Lied);
    let told = |at| {
        let concerns = standings.concerns(at).into_iter();
        concerns.map(|avoided| (avoided.name.to_string(), avoided.boot, avoided.concern)).collect::<Vec<_>>()
    };
    let boot = Some(BootEpoch(1));
    let (a, c) = (("a".to_owned(), boot, Concern::Distrusted), ("c".to_owned(), boot, Concern::Unreachable));
    let b = ("b".to_owned(), None, Concern::Distrusted);
    assert_eq!(told(now), [a, b.clone(), c]);
    assert_eq!(told(now + 6 * SECOND), [b], "the others are over");
    assert_eq!(told(now + 3600 * SECOND), []);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (standings, now) = (Standings::default(), start());
    for number in 0..PEERS_MAX + 10 {
        let peer = Identity { name: format!("node{number}").parse().unwrap(), ..peer(1) };
        standings.report(now, &peer, Fault::Unreachable);
    }
    assert!(standings.lock().len() <= PEERS_MAX);
}
