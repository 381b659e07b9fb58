//! A router learns from what becomes of its choices.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::desk::Backlog;
use crate::policy::testing::{demand, identity, member, names, profile, sample, view_of};
use crate::policy::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);

fn router(kind: PolicyKind) -> Router {
    Router::new(Policy { kind, ..Policy::default() }, StdRng::seed_from_u64(1))
}

fn candidate(name: &str) -> Candidate {
    Candidate {
        identity: Arc::new(identity(name, "FRA")),
        route: RouteKind::SameRegion,
        score: 0.0,
        rtt: None,
        load: None,
        concern: Concern::None,
        patience: Patience::LessThanHere,
        work: SECOND,
        hardware: false,
        forecast: None,
    }
}

#[test]
fn turns_go_on_and_a_policy_can_be_changed_at_run_time() {
    let now = start();
    let peer = |name| member(name, "FRA", Some(1), Some(sample(0, 1, SECOND)), now);
    let own = member("node1", "FRA", None, None, now);
    let view = Arc::new(view_of(now, own, vec![peer("node2"), peer("node3")]));
    let router = router(PolicyKind::RoundRobin);
    let own =
        OwnDesk { backlog: Backlog { jobs_per_worker_permille: 1, wait_ms: None }, ..OwnDesk::default() };
    let question = Question { view: &view, job: demand(), own, avoided: &[] };
    let first = || names(&router.rank(now, &question, 9))[0].to_owned();
    assert_eq!([first(), first(), first(), first()], ["node1", "node2", "node3", "node1"]);
    let least_loaded = Policy { kind: PolicyKind::LeastLoaded, ..Policy::default() };
    assert_eq!(router.clone().set_policy(least_loaded).kind, PolicyKind::RoundRobin);
    assert_eq!((router.policy().kind, first()), (PolicyKind::LeastLoaded, "node2".to_owned()));
}

#[test]
fn an_outcome_teaches_what_it_says() {
    let (router, now, peer) = (router(PolicyKind::Eta), start(), identity("b", "FRA"));
    let handed = |at| router.experience().ledger.unseen(&peer, None, at);
    let handoff = router.hand_off(now, &candidate("b"), &demand());
    assert_eq!((handed(now).jobs, handed(now).taken, handed(now).work), (1, 0, SECOND));
    handoff.observe(now, Outcome::Accepted);
    assert_eq!(handed(now).taken, 1);
    handoff.observe(now, Outcome::Sent { bytes: 1_000_000, took: SECOND });
    handoff.observe(now, Outcome::Received { bytes: 300_000, took: 2 * SECOND });
    handoff.observe(now, Outcome::Done);
    drop(handoff);
    let Experience { ledger, bandwidths, reliability, sizes } = router.experience();
    assert_eq!((handed(now).jobs, ledger.len()), (0, 1));
    let way = |direction| bandwidths.estimate(now, &peer, RouteKind::SameRegion, direction, 1_000_000);
    assert_eq!(way(Direction::There), SECOND);
    assert!((way(Direction::Back).as_secs_f64() - 2.0 / 0.3).abs() < 1e-6);
    assert_eq!(sizes.estimate(profile(), 1_000_000), 300_000);
    assert!((reliability.tries(now, &peer.name) - 1.0).abs() < 1e-9);
}

#[test]
fn a_failure_is_held_against_a_peer_and_a_client_that_goes_is_not() {
    let (router, now, peer) = (router(PolicyKind::Eta), start(), identity("b", "FRA"));
    let handoff = router.hand_off(now, &candidate("b"), &demand());
    handoff.observe(now, Outcome::Accepted);
    drop(handoff);
    assert!(router.experience().ledger.is_empty(), "nobody waits for it any more");
    let over = router.hand_off(now, &candidate("b"), &demand());
    over.observe(now, Outcome::Over);
    drop(over);
    assert!(router.experience().ledger.is_empty());
    assert!((router.experience().reliability.tries(now, &peer.name) - 1.0).abs() < 1e-9);
    let handoff = router.hand_off(now, &candidate("b"), &demand());
    handoff.observe(now, Outcome::Accepted);
    handoff.observe(now, Outcome::Failed);
    assert!(router.experience().reliability.tries(now, &peer.name) > 1.3);
    let refused = router.hand_off(now, &candidate("b"), &demand());
    refused.observe(now, Outcome::Refused { retry_after: Some(SECOND) });
    drop(refused);
    let handed = router.experience().ledger.unseen(&peer, None, now);
    assert_eq!((handed.jobs, handed.busy_for), (0, SECOND));
}
