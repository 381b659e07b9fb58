//! The codec: what is encoded comes back, and nothing else gets in.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::body::{SECTION_HEAD_BYTES, kind};
use super::*;
use crate::{
    BootEpoch, ClusterIdentity, Coordinate, Identity, Incarnation, KEY_BYTES, Keyring, LoadSample,
    MemberState, NodeKey, Versions,
};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// Without a key, and with one.
fn seals() -> [Seal; 2] {
    [None, Some(&Keyring::new([7; KEY_BYTES]))].map(|keys| Seal::new("test", keys, Versions::SPOKEN))
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
        (any::<[u8; 16]>(), 1u16..).prop_map(|(ip, port)| SocketAddr::from((ip, port))),
    ]
    .prop_filter("reachable", |a| !a.ip().is_unspecified() && !a.ip().is_multicast())
}

/// `.` and `..` are none.
fn names() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.-]{1,63}".prop_filter("a name", |name| crate::member::is_name(name))
}

fn spoken() -> impl Strategy<Value = Versions> {
    (1..=u8::MAX, 0u8..9)
        .prop_map(|(oldest, more)| Versions::new(oldest, oldest.saturating_add(more)).unwrap())
}

fn boots() -> impl Strategy<Value = BootEpoch> {
    (0..1u64 << 48).prop_map(BootEpoch)
}

prop_compose! {
    fn identities()(name in names(), zone in names(), boot in boots(),
                    gossip in addresses(), http_port: u16, capacity_jobs: u16, versions in spoken()) -> Identity {
        let (name, zone) = (name.parse().unwrap(), zone.parse().unwrap());
        Identity { name, boot, gossip, http_port, zone, capacity_jobs, versions }
    }
}

prop_compose! {
    /// Such as come back just as they went: percentages in halves, great numbers with twelve bits.
    fn samples()(seq: u16, cpu in 0u16..=200, memory in 0u16..=200, queued_jobs: u16, queue_capacity_jobs: u16,
                 running_jobs: u16, workers: u16, service in (0u32..4096, 0..20), speed in (0u32..4096, 0..20),
                 backlog in prop_oneof![Just((0, 0)), (0u32..4096, 0..20)], hardware: u8)
                 -> LoadSample {
        LoadSample { seq, cpu_permille: 5 * cpu, memory_permille: 5 * memory, queued_jobs, queue_capacity_jobs,
                     running_jobs, workers, service_ms: service.0 << service.1, kilopixels_per_s: speed.0 << speed.1,
                     backlog_ms: backlog.0 << backlog.1, hardware }
    }
}

fn heads() -> impl Strategy<Value = Head> {
    (any::<u64>(), boots(), any::<u32>(), any::<u32>()).prop_map(|(from, boot, incarnation, live)| {
        Head::new(NodeKey(from), boot, Incarnation(incarnation), live)
    })
}

fn states() -> impl Strategy<Value = MemberState> {
    prop_oneof![
        Just(MemberState::Alive),
        Just(MemberState::Suspect),
        Just(MemberState::Dead),
        Just(MemberState::Left)
    ]
}

fn subjects() -> impl Strategy<Value = Subject<Identity>> {
    prop_oneof![
        identities().prop_map(Subject::Full),
        (any::<u64>(), boots()).prop_map(|(key, boot)| Subject::Key(NodeKey(key), boot)),
    ]
}

prop_compose! {
    fn updates()(subject in subjects(), incarnation: u32, state in states(), by: Option<u64>) -> Update<Identity> {
        Update { subject, incarnation: Incarnation(incarnation), state, by: by.map(NodeKey) }
    }
}

fn coordinates() -> impl Strategy<Value = Coordinate> {
    (any::<[i16; 3]>(), any::<u16>(), 1u8..).prop_map(|(position, height, error)| Coordinate {
        position: position.map(|part| f32::from(part) / 16.0),
        height: f32::from(height) / 16.0,
        error: f32::from(error) / 100.0,
    })
}

/// In steps of 40 ms, as they are told.
fn ages() -> impl Strategy<Value = Duration> {
    (0u8..).prop_map(|age| Duration::from_millis(40 * u64::from(age)))
}

prop_compose! {
    fn loads()(of: u32, boot_low: u16, age in ages(), sample in samples(), coordinate in prop::option::of(coordinates()))
              -> LoadEntry {
        // Of others nothing is said but what a sample has.
        let sample = LoadSample { hardware: 0, ..sample };
        LoadEntry { of, boot_low, age, sample, coordinate }
    }
}

/// A message that may borrow from the identity.
fn messages(kind: u8, seq: u32, number: u64, identity: &Identity) -> Message<'_> {
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

fn borrowed(update: &Update<Identity>) -> Update<&Identity> {
    let subject = match &update.subject {
        Subject::Full(identity) => Subject::Full(identity),
        Subject::Key(key, boot) => Subject::Key(*key, *boot),
    };
    Update { subject, incarnation: update.incarnation, state: update.state, by: update.by }
}

fn recorded(update: &Update<Identity>) -> Update<Record<'_>> {
    let subject = match &update.subject {
        Subject::Full(identity) => Subject::Full(identity.into()),
        Subject::Key(key, boot) => Subject::Key(*key, *boot),
    };
    Update { subject, incarnation: update.incarnation, state: update.state, by: update.by }
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(
        head in heads(), kind: u8, seq: u32, number: u64, identity in identities(),
        load in prop::option::of((samples(), ages())), place in prop::option::of(coordinates()),
        news in prop::collection::vec(updates(), 0..100), entries in prop::collection::vec(loads(), 0..40),
        seal in 0usize..2,
    ) {
        let seal = &seals()[seal];
        let message = messages(kind, seq, number, &identity);
        let mut encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
        encoder.message(&message);
        if let Some((sample, age)) = &load {
            encoder.load(sample, *age);
        }
        if let Some(place) = &place {
            encoder.coordinate(place);
        }
        let promise_cs = kind.is_multiple_of(2).then_some(seq as u16);
        if let Some(within_cs) = promise_cs {
            encoder.promise(Duration::from_millis(u64::from(within_cs) * 10));
        }
        let claim = (!kind.is_multiple_of(3)).then_some(ClusterClaim {
            identity: ClusterIdentity { id: ClusterId(number), settled: kind.is_multiple_of(5) },
            exact: kind.is_multiple_of(7),
        });
        if let Some(claim) = &claim {
            encoder.cluster(claim);
        }
        let told = news.iter().take_while(|update| encoder.update(&borrowed(update))).count();
        let passed_on = entries.iter().take_while(|entry| encoder.load_entry(entry)).count();
        let mut bytes = encoder.finish(seal);

        prop_assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        let datagram = decode(seal, &mut bytes, Lists::default()).unwrap();
        prop_assert_eq!(datagram.head, head);
        prop_assert_eq!(datagram.message, message);
        prop_assert_eq!(datagram.coordinate, place);
        prop_assert_eq!(datagram.promise.map(|within| within.as_millis() / 10), promise_cs.map(u128::from));
        prop_assert_eq!(datagram.cluster, claim);
        prop_assert_eq!(datagram.load, load);
        prop_assert_eq!(datagram.lists.updates, news[..told].iter().map(recorded).collect::<Vec<_>>());
        prop_assert_eq!(datagram.lists.loads, &entries[..passed_on]);
    }

    #[test]
    fn damage_is_noticed(head in heads(), place: prop::sample::Index, bit in 0u8..8, cut in any::<bool>(), seal in 0usize..2) {
        let seal = &seals()[seal];
        let mut encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
        encoder.message(&Message::Ack { seq: 7 });
        let mut bytes = encoder.finish(seal);
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        prop_assert!(decode(seal, &mut bytes, Lists::default()).is_err());
    }

    #[test]
    fn any_body_is_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..1300)) {
        let seal = Seal::new("test", None, Versions::SPOKEN);
        let mut bytes = Vec::new();
        seal.begin(1, &mut bytes, &mut rng());
        bytes.extend(body);
        seal.seal(&mut bytes);
        if let Ok(datagram) = decode(&seal, &mut bytes, Lists::default()) {
            prop_assert!(datagram.lists.updates.len() <= UPDATES_MAX && datagram.lists.loads.len() <= LOADS_MAX);
        }
    }
}

/// Sections of kinds that nobody knows yet, the padding among them.
fn of_the_future() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kinds =
        any::<u8>().prop_filter("unknown", |kind| !kind::READ.iter().any(|known| known.contains(kind)));
    (kinds, prop::collection::vec(any::<u8>(), 0..90))
}

/// A datagram's sections.
fn sections(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut sections = Vec::new();
    while let [kind, low, high, rest @ ..] = body {
        let (payload, rest) = rest.split_at(u16::from_le_bytes([*low, *high]).into());
        sections.push((*kind, payload.to_vec()));
        body = rest;
    }
    sections
}

proptest! {
    /// Two releases of one version: the newer one says more than the older one knows of.
    #[test]
    fn what_is_unknown_changes_nothing_of_what_is_known(
        kind: u8, seq: u32, number: u64, identity in identities(), load in samples(), place in coordinates(),
        news in prop::collection::vec(updates(), 0..4), entries in prop::collection::vec(loads(), 0..4),
        strange in prop::collection::vec((any::<prop::sample::Index>(), of_the_future()), 0..4),
        grown in prop::collection::vec(any::<u8>(), 0..20), seal in 0usize..2,
    ) {
        let seal = &seals()[seal];
        let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
        let plain = &seals()[0];
        let begun = Encoder::new(Vec::new(), plain, 1, &mut rng(), &head).finish(plain);
        let head_end = begun.len() - plain.trailer_bytes();
        let mut encoder = Encoder::new(Vec::new(), plain, 1, &mut rng(), &head);
        encoder.message(&messages(kind, seq, number, &identity));
        encoder.load(&load, Duration::from_millis(40));
        encoder.coordinate(&place);
        encoder.promise(Duration::from_millis(500));
        for update in &news {
            prop_assert!(encoder.update(&borrowed(update)));
        }
        for entry in &entries {
            prop_assert!(encoder.load_entry(entry));
        }
        let mut before = encoder.finish(plain);
        let mut sections = sections(&before[head_end..before.len() - plain.trailer_bytes()]);
        for (kind, payload) in &mut sections {
            // A list is entries to its end; everything else may grow fields.
            if ![kind::RANGES, kind::UPDATES, kind::LOADS, kind::BACKLOGS].contains(kind) {
                payload.extend_from_slice(&grown);
            }
        }
        for (place, section) in strange {
            sections.insert(place.index(sections.len() + 1), section);
        }
        let mut after = Vec::new();
        seal.begin(1, &mut after, &mut rng());
        after.extend_from_slice(&before[2..head_end]);
        for (kind, payload) in sections {
            after.push(kind);
            after.extend((payload.len() as u16).to_le_bytes());
            after.extend(payload);
        }
        seal.seal(&mut after);
        prop_assume!(after.len() <= DATAGRAM_BYTES_MAX);
        let before = decode(plain, &mut before, Lists::default());
        prop_assert!(before.is_ok());
        prop_assert_eq!(before, decode(seal, &mut after, Lists::default()));
    }

    /// A datagram is read by those who speak its version, whatever else they speak.
    #[test]
    fn each_reads_what_it_speaks(one in spoken(), other in spoken(), keyed: bool) {
        let keys = keyed.then(|| Keyring::new([7; KEY_BYTES]));
        let [from, to] = [one, other].map(|versions| Seal::new("test", keys.as_ref(), versions));
        for version in one.oldest()..=one.newest() {
            let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
            let mut encoder = Encoder::new(Vec::new(), &from, version, &mut rng(), &head);
            encoder.message(&Message::Ack { seq: 5 });
            let mut bytes = encoder.finish(&from);
            prop_assert_eq!(bytes[0], version);
            match decode(&to, &mut bytes, Lists::default()) {
                Ok(datagram) => {
                    prop_assert!(other.contains(version));
                    prop_assert_eq!((datagram.version, datagram.message), (version, Message::Ack { seq: 5 }));
                }
                Err(error) => {
                    prop_assert!(!other.contains(version));
                    prop_assert_eq!(error, OpenError::Version(version).into());
                }
            }
        }
    }
}

fn sealed(seal: &Seal, sections: &[u8]) -> Vec<u8> {
    let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
    let encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
    let mut bytes = encoder.finish(seal);
    bytes.truncate(bytes.len() - seal.trailer_bytes());
    bytes.extend_from_slice(sections);
    seal.seal(&mut bytes);
    bytes
}

/// A release that does not know of backlogs reads all else: a sample's own stands behind what it reads, and those that are passed on
/// stand in a section that it skips.
#[test]
fn backlogs_cost_nothing_where_there_are_none_and_older_releases_read_past_them() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let bytes = |backlogs: &[u32]| {
        let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
        let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut rng(), &head);
        let sample = |backlog_ms| LoadSample { workers: 2, backlog_ms, ..LoadSample::default() };
        encoder.load(&sample(backlogs[0]), Duration::ZERO);
        for (of, backlog_ms) in (0..).zip(backlogs) {
            let (age, sample) = (Duration::ZERO, sample(*backlog_ms));
            assert!(encoder.load_entry(&LoadEntry { of, boot_low: 0, age, sample, coordinate: None }));
        }
        encoder.finish(&seal)
    };
    let none = bytes(&[0, 0, 0]);
    assert_eq!(bytes(&[0, 700, 0]).len(), none.len() + SECTION_HEAD_BYTES + 4, "as far as there are any");
    assert_eq!(
        bytes(&[700, 0, 0]).len(),
        none.len() + 2 + SECTION_HEAD_BYTES + 2,
        "its own, and in the list"
    );
    let mut told = bytes(&[700, 0, 9_000]);
    let begun = Encoder::new(
        Vec::new(),
        &seal,
        1,
        &mut rng(),
        &Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4),
    );
    let head_end = begun.finish(&seal).len() - seal.trailer_bytes();
    let end = told.len() - seal.trailer_bytes();
    let kinds: Vec<_> = sections(&told[head_end..end]).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [kind::LOAD, kind::LOADS, kind::BACKLOGS]);
    let datagram = decode(&seal, &mut told, Lists::default()).unwrap();
    assert_eq!(datagram.load.unwrap().0.backlog_ms, 700);
    let backlogs: Vec<_> = datagram.lists.loads.iter().map(|entry| entry.sample.backlog_ms).collect();
    assert_eq!(backlogs, [700, 0, 9_000 / 4 * 4]);
    // More backlogs than there are entries, and half of one.
    let mut many = sealed(&seal, &[kind::BACKLOGS, 2, 0, 1, 0]);
    assert!(decode(&seal, &mut many, Lists::default()).is_err());
    let mut half = sealed(&seal, &[18, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kind::BACKLOGS, 1, 0, 1]);
    assert!(decode(&seal, &mut half, Lists::default()).is_err());
}

#[test]
fn sections_of_the_future_are_skipped_and_longer_ones_are_read_as_far_as_known() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    // Kind 99 is unknown; an ack (kind 2) of sequence number 5 has grown two fields.
    let mut bytes = sealed(&seal, &[99, 2, 0, 0xaa, 0xbb, 2, 3, 0, 5, 1, 2]);
    assert_eq!(decode(&seal, &mut bytes, Lists::default()).unwrap().message, Message::Ack { seq: 5 });
}

/// A kind that a release learns to read must be in the list by which other tests tell old kinds from new ones.
#[test]
fn every_kind_that_is_not_read_is_skipped() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    for kind in 0..=u8::MAX {
        let skipped = [&[kind, 0, 0][..], &[kind, 3, 0, 0xff, 0xff, 0xff]].into_iter().all(|section| {
            let mut bytes = sealed(&seal, section);
            decode(&seal, &mut bytes, Lists::default())
                .is_ok_and(|datagram| datagram.message == Message::News)
        });
        let read = kind::READ.iter().any(|known| known.contains(&kind));
        // Lists may be empty, and three bytes are no entry of theirs: they are cut short, and the rest is refused.
        assert_eq!(skipped, !read, "kind {kind}");
    }
}

/// What other nodes read: whatever writes it, a change of these bytes is a new version of the protocol.
#[test]
fn the_bytes_of_a_datagram_are_these() {
    let seal = &seals()[0];
    let head =
        Head::new(NodeKey(0x0102_0304_0506_0708), BootEpoch(1_700_000_000_000), Incarnation(300), 70_000);
    let identity = Identity {
        name: "node1".parse().unwrap(),
        boot: BootEpoch(1_700_000_000_000),
        gossip: ([10, 77, 1, 2], 5000).into(),
        http_port: 251,
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 250,
        versions: Versions::new(1, 2).unwrap(),
    };
    let sample = LoadSample {
        seq: 258,
        cpu_permille: 505,
        memory_permille: 300,
        queued_jobs: 70,
        queue_capacity_jobs: 1000,
        running_jobs: 0,
        workers: 2,
        service_ms: 12_345,
        kilopixels_per_s: 0,
        backlog_ms: 0,
        hardware: 5,
    };
    let mut encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
    encoder.message(&Message::Ping { seq: 66_000, to: NodeKey(7), from: Some((&identity).into()) });
    encoder.load(&sample, Duration::from_millis(80));
    let subject = Subject::Full(&identity);
    let update =
        Update { subject, incarnation: Incarnation(2), state: MemberState::Suspect, by: Some(NodeKey(9)) };
    assert!(encoder.update(&update));
    let bytes = encoder.finish(seal);
    let expected = concat!(
        "010008070605040302010068e5cf8b01fb2c0170110100012c00fcd0010100070000000000000001056e6f6465",
        "310068e5cf8b01000a4d0102fb8813fbfb0003465241fa0102100d00020201653c17fbe80302460e1c16010005",
        "11280031056e6f6465310068e5cf8b01000a4d0102fb8813fbfb0003465241fa0102020900000000000000c16c",
        "60445a47114b",
    );
    let digits = |at: usize| u8::from_str_radix(&expected[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(bytes, (0..expected.len() / 2).map(digits).collect::<Vec<_>>());
}

#[test]
fn one_datagram_has_one_message() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let mut bytes = sealed(&seal, &[2, 1, 0, 5, 5, 1, 0, 5]);
    assert!(matches!(decode(&seal, &mut bytes, Lists::default()), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_section_can_not_reach_past_the_end() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let mut bytes = sealed(&seal, &[2, 200, 0, 5]);
    assert!(matches!(decode(&seal, &mut bytes, Lists::default()), Err(DecodeError::Malformed(_))));
}

#[test]
fn other_clusters_and_versions_are_strangers() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let bytes = sealed(&seal, &[]);
    let open = |seal: &Seal, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        decode(seal, &mut bytes, Lists::default()).err()
    };
    assert_eq!(open(&seal, &|_| ()), None);
    assert_eq!(open(&Seal::new("other", None, Versions::SPOKEN), &|_| ()), Some(OpenError::Checksum.into()));
    assert_eq!(open(&seal, &|b| b[0] = 9), Some(OpenError::Version(9).into()));
    assert_eq!(open(&seal, &|b| b[1] = 9), Some(OpenError::Mode(9).into()));
    assert_eq!(open(&seal, &|b| b.resize(1401, 0)), Some(OpenError::Length.into()));
    assert_eq!(open(&seal, &Vec::clear), Some(OpenError::Length.into()));
}

#[test]
fn unreachable_addresses_and_bad_names_are_refused() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let good = Identity {
        name: "a".parse().unwrap(),
        boot: BootEpoch(1),
        gossip: "10.0.0.1:5000".parse().unwrap(),
        http_port: 1,
        zone: "z".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    };
    for gossip in ["10.0.0.1:0", "0.0.0.0:5000", "224.0.0.1:5000", "[::]:5000"] {
        let identity = Identity { gossip: gossip.parse().unwrap(), ..good.clone() };
        let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
        let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut rng(), &head);
        encoder.message(&Message::Join { seq: 1, from: (&identity).into() });
        assert!(decode(&seal, &mut encoder.finish(&seal), Lists::default()).is_err(), "{gossip}");
    }
}

#[test]
fn only_the_keys_of_the_ring_open_and_the_clusters_name_is_bound_in() {
    let [old, new, wrong] = [1, 2, 3].map(|byte| [byte; KEY_BYTES]);
    let ring = |keys: &[[u8; KEY_BYTES]]| {
        let text: Vec<String> = keys.iter().map(Keyring::line).collect();
        Seal::new("test", Some(&Keyring::parse(&text.join("\n")).unwrap()), Versions::SPOKEN)
    };
    let sealed_with = |seal: &Seal| sealed(seal, &[2, 1, 0, 5]);
    let opens = |seal: &Seal, mut bytes: Vec<u8>| {
        decode(seal, &mut bytes, Lists::default()).map(|datagram| datagram.message == Message::Ack { seq: 5 })
    };
    // The steps of a rotation: each ring can read what the ones one step away send.
    let steps = [ring(&[old]), ring(&[old, new]), ring(&[new, old]), ring(&[new])];
    for pair in steps.windows(2) {
        assert_eq!(opens(&pair[0], sealed_with(&pair[1])), Ok(true));
        assert_eq!(opens(&pair[1], sealed_with(&pair[0])), Ok(true));
    }
    let refused = Err(OpenError::Sealed.into());
    assert_eq!(opens(&steps[0], sealed_with(&ring(&[wrong]))), refused);
    assert_eq!(
        opens(&steps[0], sealed_with(&Seal::new("other", Some(&Keyring::new(old)), Versions::SPOKEN))),
        refused
    );
    assert_eq!(
        opens(&steps[0], sealed_with(&Seal::new("test", None, Versions::SPOKEN))),
        Err(OpenError::Unsealed.into())
    );
    assert_eq!(
        opens(&Seal::new("test", None, Versions::SPOKEN), sealed_with(&steps[0])),
        Err(OpenError::Keyless.into())
    );
    let plain = sealed_with(&steps[0]);
    assert!(!plain.windows(4).any(|bytes| bytes == [2, 1, 0, 5]), "the body can't be read");
}
