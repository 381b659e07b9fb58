//! A node against an enemy who can send it anything.

use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::world::address_of;
use super::{Topology, World};
use crate::testing::{body, datagram};
use crate::{DATAGRAM_BYTES_MAX, Input, Output, Swim, Time, Timing};

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
}

#[test]
fn what_does_not_open_changes_nothing() {
    let (mut swim, now, corpus) = victim();
    while !matches!(swim.poll(), Output::Timeout(_)) {}
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let before = (swim.membership_version(), swim.detail_version(), swim.sizes());
    for _ in 0..inputs() / 10 {
        let mut bytes = datagram(&mutate(&corpus, &mut rng));
        let place = rng.random_range(0..bytes.len());
        bytes[place] ^= rng.random_range(1..=255u8);
        swim.handle(now, Input::Datagram { from: address_of(7), bytes: &mut bytes });
        assert!(matches!(swim.poll(), Output::Timeout(_)), "nothing to do");
    }
    assert_eq!((swim.membership_version(), swim.detail_version(), swim.sizes()), before);
    assert!(swim.stats().datagrams_rejected >= (inputs() / 10) as u64);
}
