//! Releases that know more and less of one another's datagrams.

use std::time::Duration;

use proptest::prelude::*;

use super::strategies::{coordinates, identities, loads, messages, samples, spoken, updates};
use super::{borrowed, rng, sealed, seals};
use crate::wire::body::{SECTION_HEAD_BYTES, kind};
use crate::wire::*;
use crate::{
    BootEpoch, Identity, Incarnation, KEY_BYTES, Keyring, LoadSample, MemberState, NodeKey, Versions,
};

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

/// Sections of kinds that nobody knows yet, the padding among them.
fn of_the_future() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kinds =
        any::<u8>().prop_filter("unknown", |kind| !kind::READ.iter().any(|known| known.contains(kind)));
    (kinds, prop::collection::vec(any::<u8>(), 0..90))
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
