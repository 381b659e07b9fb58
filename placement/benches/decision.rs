//! How long one routing decision takes among many peers: `cargo bench -p starling-placement --bench decision`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::Bencher;
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, Rtt, Stats, Versions, View,
};
use starling_placement::desk::Backlog;
use starling_placement::policy::{
    Candidate, Demand, OwnDesk, Policy, PolicyKind, Question, Router, ScoreWeights,
};
use starling_placement::profile::ProfileName;

const PEERS: [usize; 3] = [5, 100, 1_000];
#[global_allocator]
static ALLOC: divan::AllocProfiler = divan::AllocProfiler::system();

/// As many as a node asks to be ranked.
const RANKED_MAX: usize = 32;
const ZONES: [&str; 3] = ["FRA", "IAD", "BOM"];

fn main() {
    divan::main();
}

fn member(number: usize, now: Instant) -> Member {
    let [high, low] = (number as u16).to_be_bytes();
    let mean = Duration::from_millis(10 + (number as u64 * 7) % 200);
    let jobs = (number % 5) as u16;
    let sample = LoadSample {
        running_jobs: jobs.min(2),
        queued_jobs: jobs.saturating_sub(2),
        queue_capacity_jobs: 64,
        workers: 2,
        service_ms: 4_000,
        kilopixels_per_s: 50_000 + (number as u32 * 997) % 50_000,
        backlog_ms: u32::from(jobs / 2) * 2_000,
        cpu_permille: (number as u16 * 37) % 1_000,
        ..LoadSample::default()
    };
    Member {
        identity: Arc::new(Identity {
            name: format!("node{number:04}").parse().expect("a name"),
            boot: BootEpoch(1),
            gossip: ([10, 77, high, low], 5000).into(),
            http_port: 5000,
            zone: ZONES[number % ZONES.len()].parse().expect("a zone"),
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

/// A decision among so many peers, while 16 jobs are with peers already.
fn decide(bencher: Bencher<'_, '_>, kind: PolicyKind, peers: usize) {
    let now = now();
    let view = Arc::new(View {
        at: now,
        local: member(0, now),
        peers: (1..=peers).map(|number| member(number, now)).collect(),
        cluster: None,
        converged: None,
        stats: Stats::default(),
    });
    let profile: ProfileName = "360p".parse().expect("a name");
    let left = Duration::from_secs(40);
    let job =
        Demand { profile: &profile, bytes: 5_000_000, work_pixels: Some(400_000_000), left, hardware: 0 };
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
