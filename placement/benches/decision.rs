//! How long one routing decision takes among many peers: `cargo bench -p starling-placement --bench decision`.

mod crowd;

use std::time::Duration;

use crowd::RANKED_MAX;
use divan::Bencher;
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_placement::desk::Backlog;
use starling_placement::policy::{Candidate, OwnDesk, Policy, PolicyKind, Question, Router, ScoreWeights};
use starling_placement::profile::ProfileName;

const PEERS: [usize; 3] = [5, 100, 1_000];

#[global_allocator]
static ALLOC: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A decision among so many peers, while 16 jobs are with peers already.
fn decide(bencher: Bencher<'_, '_>, kind: PolicyKind, peers: usize) {
    let now = crowd::now();
    let view = crowd::view(peers, now);
    let profile: ProfileName = "360p".parse().expect("a name");
    let job = crowd::job(&profile);
    let own = OwnDesk {
        load: view.local.load.expect("it has one").sample,
        backlog: Backlog { jobs_per_worker_permille: 1500, wait_ms: Some(3_000) },
        service: Some(Duration::from_secs(4)),
    };
    let policy = Policy { kind, weights: ScoreWeights::PAPER };
    let router = Router::new(policy, StdRng::seed_from_u64(1));
    let question = Question { view: &view, job, own, avoided: &[] };
    let given: Vec<Candidate> = router.rank(now, &question, 16);
    let handoffs: Vec<_> = given.iter().map(|candidate| router.hand_off(now, candidate, &job)).collect();
    bencher.bench_local(|| router.rank(now, &question, RANKED_MAX));
    drop(handoffs);
}

macro_rules! policies {
    ($($name:ident => $kind:ident),+ $(,)?) => {$(
        #[divan::bench(args = PEERS)]
        fn $name(bencher: Bencher<'_, '_>, peers: usize) {
            decide(bencher, PolicyKind::$kind, peers);
        }
    )+};
}

policies! {
    score => Score,
    random => Random,
    round_robin => RoundRobin,
    least_loaded => LeastLoaded,
    p2c => P2c,
    prequal => Prequal,
    waterfall => Waterfall,
    eta => Eta,
}
