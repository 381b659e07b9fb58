//! What comes from addresses that are nobody's yet.

use super::*;
use crate::config::Params;
use crate::{Stats, Timing};

/// What must stay as it is, whatever a stranger sends.
fn state(us: &Alone) -> (u64, Incarnation, BootEpoch, usize, u64) {
    let me = us.0.identity().boot;
    (us.0.membership_version(), us.0.incarnation(), me, us.0.peers().count(), us.0.detail_version())
}

const STATES: [MemberState; 4] =
    [MemberState::Alive, MemberState::Suspect, MemberState::Dead, MemberState::Left];

/// A node with two members, and these.
fn cluster() -> (Alone, Identity, Identity) {
    let mut us = Alone::new();
    let (other, third) = (identity("other", 1, "10.0.0.2:1"), identity("third", 1, "10.0.0.3:1"));
    us.joined(ms(1), &other);
    us.joined(ms(1), &third);
    (us, other, third)
}

#[test]
fn what_a_stranger_says_changes_nothing() {
    let (mut us, other, third) = cluster();
    // In a name of its own, and in that of a member, from where that is not.
    let nobody = identity("nobody", 5, "10.6.6.6:6");
    let newer = identity("other", 2, "10.6.6.6:6");
    let fake = identity("fake", 1, "10.7.7.7:7");
    let before = state(&us);
    for sender in [&nobody, &other, &newer, &identity("us", 2_000, "10.6.6.6:6"), &identity("us", 1_000, US)]
    {
        for subject in [&other, &third, &newer, &fake, &identity("us", 1_000, US), &identity("us", 2_000, US)]
        {
            for state in STATES {
                for incarnation in [0, 1, 1 << 20] {
                    let said = datagram(sender, |say| {
                        say.load(&sample(1), Duration::ZERO);
                        say.promise(Duration::from_millis(10));
                        assert!(say.update(&about(subject, incarnation, state)));
                    });
                    us.hears(ms(2), "10.6.6.6:6", said);
                }
            }
        }
    }
    us.sent();
    assert_eq!(state(&us), before);
    assert_eq!((us.state_of("other"), us.state_of("third")), (MemberState::Alive, MemberState::Alive));
    assert!(us.0.members.find(key("fake")).is_none() && us.0.members.find(key("nobody")).is_none());
    assert!(us.0.watch.due.is_empty(), "nor does a promise of it count");
}

#[test]
fn a_newcomer_is_met_where_it_speaks_from() {
    let mut us = Alone::new();
    let newcomer = identity("newcomer", 1, "10.0.0.2:1");
    let join = |seq| datagram(&newcomer, |say| say.message(&Message::Join { seq, from: (&newcomer).into() }));
    us.hears(ms(1), "10.0.9.9:9", join(1));
    let sent = us.sent();
    assert!(
        sent.iter().all(|(to, _)| *to == "10.0.9.9:9".parse().unwrap()),
        "nothing goes to where it says that it is"
    );
    let seq = sent.into_iter().find_map(|(_, mut bytes)| match read(&mut bytes).message {
        Message::Ping { seq, .. } => Some(seq),
        _ => None,
    });
    let seq = seq.expect("it is asked");
    assert!(us.0.members.find(key("newcomer")).is_none(), "it has yet to answer");
    // A number that it was not sent proves nothing, nor does an answer of another node, or of another boot.
    let ack = |by: &Identity, seq| datagram(by, |say| say.message(&Message::Ack { seq }));
    us.hears(ms(2), "10.0.9.9:9", ack(&newcomer, seq.wrapping_add(1)));
    us.hears(ms(2), "10.0.9.9:9", ack(&identity("another", 1, "10.0.0.2:1"), seq));
    us.hears(ms(2), "10.0.9.9:9", ack(&identity("newcomer", 2, "10.0.0.2:1"), seq));
    assert_eq!(us.0.peers().count(), 0);
    us.hears(ms(3), "10.0.9.9:9", ack(&newcomer, seq));
    let peer = us.0.members.by_key(key("newcomer")).expect("a member");
    assert_eq!(peer.address(), "10.0.9.9:9".parse().unwrap());
    assert!(peer.rtt().is_some(), "the question has measured it");
    // One that knows nothing of this node yet answers with a question, which is as good.
    let second = identity("second", 1, "10.0.0.3:1");
    let join = datagram(&second, |say| say.message(&Message::Join { seq: 1, from: (&second).into() }));
    us.hears(ms(4), "10.0.0.3:1", join);
    for (_, mut bytes) in us.sent() {
        if let Message::Ping { seq, .. } = read(&mut bytes).message {
            us.hears(ms(5), "10.0.0.3:1", datagram(&second, |say| say.message(&Message::Who { seq })));
        }
    }
    assert_eq!(us.state_of("second"), MemberState::Alive);
    assert_eq!(us.0.contradiction(), None);
}

/// One datagram of each kind, small and large.
fn of_all_kinds(by: &Identity) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (to, padded) in [("us", false), ("us", true), ("other", false)] {
        let messages = [
            Message::News,
            Message::Ping { seq: 3, to: key(to), from: None },
            Message::Ping { seq: 3, to: key(to), from: Some(by.into()) },
            Message::Ack { seq: 3 },
            Message::PingReq { seq: 3, target: key("third") },
            Message::Nack { seq: 3 },
            Message::Join { seq: 3, from: by.into() },
            Message::Who { seq: 3 },
            Message::Welcome { seq: 3 },
            Message::Ranges(vec![crate::wire::Range { first: 0, last: u64::MAX, digest: 1 }]),
            Message::Records { first: 0, last: u64::MAX },
        ];
        for message in messages {
            all.push(datagram(by, |say| {
                say.message(&message);
                if matches!(message, Message::News) {
                    assert!(say.update(&about(by, 0, MemberState::Alive)));
                }
                if padded {
                    say.pad();
                }
            }));
        }
    }
    all
}

#[test]
fn no_source_gets_more_than_three_times_what_it_sent() {
    let victim = "10.6.6.6:53";
    for sender in ["nobody", "other", "us"] {
        for boot in [1, 7, 1_000, 2_000] {
            let (mut us, other, _) = cluster();
            us.told_of(ms(2), &other, 0..200, MemberState::Alive);
            let (mut came, mut sent) = (0, 0);
            for (number, bytes) in of_all_kinds(&identity(sender, boot, victim)).into_iter().enumerate() {
                came += bytes.len();
                us.hears(ms(10 * number as u64), victim, bytes);
                let there = |(to, _): &&(SocketAddr, Vec<u8>)| to.ip().to_string() == "10.6.6.6";
                sent += us.sent().iter().filter(there).map(|(_, bytes)| bytes.len()).sum::<usize>();
                assert!(sent <= 3 * came, "{sender}, boot {boot}, datagram {number}: {sent} for {came}");
            }
            // And nothing more of its own accord.
            let later = us.runs_until(ms(60_000));
            let there = later.iter().filter(|(to, _)| *to == victim.parse().unwrap()).count();
            assert_eq!(there, 0, "{sender}, boot {boot}");
        }
    }
}

#[test]
fn what_a_member_invents_is_little_and_hurts_nobody() {
    let (mut us, other, _) = cluster();
    // Many at one host that has nothing to do with it.
    us.told(ms(2), &other, |say| {
        let fake = |number: usize| identity(&format!("v{number}"), 1, &format!("10.6.6.6:{}", number + 1));
        for number in 0..25 {
            assert!(say.update(&about(&fake(number), 0, MemberState::Alive)));
        }
    });
    let sent = us.runs_until(ms(60_000));
    let there = |(to, _): &&(SocketAddr, Vec<u8>)| to.ip().to_string() == "10.6.6.6";
    let bytes: usize = sent.iter().filter(there).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= 8_192 + 60 * 64, "{bytes} bytes in a minute");
    assert!(Stats { ..*us.0.stats() }.datagrams_held_back > 0);
}

#[test]
fn what_a_member_invents_does_not_fill_the_table_and_who_comes_is_let_in() {
    let (mut us, other, _) = cluster();
    for number in 0..5_000 {
        let [high, low] = (number as u16).to_be_bytes();
        let fake = identity(&format!("m{number}"), 1, &format!("10.9.{high}.{low}:9"));
        us.told(ms(2), &other, |say| assert!(say.update(&about(&fake, 0, MemberState::Alive))));
    }
    let most = 64 * 3;
    assert_eq!(us.0.members.len() - us.0.members.met(), most);
    assert_eq!(us.0.contradiction(), None);
    // One that comes itself needs no room, and one that others tell of needs none if it is there.
    let (newcomer, there) = (identity("newcomer", 1, "10.0.0.9:1"), identity("there", 1, "10.0.0.11:1"));
    let news = datagram(&other, |say| assert!(say.update(&about(&there, 0, MemberState::Alive))));
    us.hears(ms(6), "10.0.0.2:1", news);
    assert!(us.0.members.find(key("there")).is_none());
    for (to, mut bytes) in us.sent() {
        if let Message::Ping { seq, .. } = read(&mut bytes).message
            && to == there.gossip
        {
            us.told(ms(7), &there, |say| say.message(&Message::Who { seq }));
        }
    }
    assert_eq!(us.state_of("there"), MemberState::Alive);
    us.joined(ms(8), &newcomer);
    assert_eq!(us.state_of("newcomer"), MemberState::Alive);
}

#[test]
fn a_member_that_was_restarted_is_known_by_its_first_answer() {
    let (mut us, ..) = cluster();
    let newer = identity("other", 9, "10.0.0.2:1");
    let slot = us.slot("other");
    let mut them = Alone::with(&Config::new(newer.clone()));
    us.0.ping(slot, key("other"), newer.gossip, Purpose::Probe { attempt: 2 });
    for (_, bytes) in us.sent() {
        them.hears(ms(2), US, bytes);
    }
    for (_, bytes) in them.sent() {
        us.hears(ms(3), "10.0.0.2:1", bytes);
    }
    assert_eq!(us.0.members.by_key(key("other")).unwrap().identity.boot, BootEpoch(9));
}

#[test]
fn a_node_that_took_a_newer_boot_is_met_again_from_any_datagram_of_it() {
    let (mut us, ..) = cluster();
    let newer = identity("other", 9, "10.0.0.2:1");
    let news = datagram(&newer, |say| assert!(say.update(&about(&newer, 0, MemberState::Alive))));
    us.hears(ms(5), "10.0.0.2:1", news);
    let seqs: Vec<u32> = us
        .sent()
        .into_iter()
        .filter_map(|(_, mut bytes)| match read(&mut bytes).message {
            Message::Ping { seq, .. } => Some(seq),
            _ => None,
        })
        .collect();
    for seq in seqs {
        us.told(ms(6), &newer, |say| say.message(&Message::Ack { seq }));
    }
    assert_eq!(us.0.members.by_key(key("other")).unwrap().identity.boot, BootEpoch(9));
}

#[test]
fn a_member_at_a_host_that_was_sent_enough_is_met_when_it_speaks() {
    let (mut us, other, _) = cluster();
    let told = identity("told", 1, "10.0.6.6:1");
    while us.0.hosts.take(told.gossip.ip(), 1, ms(2), Params::new(Timing::Lan).period) {}
    us.told(ms(2), &other, |say| assert!(say.update(&about(&told, 0, MemberState::Alive))));
    let reached = |sent: &[(SocketAddr, Vec<u8>)]| sent.iter().any(|(to, _)| *to == told.gossip);
    assert!(!reached(&us.runs_until(ms(500))), "this node must not ping it of its own accord");
    us.hears(
        ms(501),
        "10.0.6.6:1",
        datagram(&told, |say| {
            say.message(&Message::Ping { seq: 1, to: key("us"), from: Some((&told).into()) });
        }),
    );
    for (to, mut bytes) in us.sent() {
        if let Message::Ping { seq, .. } = read(&mut bytes).message
            && to == told.gossip
        {
            us.told(ms(502), &told, |say| say.message(&Message::Ack { seq }));
        }
    }
    assert!(us.0.members.by_key(key("told")).unwrap().is_proven(told.gossip));
}

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;

/// A source address can be forged, and a member's name taken: a boot that its true bearer could not outbid is believed of neither.
#[test]
fn a_boot_that_its_bearer_could_not_outbid_is_believed_of_nobody() {
    let mut us = Alone::new();
    let member = identity("member", 1, "10.0.0.2:1");
    us.joined(ms(1), &member);
    let known = |us: &Alone| {
        let peer = us.0.members.by_key(key("member")).unwrap();
        (peer.identity.boot, peer.identity.gossip, peer.incarnation)
    };
    let before = known(&us);
    let now = ms(2);
    for (hours, state) in
        [(47, MemberState::Left), (25, MemberState::Left), (47, MemberState::Dead), (47, MemberState::Alive)]
    {
        // In the member's name, from its address, as what it is now: and it says of a boot to come that it has left.
        let to_come = identity("member", hours * HOUR, "10.0.0.2:1");
        us.told(now, &member, |say| assert!(say.update(&about(&to_come, INCARNATION_MAX.0, state))));
        assert_eq!((known(&us), us.state_of("member")), (before, MemberState::Alive), "{hours} h, {state}");
        // The same name elsewhere, where it answers.
        let stranger = identity("member", hours * HOUR, "10.0.0.66:1");
        us.joined(now, &stranger);
        assert_eq!((known(&us), us.state_of("member")), (before, MemberState::Alive), "{hours} h, elsewhere");
    }
    // What lies within a day its bearer outbids; so it is believed, but not that such a boot has left.
    let to_come = identity("member", 23 * HOUR, "10.0.0.2:1");
    us.told(now, &member, |say| assert!(say.update(&about(&to_come, 0, MemberState::Left))));
    assert!(us.0.members.by_key(key("member")).unwrap().is_live());
    // Where it is, and only there, the member may be further ahead: it has had to outbid somebody.
    let outbid = identity("member", 30 * HOUR, "10.0.0.2:1");
    us.joined(now, &outbid);
    assert_eq!(known(&us).0, outbid.boot);
}

#[test]
fn what_others_may_believe_of_a_node_it_outbids_and_they_believe_that() {
    // Their clocks are hours ahead of this one: what is within a day for them is more than a day here.
    let mut us = Alone::new();
    let other = identity("other", 1, "10.0.0.2:1");
    us.joined(ms(1), &other);
    let former = identity("us", 30 * HOUR, US);
    us.told(ms(2), &other, |say| assert!(say.update(&about(&former, 0, MemberState::Dead))));
    assert_eq!(us.0.identity().boot, BootEpoch(30 * HOUR + 1));
    // It does not let itself be driven to where they would not believe it.
    let beyond = identity("us", 40 * HOUR, US);
    us.told(ms(3), &other, |say| assert!(say.update(&about(&beyond, 0, MemberState::Dead))));
    assert_eq!(us.0.identity().boot, BootEpoch(30 * HOUR + 1));
}
