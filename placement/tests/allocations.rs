//! A decision takes no memory for each peer: as many allocations among thousands of peers as among a hundred.

#[path = "../benches/crowd/mod.rs"]
mod crowd;

use crowd::RANKED_MAX;
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_placement::policy::{Candidate, OwnDesk, Policy, PolicyKind, Question, Router};

/// Allocations and bytes of one decision, after a first one among the same peers.
fn taken(kind: PolicyKind, peers: usize) -> (u64, u64) {
    let now = crowd::now();
    let view = crowd::view(peers, now);
    let profile = "360p".parse().expect("a name");
    let job = crowd::job(&profile);
    let router = Router::new(Policy { kind, ..Policy::default() }, StdRng::seed_from_u64(1));
    let question = Question { view: &view, job, own: OwnDesk::default(), avoided: &[] };
    let given = router.rank(now, &question, RANKED_MAX);
    let _handoffs: Vec<_> = given.iter().map(|candidate| router.hand_off(now, candidate, &job)).collect();
    let mut ranked = Vec::new();
    let taken = allocation_counter::measure(|| ranked = router.rank(now, &question, RANKED_MAX));
    assert!(ranked.len() >= RANKED_MAX);
    (taken.count_total, taken.bytes_total)
}

#[test]
fn a_decision_among_thousands_takes_no_more_memory_than_one_among_a_hundred() {
    for kind in PolicyKind::ALL {
        let [few, many] = [100, 3_000].map(|peers| taken(kind, peers));
        assert!(few.0 > 0, "what is told of is counted");
        assert!(many.0 <= few.0 && many.0 <= 8, "{kind:?}: {few:?} among 100, {many:?} among 3000");
        // This node is told of in any case, and so it may be one more.
        let one_more = size_of::<Candidate>() as u64;
        assert!(many.1 <= few.1 + one_more, "{kind:?}: {few:?} among 100, {many:?} among 3000");
    }
}
