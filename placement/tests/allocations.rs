//! A decision takes no memory for each peer: as many allocations among thousands of peers as among a hundred.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, Rtt, Stats, Versions, View,
};
use starling_placement::policy::{Candidate, Demand, OwnDesk, Policy, PolicyKind, Question, Router};

/// As many as a node asks to be ranked.
const RANKED_MAX: usize = 32;

fn member(number: usize, now: Instant) -> Member {
    let [high, low] = (number as u16).to_be_bytes();
    let mean = Duration::from_millis(10 + (number as u64 * 7) % 200);
    let sample = LoadSample {
        running_jobs: (number % 3) as u16,
        workers: 2,
        service_ms: 4_000,
        kilopixels_per_s: 50_000 + (number as u32 * 997) % 50_000,
        ..LoadSample::default()
    };
    Member {
        identity: Arc::new(Identity {
            name: format!("node{number:04}").parse().expect("a name"),
            boot: BootEpoch(1),
            gossip: ([10, 77, high, low], 5000).into(),
            http_port: 5000,
            zone: ["FRA", "IAD", "BOM"][number % 3].parse().expect("a name"),
            capacity_jobs: 2,
            versions: Versions::SPOKEN,
        }),
        state: MemberState::Alive,
        incarnation: Incarnation(0),
        rtt: Some(Rtt { mean, min: mean, jitter: Duration::ZERO }),
        load: Some(Load { sample, taken: now }),
        damping: None,
        heard_at: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "some moment to count from")]
fn now() -> Instant {
    Instant::now()
}

/// Allocations and bytes of one decision, after a first one among the same peers.
fn taken(kind: PolicyKind, peers: usize) -> (u64, u64) {
    let now = now();
    let view = Arc::new(View {
        at: now,
        local: member(0, now),
        peers: (1..=peers).map(|number| member(number, now)).collect(),
        cluster: None,
        converged: None,
        stats: Stats::default(),
    });
    let profile = "360p".parse().expect("a name");
    let left = Duration::from_secs(40);
    let job =
        Demand { profile: &profile, bytes: 5_000_000, work_pixels: Some(400_000_000), left, hardware: 0 };
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
