//! What datagrams are made of, at random.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use crate::wire::*;
use crate::{BootEpoch, Coordinate, Identity, Incarnation, LoadSample, MemberState, NodeKey, Versions};

pub fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
        (any::<[u8; 16]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
    ]
    .prop_filter("reachable", |a| !a.ip().is_unspecified() && !a.ip().is_multicast())
}

/// `.` and `..` are none.
pub fn names() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.-]{1,63}".prop_filter("a name", |name| crate::member::is_name(name))
}

pub fn spoken() -> impl Strategy<Value = Versions> {
    (1..=u8::MAX, 0u8..9)
        .prop_map(|(oldest, more)| Versions::new(oldest, oldest.saturating_add(more)).unwrap())
}

pub fn boots() -> impl Strategy<Value = BootEpoch> {
    (0..1u64 << 48).prop_map(BootEpoch)
}

prop_compose! {
    pub fn identities()(name in names(), zone in names(), boot in boots(),
                    gossip in addresses(), http_port: u16, capacity_jobs: u16, versions in spoken()) -> Identity {
        let (name, zone) = (name.parse().unwrap(), zone.parse().unwrap());
        Identity { name, boot, gossip, http_port, zone, capacity_jobs, versions }
    }
}

prop_compose! {
    /// Such as come back just as they went: percentages in halves, great numbers with twelve bits.
    pub fn samples()(seq: u16, cpu in 0u16..=200, memory in 0u16..=200, queued_jobs: u16, queue_capacity_jobs: u16,
                 running_jobs: u16, workers: u16, service in (0u32..4096, 0..20), speed in (0u32..4096, 0..20),
                 backlog in prop_oneof![Just((0, 0)), (0u32..4096, 0..20)], hardware: u8)
                 -> LoadSample {
        LoadSample { seq, cpu_permille: 5 * cpu, memory_permille: 5 * memory, queued_jobs, queue_capacity_jobs,
                     running_jobs, workers, service_ms: service.0 << service.1, kilopixels_per_s: speed.0 << speed.1,
                     backlog_ms: backlog.0 << backlog.1, hardware }
    }
}

pub fn heads() -> impl Strategy<Value = Head> {
    (any::<u64>(), boots(), any::<u32>(), any::<u32>()).prop_map(|(from, boot, incarnation, live)| {
        Head::new(NodeKey(from), boot, Incarnation(incarnation), live)
    })
}

pub fn states() -> impl Strategy<Value = MemberState> {
    prop_oneof![
        Just(MemberState::Alive),
        Just(MemberState::Suspect),
        Just(MemberState::Dead),
        Just(MemberState::Left)
    ]
}

pub fn subjects() -> impl Strategy<Value = Subject<Identity>> {
    prop_oneof![
        identities().prop_map(Subject::Full),
        (any::<u64>(), boots()).prop_map(|(key, boot)| Subject::Key(NodeKey(key), boot)),
    ]
}

prop_compose! {
    pub fn updates()(subject in subjects(), incarnation: u32, state in states(), by: Option<u64>) -> Update<Identity> {
        Update { subject, incarnation: Incarnation(incarnation), state, by: by.map(NodeKey) }
    }
}

pub fn coordinates() -> impl Strategy<Value = Coordinate> {
    (any::<[i16; 3]>(), any::<u16>(), 1u8..).prop_map(|(position, height, error)| Coordinate {
        position: position.map(|part| f32::from(part) / 16.0),
        height: f32::from(height) / 16.0,
        error: f32::from(error) / 100.0,
    })
}

/// In steps of 40 ms, as they are told.
pub fn ages() -> impl Strategy<Value = Duration> {
    (0u8..).prop_map(|age| Duration::from_millis(40 * u64::from(age)))
}

prop_compose! {
    pub fn loads()(of: u32, boot_low: u16, age in ages(), sample in samples(), coordinate in prop::option::of(coordinates()))
              -> LoadEntry {
        // Of others nothing is said but what a sample has.
        let sample = LoadSample { hardware: 0, ..sample };
        LoadEntry { of, boot_low, age, sample, coordinate }
    }
}

/// A message that may borrow from the identity.
pub fn messages(kind: u8, seq: u32, number: u64, identity: &Identity) -> Message<'_> {
    let (key, boot) = (NodeKey(number), BootEpoch(number >> 16));
    match kind % 12 {
        0 => Message::News,
        1 => Message::Ping { seq, to: key, from: Some(identity.into()) },
        10 => Message::Ping { seq, to: key, from: None },
        11 => Message::Who { seq },
        2 => Message::Ack { seq },
        3 => Message::PingReq { seq, target: key },
        4 => Message::Relayed { seq, target: key, boot, incarnation: Incarnation(seq) },
        5 => Message::Nack { seq },
        6 => Message::Join { seq, from: identity.into() },
        7 => Message::Welcome { seq },
        8 => Message::Ranges(vec![Range { first: 0, last: number, digest: seq.into() }; 3]),
        _ => Message::Records { first: number / 2, last: number },
    }
}
