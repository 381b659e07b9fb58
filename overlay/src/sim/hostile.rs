//! A node against an enemy who can send it anything.

use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::nodes::address_of;
use super::{Topology, World};
use crate::testing::{body, datagram};
use crate::wire::Seal;
use crate::{DATAGRAM_BYTES_MAX, Input, KEY_BYTES, Keyring, Output, Swim, Time, Timing, Versions};

/// How many inputs: `STARLING_HOSTILE_INPUTS` for a long run.
fn inputs() -> usize {
    std::env::var("STARLING_HOSTILE_INPUTS").map_or(300_000, |count| count.parse().expect("a number"))
}

/// A cluster's node, and datagrams such as it gets.
fn victim() -> (Swim, Time, Vec<Vec<u8>>) {
    let mut world = World::ring(Topology::flat(Duration::from_millis(1)), 1, 12, Timing::Lan);
    world.start_all();
    world.run(Duration::from_secs(5));
    world.kill(3);
    world.run(Duration::from_secs(2));
    let mut corpus = Vec::new();
    for index in [1, 2, 4, 5, 6] {
        let mut swim = world.take(index).unwrap();
        let mut now = world.now();
        swim.handle(now, Input::Seeds(&[address_of(50)]));
        swim.handle(now, Input::Leave);
        while corpus.len() < 40 * (index + 1) {
            match swim.poll() {
                Output::Send { bytes, .. } => corpus.push(body(&bytes).to_vec()),
                Output::Timeout(at) => {
                    now = at.max(now);
                    swim.handle(now, Input::Timeout);
                    if at == Time::NEVER || now.since(world.now()) > Duration::from_secs(60) {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    (world.take(0).unwrap(), world.now(), corpus)
}

fn mutate(corpus: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).unwrap().clone();
    for _ in 0..rng.random_range(0..6) {
        let place = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 if place < bytes.len() => bytes[place] ^= 1 << rng.random_range(0..8),
            1 if place < bytes.len() => {
                bytes[place] = *[0, 1, 250, 251, 252, 253, 254, 255].choose(rng).unwrap();
            }
            2 => bytes.truncate(place),
            3 => {
                let other = corpus.choose(rng).unwrap();
                let from = rng.random_range(0..=other.len());
                bytes.truncate(place);
                bytes.extend_from_slice(&other[from..]);
            }
            4 => bytes.insert(place, rng.random()),
            _ => {
                // A section of any kind, with anything in it.
                let length = rng.random_range(0..64u8);
                bytes.extend([rng.random_range(0..20), length, 0]);
                bytes.extend((0..length).map(|_| rng.random::<u8>()));
            }
        }
    }
    bytes.truncate(DATAGRAM_BYTES_MAX - 16);
    bytes
}

#[test]
fn nothing_that_is_sent_breaks_a_node_or_grows_it_beyond_bounds() {
    let (mut swim, mut now, corpus) = victim();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let memory = resident_bytes();
    for _ in 0..inputs() {
        let mut bytes = datagram(&mutate(&corpus, &mut rng));
        let from = address_of(rng.random_range(0..30));
        swim.handle(now, Input::Datagram { from, bytes: &mut bytes });
        now = now + Duration::from_micros(rng.random_range(0..20_000));
        let mut answers = 0;
        loop {
            match swim.poll() {
                Output::Send { bytes, .. } => {
                    assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
                    answers += 1;
                    swim.recycle(bytes);
                }
                Output::Timeout(at) if at <= now => swim.handle(now, Input::Timeout),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        assert!(answers < 2_000, "{answers} datagrams after one");
        for (what, size, most) in swim.sizes() {
            assert!(size <= most, "{what}: {size} of at most {most}");
        }
    }
    assert!(swim.peers().count() <= 65_536);
    let grown = resident_bytes().saturating_sub(memory);
    assert!(grown < 256 << 20, "{grown} bytes more than before");
    println!("{} datagrams survived, {grown} bytes of memory more than before", inputs());
}

/// What an enemy without the key can send: noise, damage, the datagrams of another cluster, of another key, of none.
fn not_ours(corpus: &[Vec<u8>], seals: &[Seal], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let sealed = |seal: &Seal, rng: &mut ChaCha8Rng| {
        let mut bytes = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        seal.begin(1, &mut bytes, rng);
        bytes.extend_from_slice(&mutate(corpus, rng));
        bytes.truncate(DATAGRAM_BYTES_MAX - seal.trailer_bytes());
        seal.seal(&mut bytes);
        bytes
    };
    match rng.random_range(0..8) {
        0 => {
            let length = rng.random_range(0..2 * DATAGRAM_BYTES_MAX);
            let mut bytes = vec![0; length];
            rng.fill(&mut bytes[..]);
            bytes
        }
        1..4 => {
            let mut bytes = sealed(&seals[0], rng);
            let place = rng.random_range(0..bytes.len());
            bytes[place] ^= rng.random_range(1..=255u8);
            bytes
        }
        4 => {
            let mut bytes = sealed(&seals[0], rng);
            bytes.truncate(rng.random_range(0..bytes.len()));
            bytes
        }
        _ => {
            let strange = rng.random_range(1..seals.len());
            sealed(&seals[strange], rng)
        }
    }
}

#[test]
fn what_does_not_open_changes_nothing() {
    let key = |byte| Keyring::new([byte; KEY_BYTES]);
    let plain = |cluster| Seal::new(cluster, None, Versions::SPOKEN);
    for keyring in [None, Some(key(1))] {
        let (mut swim, now, corpus) = victim();
        if let Some(keyring) = &keyring {
            swim.handle(now, Input::Keys(keyring));
        }
        while !matches!(swim.poll(), Output::Timeout(_)) {}
        let seals = [
            Seal::new("starling", keyring.as_ref(), Versions::SPOKEN),
            Seal::new("starling", Some(&key(2)), Versions::SPOKEN),
            Seal::new("another", keyring.as_ref(), Versions::SPOKEN),
            if keyring.is_some() { plain("starling") } else { plain("starlin") },
        ];
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let state = |swim: &Swim| (swim.membership_version(), swim.detail_version(), swim.sizes());
        let (before, memory) = (state(&swim), resident_bytes());
        let count = inputs() / 2;
        for _ in 0..count {
            let mut bytes = not_ours(&corpus, &seals, &mut rng);
            swim.handle(now, Input::Datagram { from: address_of(7), bytes: &mut bytes });
            assert!(matches!(swim.poll(), Output::Timeout(_)), "nothing to do");
        }
        assert_eq!(state(&swim), before);
        assert_eq!(swim.stats().rejected.total(), count as u64);
        let grown = resident_bytes().saturating_sub(memory);
        assert!(grown < 16 << 20, "{grown} bytes more than before");
        println!("{count} datagrams ignored, {grown} bytes of memory more than before");
    }
}

/// What the process has in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has a size");
    let kilobytes: usize = line.trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes * 1024
}
