//! What is true of every policy in any situation.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use starling_overlay::{Load, LoadSample, Member, MemberState};

use crate::desk::Backlog;
use crate::policy::testing::{Decider, member, names, profile, view_of};
use crate::policy::*;
use crate::testing::start;

#[derive(Clone, Debug)]
struct Peer {
    zone: u8,
    rtt_ms: Option<u64>,
    state: u8,
    load: Option<(LoadSample, u64)>,
    handed: u8,
    fails: u8,
    avoided: u8,
}

fn load() -> impl Strategy<Value = LoadSample> {
    (0u16..5, 0u16..200, 0u16..5, 0u32..30_000, 0u32..1_000_000, 0u16..=1000, 0u8..4).prop_map(
        |(workers, queued_jobs, running_jobs, service_ms, kilopixels_per_s, cpu_permille, hardware)| {
            LoadSample {
                workers,
                queued_jobs,
                running_jobs,
                service_ms,
                kilopixels_per_s,
                cpu_permille,
                hardware,
                queue_capacity_jobs: 64,
                ..LoadSample::default()
            }
        },
    )
}

fn peer() -> impl Strategy<Value = Peer> {
    let known = (0u8..3, prop::option::of(0u64..400), 0u8..8, prop::option::of((load(), 0u64..15_000)));
    (known, 0u8..3, 0u8..4, 0u8..8).prop_map(|((zone, rtt_ms, state, load), handed, fails, avoided)| Peer {
        zone,
        rtt_ms,
        state,
        load,
        handed,
        fails,
        avoided,
    })
}

const ZONES: [&str; 3] = ["FRA", "IAD", "BOM"];

fn member_of(number: usize, peer: &Peer, now: Instant) -> Member {
    let mut member = member(&format!("node{number}"), ZONES[peer.zone as usize], peer.rtt_ms, None, now);
    member.state = if peer.state == 0 { MemberState::Suspect } else { MemberState::Alive };
    member.load = peer.load.map(|(sample, age_ms)| Load {
        sample,
        taken: now.checked_sub(Duration::from_millis(age_ms)).unwrap(),
    });
    member
}

/// All of it in one situation. This node's name lies between the peers'.
fn decider(kind: PolicyKind, peers: &[Peer], own: OwnDesk, seed: u64, hardware: u8) -> Decider {
    let now = start() + Duration::from_secs(60);
    let numbered: Vec<(usize, &Peer)> =
        (0..).zip(peers).map(|(at, peer)| (at + usize::from(at >= 3), peer)).collect();
    let mut members: Vec<_> = numbered.iter().map(|(number, peer)| member_of(*number, peer, now)).collect();
    members.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
    let mut decider =
        Decider::new(kind, view_of(now, member("node3", "FRA", Some(0), None, now), members), now);
    (decider.own, decider.seed, decider.turn, decider.job.hardware) = (own, seed, seed, hardware);
    for (number, peer) in numbered {
        let name: starling_overlay::NodeName = format!("node{number}").parse().unwrap();
        for _ in 0..peer.handed {
            let handing = Handing {
                peer: name.clone(),
                boot: starling_overlay::BootEpoch(1),
                profile: profile().clone(),
                bytes: 1,
                work: Duration::from_secs(2),
            };
            let id = decider.experience.ledger.begin(now, handing);
            decider.experience.ledger.taken(now, id);
        }
        (0..peer.fails).for_each(|_| decider.experience.reliability.learn(now, &name, true));
        if peer.avoided < 2 {
            let concern = if peer.avoided == 0 { Concern::Distrusted } else { Concern::Unreachable };
            decider.avoided.push(Avoided { name, boot: None, concern });
        }
    }
    decider.avoided.sort_by(|a, b| a.name.cmp(&b.name));
    decider
}

fn own() -> impl Strategy<Value = OwnDesk> {
    (load(), 0u32..4_000, prop::option::of(0u32..60_000), prop::option::of(0u64..20_000)).prop_map(
        |(load, jobs_per_worker_permille, wait_ms, service_ms)| OwnDesk {
            load,
            backlog: Backlog { jobs_per_worker_permille, wait_ms },
            service: service_ms.map(Duration::from_millis),
        },
    )
}

proptest! {
    #[test]
    fn a_ranking_is_a_ranking(
        kind in prop::sample::select(PolicyKind::ALL.to_vec()),
        peers in prop::collection::vec(peer(), 0..100),
        own in own(),
        seed: u64,
        hardware in 0u8..3,
        count in 0usize..30,
    ) {
        let decider = decider(kind, &peers, own, seed, hardware);
        let ranked = decider.rank();
        let order = names(&ranked).join(" ");
        // A pure function of the situation and the seed.
        prop_assert_eq!(&decider.order(), &order);
        // Each node that may be asked once, and this one among them.
        let live = peers.iter().filter(|peer| peer.state != 0).count();
        let distinct: BTreeSet<_> = names(&ranked).into_iter().collect();
        prop_assert_eq!((ranked.len(), distinct.len()), (live + 1, live + 1));
        prop_assert_eq!(ranked.iter().filter(|candidate| candidate.is_local()).count(), 1);
        // What speaks against a node goes before what the policy thinks of it.
        prop_assert!(ranked.windows(2).all(|pair| pair[0].concern <= pair[1].concern), "{}", order);
        let first_bad = ranked.iter().position(|candidate| candidate.concern >= Concern::Full).unwrap_or(ranked.len());
        prop_assert!(ranked[first_bad..].iter().all(|candidate| candidate.concern >= Concern::Full));
        // Figures are figures, and among equals the order goes by them.
        prop_assert!(ranked.iter().all(|candidate| !candidate.score.is_nan()));
        let alike = |pair: &[Candidate]| pair[0].concern == pair[1].concern && hardware == 0;
        prop_assert!(ranked.windows(2).all(|pair| !alike(pair) || pair[0].score <= pair[1].score), "{}", order);
        // The best few are the first of all; this node is among them in any case.
        let best = decider.rank_best(count);
        let expected = &ranked[..count.min(ranked.len())];
        prop_assert_eq!(&best[..expected.len()], expected);
        prop_assert!(best.len() <= count + 1 && best.iter().any(Candidate::is_local));
    }
}
