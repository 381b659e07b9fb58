//! Members, views and situations for tests.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, Rtt, Stats, Versions, View,
};

use super::{Avoided, Candidate, Demand, Experience, OwnDesk, Policy, PolicyKind, Situation};
use crate::desk::Backlog;
use crate::profile::ProfileName;

/// A gigapixel: what takes ten seconds at a hundred megapixels a second.
pub const WORK_PIXELS: u64 = 1_000_000_000;

pub fn profile() -> &'static ProfileName {
    static PROFILE: LazyLock<ProfileName> = LazyLock::new(|| "360p".parse().unwrap());
    &PROFILE
}

pub fn identity(name: &str, zone: &str) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(1),
        gossip: ([10, 77, 1, 1], 5000).into(),
        http_port: 5000,
        zone: zone.parse().unwrap(),
        capacity_jobs: 2,
        versions: Versions::SPOKEN,
    }
}

/// `node7` has an address of its own, as two members do.
pub fn member(
    name: &str,
    zone: &str,
    rtt_ms: Option<u64>,
    sample: Option<LoadSample>,
    now: Instant,
) -> Member {
    let number: u16 = name.trim_start_matches("node").parse().unwrap();
    let [high, low] = number.to_be_bytes();
    Member {
        identity: Arc::new(Identity { gossip: ([10, 77, high, low], 5000).into(), ..identity(name, zone) }),
        state: MemberState::Alive,
        incarnation: Incarnation(0),
        rtt: rtt_ms.map(|ms| {
            let mean = Duration::from_millis(ms);
            Rtt { mean, min: mean, jitter: Duration::ZERO }
        }),
        load: sample.map(|sample| Load { sample, taken: now }),
        damping: None,
        heard_at: None,
        loss: None,
    }
}

pub fn view_of(now: Instant, local: Member, peers: Vec<Member>) -> View {
    View { at: now, local, peers, cluster: None, converged: None, stats: Stats::default() }
}

pub fn names(ranked: &[Candidate]) -> Vec<&str> {
    ranked.iter().map(|candidate| candidate.identity.name.as_str()).collect()
}

/// A job of a megabyte and [`WORK_PIXELS`], with a minute to its deadline.
pub fn demand() -> Demand<'static> {
    Demand {
        profile: profile(),
        bytes: 1_000_000,
        work_pixels: Some(WORK_PIXELS),
        left: Duration::from_secs(60),
        hardware: 0,
    }
}

/// A node that decides, and all that it decides by.
pub struct Decider {
    pub policy: Policy,
    pub view: View,
    pub job: Demand<'static>,
    pub own: OwnDesk,
    pub experience: Experience,
    pub avoided: Vec<Avoided>,
    pub turn: u64,
    pub seed: u64,
    pub now: Instant,
}

impl Decider {
    pub fn new(kind: PolicyKind, view: View, now: Instant) -> Self {
        let policy = Policy { kind, ..Policy::default() };
        let (own, experience) = (OwnDesk::default(), Experience::default());
        Self { policy, view, job: demand(), own, experience, avoided: Vec::new(), turn: 0, seed: 7, now }
    }

    /// This node's desk: so many jobs on so many workers, each of which takes `service`.
    pub fn own_jobs(mut self, jobs: u16, workers: u16, service: Duration) -> Self {
        let wait =
            if jobs < workers { Duration::ZERO } else { service * u32::from(jobs) / u32::from(workers) / 2 };
        self.own = OwnDesk {
            load: sample(jobs, workers, service),
            backlog: Backlog {
                jobs_per_worker_permille: u32::from(jobs) * 1000 / u32::from(workers),
                wait_ms: Some(wait.as_millis() as u32),
            },
            service: Some(service),
        };
        self
    }

    pub fn rank(&self) -> Vec<Candidate> {
        self.rank_best(usize::MAX)
    }

    pub fn rank_best(&self, count_max: usize) -> Vec<Candidate> {
        let Self { view, job, own, experience, avoided, turn, now, .. } = self;
        let (job, own, turn, now) = (*job, *own, *turn, *now);
        let situation = Situation { view, job, own, experience, avoided, turn, now };
        self.policy.rank(&situation, &mut StdRng::seed_from_u64(self.seed), count_max)
    }

    pub fn order(&self) -> String {
        names(&self.rank()).join(" ")
    }

    pub fn first(&self) -> String {
        self.rank()[0].identity.name.to_string()
    }
}

/// So many jobs on so many workers, each of which takes `service` for [`WORK_PIXELS`].
pub fn sample(jobs: u16, workers: u16, service: Duration) -> LoadSample {
    LoadSample {
        running_jobs: jobs.min(workers),
        queued_jobs: jobs.saturating_sub(workers),
        queue_capacity_jobs: 64,
        workers,
        service_ms: service.as_millis() as u32,
        kilopixels_per_s: (WORK_PIXELS / 1000 * 1000 / service.as_millis() as u64) as u32,
        ..LoadSample::default()
    }
}
