//! A node among many peers, busy to all degrees: what a decision is measured among.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, Rtt, Stats, Versions, View,
};
use starling_placement::policy::Demand;
use starling_placement::profile::ProfileName;

/// As many as a node asks to be ranked.
pub const RANKED_MAX: usize = 32;
const ZONES: [&str; 3] = ["FRA", "IAD", "BOM"];

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
        cpu_permille: (number as u32 * 37 % 1_000) as u16,
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
        loss: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "some moment to count from")]
pub fn now() -> Instant {
    Instant::now()
}

/// What a node knows among so many peers.
pub fn view(peers: usize, now: Instant) -> Arc<View> {
    Arc::new(View {
        at: now,
        local: member(0, now),
        peers: (1..=peers).map(|number| member(number, now)).collect(),
        cluster: None,
        converged: None,
        stats: Stats::default(),
    })
}

/// A job of five megabytes.
pub fn job(profile: &ProfileName) -> Demand<'_> {
    let left = Duration::from_secs(40);
    Demand { profile, bytes: 5_000_000, work_pixels: Some(400_000_000), left, hardware: 0 }
}
