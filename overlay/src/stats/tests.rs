//! What is counted, and how often.

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::sim::{Topology, World};
use crate::wire::{Encoder, Head, Message, Seal};
use crate::{
    BootEpoch, Config, DatagramKind, Event, Identity, Incarnation, Input, KEY_BYTES, Keyring, NodeKey,
    Output, Rejection, Swim, Time, Timing, Versions, Volume,
};

const SECOND: Duration = Duration::from_secs(1);

fn identity(name: &str) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(5),
        gossip: "10.0.0.1:5000".parse().unwrap(),
        http_port: 5000,
        zone: "test".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }
}

fn node(keys: Option<Keyring>) -> Swim {
    let mut config = Config::new(identity("a"));
    config.keys = keys;
    Swim::new(&config, 1, Time::ZERO)
}

/// What a node of this name and boot sends, in this envelope.
fn news(seal: &Seal, version: u8, name: &str, boot: u64) -> Vec<u8> {
    let key = NodeKey::of(&name.parse().unwrap());
    let head = Head::new(key, BootEpoch(boot), Incarnation(0), 0);
    let mut encoder = Encoder::new(Vec::new(), seal, version, &mut ChaCha8Rng::seed_from_u64(1), &head);
    encoder.message(&Message::Ack { seq: 1 });
    encoder.finish(seal)
}

fn elsewhere() -> SocketAddr {
    "10.0.0.9:5000".parse().unwrap()
}

#[test]
fn what_is_not_taken_is_counted_by_what_the_envelope_tells() {
    let key = |byte| Keyring::new([byte; KEY_BYTES]);
    let seal = |name, keys: Option<&Keyring>| Seal::new(name, keys, Versions::SPOKEN);
    let newer = Versions::new(9, 9).unwrap();
    let plain = news(&seal("starling", None), 1, "b", 1);
    let sealed = news(&seal("starling", Some(&key(1))), 1, "b", 1);
    let changed = |bytes: &[u8], place: usize| {
        let mut bytes = bytes.to_vec();
        bytes[place] ^= 0x55;
        bytes
    };
    let keyless = [
        (Some(Rejection::Length), vec![1, 0, 3]),
        (Some(Rejection::Length), vec![1; 1401]),
        (Some(Rejection::Version), news(&Seal::new("starling", None, newer), 9, "b", 1)),
        (Some(Rejection::Keyless), sealed.clone()),
        (Some(Rejection::Checksum), news(&seal("other", None), 1, "b", 1)),
        (Some(Rejection::Checksum), changed(&plain, 12)),
        (Some(Rejection::Malformed), changed(&plain, 1)),
        (Some(Rejection::Malformed), crate::testing::datagram(&[1, 2, 3])),
        (Some(Rejection::Echo), news(&seal("starling", None), 1, "a", 5)),
        // Another node with this one's name, and any other.
        (None, news(&seal("starling", None), 1, "a", 6)),
        (None, plain.clone()),
    ];
    let keyed = [
        (Some(Rejection::Unsealed), plain),
        (Some(Rejection::Unopened), news(&seal("starling", Some(&key(2))), 1, "b", 1)),
        (Some(Rejection::Unopened), news(&seal("other", Some(&key(1))), 1, "b", 1)),
        (Some(Rejection::Unopened), changed(&sealed, 30)),
        (Some(Rejection::Malformed), changed(&sealed, 1)),
        (Some(Rejection::Length), sealed[..20].to_vec()),
        (Some(Rejection::Echo), news(&seal("starling", Some(&key(1))), 1, "a", 5)),
        (None, sealed),
    ];
    let cases = keyless.into_iter().map(|case| (None, case));
    for (keys, (why, mut bytes)) in cases.chain(keyed.into_iter().map(|case| (Some(key(1)), case))) {
        let mut swim = node(keys);
        swim.handle(Time::ZERO, Input::Datagram { from: elsewhere(), bytes: &mut bytes });
        let rejected = swim.stats().rejected;
        for reason in Rejection::ALL {
            assert_eq!(
                rejected.of(reason),
                u64::from(Some(reason) == why),
                "{reason:?}, not {why:?}: {bytes:?}"
            );
        }
        assert_eq!(rejected.total(), u64::from(why.is_some()));
        let told = swim.rejected().map(Rejection::from);
        assert_eq!(told, why.filter(|why| *why != Rejection::Echo), "an echo is as good as any other");
    }
}

#[test]
fn why_the_last_datagram_was_ignored_is_forgotten_with_the_next_one() {
    let mut swim = node(None);
    let mut good = news(&Seal::new("starling", None, Versions::SPOKEN), 1, "b", 1);
    swim.handle(Time::ZERO, Input::Datagram { from: elsewhere(), bytes: &mut [0; 3] });
    assert_eq!(swim.rejected().map(Rejection::from), Some(Rejection::Length));
    swim.handle(Time::ZERO, Input::Datagram { from: elsewhere(), bytes: &mut good });
    assert_eq!(swim.rejected(), None);
}

/// How many events of each kind a node has told, in the order of [`crate::EventCounts::named`], and how often it thawed.
fn told(world: &World, node: usize) -> ([u64; 8], u64) {
    let (mut counts, mut thawed) = ([0; 8], 0);
    for entry in world.log().iter().filter(|entry| entry.node == node) {
        let place = match entry.event {
            Event::Joined(_) => 0,
            Event::Suspected { .. } => 1,
            Event::Refuted(_) => 2,
            Event::Failed(_) => 3,
            Event::Left(_) => 4,
            Event::Rejoined(_) => 5,
            Event::NameConflict { .. } => 6,
            Event::Converged(_) => 7,
            Event::Thawed { .. } => {
                thawed += 1;
                continue;
            }
            Event::Moved { .. }
            | Event::Elsewhere { .. }
            | Event::Cluster { .. }
            | Event::OtherTiming { .. }
            | Event::NotConverged { .. } => continue,
        };
        counts[place] += 1;
    }
    (counts, thawed)
}

#[test]
fn every_event_is_counted_once() {
    let mut world = World::ring(Topology::flat(Duration::from_millis(1)), 1, 8, Timing::Lan);
    // The last one has the first one's name, and comes later.
    world.config_mut(7).identity.name = "node1".parse().unwrap();
    (0..7).for_each(|index| world.start(index));
    world.run(10 * SECOND);
    // Long enough to be suspected, and not to fail.
    for _ in 0..5 {
        world.pause(3, SECOND);
        world.run(5 * SECOND);
    }
    world.leave(5);
    world.kill(6);
    world.run(20 * SECOND);
    world.start(6);
    world.run(10 * SECOND);
    world.start(7);
    world.run(10 * SECOND);
    let mut sum = [0; 8];
    for index in 0..5 {
        let stats = world.node(index).unwrap().stats();
        let (events, thawed) = told(&world, index);
        assert_eq!(stats.events.named().map(|(_, count)| count), events, "node {index}");
        assert_eq!(stats.freezes, thawed);
        let sent = Volume { datagrams: stats.datagrams_sent, bytes: stats.bytes_sent };
        assert_eq!(stats.sent.total(), sent, "each is of one kind");
        let came = Volume { datagrams: stats.datagrams_received, bytes: stats.bytes_received };
        let ignored = stats.datagrams_received - stats.received.total().datagrams;
        assert!(stats.received.total().bytes <= came.bytes && ignored <= stats.rejected.total());
        for kind in [DatagramKind::Ping, DatagramKind::Ack, DatagramKind::News, DatagramKind::Join] {
            let (sent, received) = (stats.sent.of(kind), stats.received.of(kind));
            assert!(sent.datagrams + received.datagrams > 0, "{kind:?} of node {index}");
        }
        for (sum, count) in sum.iter_mut().zip(events) {
            *sum += count;
        }
    }
    assert!(sum.iter().all(|count| *count > 0), "all kinds of events happened: {sum:?}");
}

/// Does what there is to do, without anybody to hear it; when there is more.
fn run_outputs(swim: &mut Swim, events: &mut Vec<Event>) -> Time {
    loop {
        match swim.poll() {
            Output::Timeout(at) => return at,
            Output::Event(event) => events.push(event),
            _ => {}
        }
    }
}

#[test]
fn a_freeze_is_noticed_once_however_much_waits_in_the_socket() {
    let mut swim = node(None);
    let mut events = Vec::new();
    let mut now = Time::ZERO;
    for _ in 0..20 {
        swim.handle(now, Input::Timeout);
        now = run_outputs(&mut swim, &mut events);
    }
    assert_eq!(swim.stats().freezes, 0);
    for (freeze, late) in [30 * SECOND, SECOND].into_iter().enumerate() {
        events.clear();
        now = now + late;
        // What has come in meanwhile is read first.
        for millis in 0..5 {
            let mut bytes = [0; 3];
            now = now + Duration::from_millis(millis);
            swim.handle(now, Input::Datagram { from: elsewhere(), bytes: &mut bytes });
        }
        swim.handle(now, Input::Timeout);
        now = run_outputs(&mut swim, &mut events);
        assert_eq!(events, [Event::Thawed { late }]);
        assert_eq!(swim.stats().freezes, freeze as u64 + 1);
    }
}
