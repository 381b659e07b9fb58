//! One state machine alone, told by hand what others say.

mod clusters;
mod dead;
mod moves;
mod probing;
mod strangers;

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::probe::Kind;
use super::{Input, Output, Swim, Timer};
use crate::pings::Purpose;
use crate::precedence::INCARNATION_MAX;
use crate::wire::{
    DATAGRAM_BYTES_MAX, Datagram, Encoder, Head, Lists, LoadEntry, Message, Seal, Subject, Update, decode,
};
use crate::{
    BootEpoch, Config, Coordinate, DecodeError, Identity, Incarnation, LoadSample, MemberState, NodeKey,
    Time, Versions,
};

const US: &str = "10.0.0.1:1";

fn ms(ms: u64) -> Time {
    Time::from_micros(ms * 1_000)
}

fn key(name: &str) -> NodeKey {
    NodeKey::of(&name.parse().unwrap())
}

fn identity(name: &str, boot: u64, address: &str) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(boot),
        gossip: address.parse().unwrap(),
        http_port: 80,
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 2,
        versions: Versions::SPOKEN,
    }
}

fn seal() -> Seal {
    Seal::new("starling", None, Versions::SPOKEN)
}

/// A node, and what it told of while it was asked what it sends.
struct Alone(Swim, Vec<crate::Event>);

impl Alone {
    fn new() -> Self {
        Self::with(&Config::new(identity("us", 1_000, US)))
    }

    fn with(config: &Config) -> Self {
        Self(Swim::new(config, 7, Time::ZERO), Vec::new())
    }

    /// All that it sends now.
    fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        loop {
            match self.0.poll() {
                Output::Send { to, bytes } => sent.push((to, bytes)),
                Output::Timeout(_) => return sent,
                Output::Event(event) => self.1.push(event),
                _ => {}
            }
        }
    }

    /// A datagram comes in.
    fn hears(&mut self, now: Time, from: &str, mut bytes: Vec<u8>) {
        self.0.handle(now, Input::Datagram { from: from.parse().unwrap(), bytes: &mut bytes });
    }

    /// This member says that.
    fn told(&mut self, now: Time, by: &Identity, say: impl FnOnce(&mut Encoder)) {
        self.hears(now, &by.gossip.to_string(), datagram(by, say));
        self.sent();
    }

    /// This one joins, and answers where it speaks from.
    fn joined(&mut self, now: Time, who: &Identity) {
        self.joined_from(now, who, &who.gossip.to_string());
    }

    /// The same, from an address that need not be the one that it states.
    fn joined_from(&mut self, now: Time, who: &Identity, from: &str) {
        let join = datagram(who, |say| say.message(&Message::Join { seq: 1, from: who.into() }));
        self.hears(now, from, join);
        for (to, mut bytes) in self.sent() {
            if let Message::Ping { seq, .. } = read(&mut bytes).message
                && to.to_string() == from
            {
                self.hears(now, from, datagram(who, |say| say.message(&Message::Ack { seq })));
            }
        }
        self.sent();
    }

    /// Many are told of at once, by one datagram after the other.
    fn told_of(&mut self, now: Time, by: &Identity, names: std::ops::Range<usize>, state: MemberState) {
        let mut names = names.peekable();
        while names.peek().is_some() {
            self.told(now, by, |say| {
                while let Some(name) = names.peek() {
                    let one = identity(&format!("n{name}"), 1, "10.1.0.3:1");
                    if !say.update(&about(&one, 0, state)) {
                        break;
                    }
                    names.next();
                }
            });
            // They answer at once, or there would be too many of them.
            (0..self.0.members.slots()).for_each(|slot| self.0.members.meet(slot));
        }
    }

    fn slot(&self, name: &str) -> u32 {
        self.0.members.find(key(name)).unwrap()
    }

    fn state_of(&self, name: &str) -> MemberState {
        self.0.members.by_key(key(name)).unwrap().state
    }

    /// Runs its timers until then.
    fn runs_until(&mut self, end: Time) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = self.sent();
        while self.0.next_timeout() <= end {
            let next = self.0.next_timeout();
            self.0.handle(next, Input::Timeout);
            sent.extend(self.sent());
        }
        sent
    }
}

fn datagram(by: &Identity, say: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    datagram_of(&Head::new(NodeKey::of(&by.name), by.boot, Incarnation(0), 0), say)
}

fn datagram_of(head: &Head, say: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), &seal(), 1, &mut ChaCha8Rng::seed_from_u64(1), head);
    say(&mut encoder);
    encoder.finish(&seal())
}

fn read(bytes: &mut [u8]) -> Datagram<'_> {
    decode(&seal(), bytes, Lists::default()).unwrap()
}

fn about(subject: &Identity, incarnation: u32, state: MemberState) -> Update<&Identity> {
    Update { subject: Subject::Full(subject), incarnation: Incarnation(incarnation), state, by: None }
}

fn sample(seq: u16) -> LoadSample {
    LoadSample { seq, ..LoadSample::default() }
}

#[test]
fn of_many_addresses_all_are_tried_in_turn() {
    let mut config = Config::new(identity("us", 1_000, US));
    config.seeds = vec!["seed:1".into()];
    let mut us = Alone::with(&config);
    let addresses: Vec<SocketAddr> =
        (0..70).map(|place| format!("10.0.1.{place}:1").parse().unwrap()).collect();
    let mut looks = Vec::new();
    for look in 0..5 {
        us.0.handle(ms(1 + look), Input::Seeds(&addresses));
        looks.push(us.sent().into_iter().map(|(to, _)| to).collect::<Vec<_>>());
    }
    assert!(looks.iter().all(|look| look.len() == 32));
    assert_eq!(looks[..3].concat()[..70], addresses, "each one, before any again");
    // Fewer than fit: all of them, each time.
    us.0.handle(ms(9), Input::Seeds(&addresses[..3]));
    assert_eq!(us.sent().len(), 3);
}

/// Milliseconds of a day: boots that far ahead of the clock are not believed.
const DAY: u64 = 86_400_000;

#[test]
fn nothing_that_is_said_of_a_node_is_the_last_word() {
    let mut us = Alone::new();
    let other = identity("other", 1, "10.0.0.2:1");
    us.joined(ms(1), &other);
    let word = |us: &Alone| (us.0.identity().boot, us.0.incarnation());
    let say = |us: &mut Alone, boot, incarnation, state| {
        let former = identity("us", boot, US);
        us.told(ms(2), &other, |say| assert!(say.update(&about(&former, incarnation, state))));
    };
    // What could not be outbid is not believed, so it need not be.
    let before = word(&us);
    for state in [MemberState::Alive, MemberState::Suspect, MemberState::Dead, MemberState::Left] {
        say(&mut us, BootEpoch::MAX.0, u32::MAX, state);
        say(&mut us, 1_000 + 2 * DAY, 0, state);
        say(&mut us, 1_000, u32::MAX, state);
        assert_eq!(word(&us), before, "{state}");
    }
    // The last that is believed is outbid.
    say(&mut us, 1_000, 7, MemberState::Left);
    assert_eq!(word(&us), (BootEpoch(1_000), Incarnation(8)));
    say(&mut us, 1_000, INCARNATION_MAX.0, MemberState::Left);
    assert_eq!(word(&us), (BootEpoch(1_001), Incarnation(0)));
    say(&mut us, 1_000 + DAY, INCARNATION_MAX.0, MemberState::Left);
    assert_eq!(word(&us), (BootEpoch(1_001 + DAY), Incarnation(0)));
}

#[test]
fn what_a_node_outbids_with_is_believed_of_it_at_first_hand() {
    let mut us = Alone::new();
    let (other, teller) = (identity("other", 1, "10.0.0.2:1"), identity("teller", 1, "10.0.0.3:1"));
    us.joined(ms(1), &other);
    us.joined(ms(1), &teller);
    // Others may say what lies at most a day ahead; the member, with a clock of its own, may answer that.
    let (last, beyond) =
        (identity("other", 1_000 + DAY, "10.0.0.2:1"), identity("other", 60_000 + DAY, "10.0.0.2:1"));
    let boot = |us: &Alone| us.0.members.by_key(key("other")).unwrap().identity.boot;
    us.told(ms(1), &teller, |say| assert!(say.update(&about(&beyond, 0, MemberState::Alive))));
    assert_eq!(boot(&us), BootEpoch(1));
    us.told(ms(1), &teller, |say| assert!(say.update(&about(&last, 0, MemberState::Alive))));
    assert_eq!(boot(&us), last.boot);
    us.joined(ms(2), &beyond);
    assert_eq!(boot(&us), beyond.boot);
    // A clock that was set right counts from then on.
    let later = identity("other", 9 * DAY, "10.0.0.2:1");
    us.joined(ms(3), &later);
    assert_eq!((boot(&us), us.0.rejected()), (beyond.boot, Some(DecodeError::Ahead)));
    us.0.handle(ms(4), Input::WallClock(BootEpoch(9 * DAY)));
    us.joined(ms(5), &later);
    assert_eq!((boot(&us), us.0.rejected()), (later.boot, None));
}

#[test]
fn that_a_member_left_is_for_the_member_to_say() {
    for answers in [true, false] {
        let mut us = Alone::new();
        let (other, teller) = (identity("other", 1, "10.0.0.2:1"), identity("teller", 1, "10.0.0.3:1"));
        us.joined(ms(1), &other);
        us.joined(ms(1), &teller);
        us.runs_until(ms(1_000));
        let left = datagram(&teller, |say| assert!(say.update(&about(&other, 0, MemberState::Left))));
        us.hears(ms(1_000), "10.0.0.3:1", left);
        assert_eq!(us.state_of("other"), MemberState::Suspect);
        let mut asked = 0;
        for step in 0..200 {
            for (to, mut bytes) in us.runs_until(ms(1_001 + step * 10)) {
                let ping = read(&mut bytes);
                let Message::Ping { seq, .. } = ping.message else { continue };
                if to == other.gossip && answers {
                    // It is told what is said of it, and so it can contradict.
                    asked += 1;
                    let head = Head::new(key("other"), other.boot, Incarnation(1), 0);
                    us.hears(
                        ms(1_001 + step * 10),
                        "10.0.0.2:1",
                        datagram_of(&head, |say| say.message(&Message::Ack { seq })),
                    );
                } else if to == teller.gossip {
                    us.told(ms(1_001 + step * 10), &teller, |say| say.message(&Message::Ack { seq }));
                }
            }
        }
        assert!(!answers || asked > 0);
        let is = if answers { MemberState::Alive } else { MemberState::Left };
        assert_eq!(us.state_of("other"), is, "answers: {answers}");
    }
}

#[test]
fn a_member_that_says_itself_that_it_leaves_is_believed_at_once() {
    let mut us = Alone::new();
    let other = identity("other", 1, "10.0.0.2:1");
    us.joined(ms(1), &other);
    us.told(ms(2), &other, |say| assert!(say.update(&about(&other, 0, MemberState::Left))));
    assert_eq!(us.state_of("other"), MemberState::Left);
}

#[test]
fn much_news_leaves_room_for_loads() {
    let mut us = Alone::new();
    let (receiver, idle) = (identity("receiver", 1, "10.0.0.2:1"), identity("idle", 1, "10.0.0.4:1"));
    us.joined(ms(1), &receiver);
    us.joined(ms(1), &idle);
    us.told_of(ms(2), &receiver, 0..200, MemberState::Alive);
    us.told(ms(3), &idle, |say| say.load(&sample(1), Duration::ZERO));
    let slot = us.slot("receiver");
    us.0.ping(slot, key("receiver"), receiver.gossip, Purpose::Probe { attempt: 2 });
    let (_, mut ping) = us.sent().pop().unwrap();
    let ping = read(&mut ping);
    assert!(ping.lists.updates.len() > 5, "{} updates", ping.lists.updates.len());
    assert_eq!(ping.lists.loads.iter().map(|load| load.of).collect::<Vec<_>>(), [key("idle").head()]);
}

#[test]
fn an_older_sample_brings_no_older_coordinate() {
    let mut us = Alone::new();
    let (far, teller) = (identity("far", 1, "10.0.0.2:1"), identity("teller", 1, "10.0.0.3:1"));
    us.joined(ms(1), &far);
    us.joined(ms(1), &teller);
    let there = |x: f32| Coordinate { position: [x, 0.0, 0.0], height: 1.0, error: 0.1 };
    us.told(ms(20_000), &far, |say| {
        say.load(&sample(9), Duration::ZERO);
        say.coordinate(&there(100.0));
    });
    let entry = |seq, x| LoadEntry {
        of: key("far").head(),
        boot_low: 1,
        age: Duration::from_secs(8),
        sample: sample(seq),
        coordinate: Some(there(x)),
    };
    let place = |us: &Alone| {
        us.0.members.by_key(key("far")).unwrap().known.as_ref().unwrap().coordinate.unwrap().position[0]
    };
    us.told(ms(20_001), &teller, |say| assert!(say.load_entry(&entry(2, -500.0))));
    assert!((place(&us) - 100.0).abs() < 0.1);
    us.told(ms(20_002), &teller, |say| assert!(say.load_entry(&entry(10, -500.0))));
    assert!((place(&us) + 500.0).abs() < 0.1);
}

#[test]
fn a_confirmation_takes_no_postponement_back() {
    let mut us = Alone::new();
    for i in 2..12 {
        us.joined(ms(1), &identity(&format!("n{i}"), 1, &format!("10.0.0.{i}:1")));
    }
    let slot = us.slot("n2");
    us.0.now = ms(10_000);
    us.0.suspect(slot, Incarnation(0), Some(key("n3")));
    us.0.confirm(slot, Some(key("n4")));
    us.0.confirm(slot, Some(key("n5")));
    us.0.now = ms(12_000);
    us.0.heard_alive(slot);
    let postponed = us.0.suspicions[&slot].deadline;
    us.0.confirm(slot, Some(key("n6")));
    assert!(us.0.suspicions[&slot].deadline >= postponed);
}

#[test]
fn a_verdict_of_others_on_a_boot_that_is_new_here_is_looked_into() {
    let mut us = Alone::new();
    let (other, teller) = (identity("other", 1, "10.0.0.2:1"), identity("teller", 1, "10.0.0.3:1"));
    us.joined(ms(1), &other);
    us.joined(ms(1), &teller);
    let newer = identity("other", 2, "10.0.0.2:1");
    us.told(ms(2), &teller, |say| assert!(say.update(&about(&newer, 0, MemberState::Dead))));
    assert_eq!(us.state_of("other"), MemberState::Suspect);
    let slot = us.slot("other");
    assert!(us.0.probes.iter().any(|probe| probe.slot == slot && probe.kind == Kind::Verify));
}

#[test]
fn doubts_of_others_move_nobody_to_another_address() {
    let mut us = Alone::new();
    let (other, teller) = (identity("other", 1, "10.0.0.2:1"), identity("teller", 1, "10.0.0.3:1"));
    us.joined(ms(1), &other);
    us.joined(ms(1), &teller);
    let elsewhere = identity("other", 1, "10.6.6.6:6");
    us.told(ms(2), &teller, |say| assert!(say.update(&about(&elsewhere, 0, MemberState::Suspect))));
    let peer = us.0.members.by_key(key("other")).unwrap();
    assert_eq!((peer.state, peer.identity.gossip), (MemberState::Suspect, other.gossip));
}

#[test]
fn the_long_dead_are_forgotten_some_at_a_time_and_where_they_were_is_not() {
    let mut us = Alone::new();
    let teller = identity("teller", 1, "10.0.0.2:1");
    us.joined(ms(1), &teller);
    us.told_of(ms(1), &teller, 0..3_000, MemberState::Alive);
    for name in 0..3_000 {
        let slot = us.slot(&format!("n{name}"));
        us.0.forget_doubts(slot);
        us.0.members.set(slot, MemberState::Left, Incarnation(0), ms(2));
    }
    let dead = identity("dead", 1, "10.0.7.7:1");
    us.joined(ms(3), &dead);
    let slot = us.slot("dead");
    us.0.now = ms(4);
    us.0.bury(slot, Incarnation(0));
    us.0.now = ms(700_000);
    us.0.on_forget();
    assert_eq!(us.0.members.gone().count(), 2_001, "a thousand at a time");
    for _ in 0..3 {
        us.0.on_forget();
    }
    assert_eq!((us.0.members.gone().count(), us.0.contradiction()), (0, None));
    // It has no seeds, and still looks for the one that did not leave.
    us.sent();
    us.0.on_look_at_seeds();
    let asked: Vec<_> = us.sent().into_iter().map(|(to, _)| to).collect();
    assert_eq!(asked, [dead.gossip]);
    // Until it is back.
    us.joined(ms(700_001), &dead);
    us.0.on_look_at_seeds();
    assert_eq!(us.sent().len(), 0);
    assert!(us.0.lost.is_empty());
}
