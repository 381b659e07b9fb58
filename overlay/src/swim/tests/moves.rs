//! Nodes whose address changes, and members that are elsewhere than they say.

use super::*;

/// The number of a ping that went there.
fn asked(sent: Vec<(SocketAddr, Vec<u8>)>, there: SocketAddr) -> Option<u32> {
    sent.into_iter().filter(|(to, _)| *to == there).find_map(|(_, mut bytes)| {
        if let Message::Ping { seq, .. } = read(&mut bytes).message { Some(seq) } else { None }
    })
}

/// Moves that were told, where to and where from.
fn moves(us: &mut Alone) -> Vec<(SocketAddr, SocketAddr)> {
    us.sent();
    let told = us.1.iter().filter_map(|event| match event {
        crate::Event::Moved { member, from } => Some((member.identity.gossip, *from)),
        _ => None,
    });
    told.collect()
}

/// A node whose address changes says so in the same boot: what it does for others goes on.
#[test]
fn a_node_that_moves_is_known_at_its_new_address_in_the_same_boot() {
    let mut us = Alone::new();
    let other = identity("b", 1_000, "10.0.0.2:1");
    us.joined(ms(1), &other);
    us.0.handle(ms(2), Input::Address("10.0.0.9:1".parse().unwrap()));
    let me = us.0.identity().clone();
    assert_eq!((me.boot, me.gossip.to_string().as_str()), (BootEpoch(1_000), "10.0.0.9:1"));
    assert_eq!(us.0.incarnation(), Incarnation(1));
    // Old news of itself is no namesake's.
    let before = identity("us", 1_000, "10.0.0.1:1");
    us.told(ms(3), &other, |say| assert!(say.update(&about(&before, 0, MemberState::Alive))));
    assert_eq!((us.0.identity().boot, us.0.incarnation()), (BootEpoch(1_000), Incarnation(1)));
    let told = us.runs_until(ms(100)).into_iter().any(|(_, mut bytes)| {
        read(&mut bytes).lists.updates.iter().any(|update| {
            matches!(&update.subject, Subject::Full(record) if record.gossip() == me.gossip)
                && update.incarnation == Incarnation(1)
        })
    });
    assert!(told, "and the others hear of it");
}

/// What others say of a move may be a lie: the member is asked where it is said to be.
#[test]
fn a_move_that_others_tell_of_is_followed_when_the_member_has_answered_there() {
    let mut us = Alone::new();
    let [old, teller] = [identity("b", 1, "10.0.0.2:1"), identity("c", 1, "10.0.0.3:1")];
    us.joined(ms(1), &old);
    us.joined(ms(1), &teller);
    let new = Identity { gossip: "10.0.0.4:1".parse().unwrap(), ..old.clone() };
    let told = || datagram(&teller, |say| assert!(say.update(&about(&new, 1, MemberState::Alive))));
    us.hears(ms(2), "10.0.0.3:1", told());
    let seq = asked(us.sent(), new.gossip).expect("it is asked there");
    let known = |us: &Alone| {
        let peer = us.0.members.by_key(key("b")).unwrap();
        (peer.identity.gossip, peer.incarnation)
    };
    assert_eq!(known(&us), (old.gossip, Incarnation(0)));
    us.hears(ms(3), "10.0.0.3:1", told());
    assert_eq!(asked(us.sent(), new.gossip), None, "once for all that tell of it at the same time");
    // It is there, in the incarnation in which it was before: nobody has moved.
    let head = Head::new(key("b"), new.boot, Incarnation(0), 0);
    us.hears(ms(4), "10.0.0.2:1", datagram_of(&head, |say| say.message(&Message::Ack { seq })));
    assert_eq!(known(&us), (old.gossip, Incarnation(0)));
    us.sent();
    us.hears(ms(500), "10.0.0.3:1", told());
    let seq = asked(us.sent(), new.gossip).expect("it is asked again");
    let head = Head::new(key("b"), new.boot, Incarnation(1), 0);
    us.hears(ms(501), "10.0.0.4:1", datagram_of(&head, |say| say.message(&Message::Ack { seq })));
    assert_eq!(known(&us), (new.gossip, Incarnation(1)));
    assert!(us.0.members.by_key(key("b")).unwrap().is_proven(new.gossip));
    assert_eq!(moves(&mut us), [(new.gossip, old.gossip)]);
}

/// Whoever can put a member's address on a datagram still moves it nowhere.
#[test]
fn a_datagram_in_a_members_name_and_from_its_address_does_not_move_it() {
    let mut us = Alone::new();
    let member = identity("b", 1, "10.0.0.2:1");
    us.joined(ms(1), &member);
    let victim = Identity { gossip: "10.6.6.6:6".parse().unwrap(), ..member.clone() };
    let head = Head::new(key("b"), member.boot, Incarnation(7), 0);
    let lies: [&dyn Fn(&mut Encoder); 3] = [
        &|say| say.message(&Message::Ping { seq: 1, to: key("us"), from: Some((&victim).into()) }),
        &|say| say.message(&Message::Join { seq: 1, from: (&victim).into() }),
        &|say| assert!(say.update(&about(&victim, 7, MemberState::Alive))),
    ];
    for (lie, number) in lies.into_iter().zip(1..) {
        for from in ["10.0.0.2:1", "10.6.6.6:6"] {
            us.hears(ms(number * 1_000), from, datagram_of(&head, lie));
            let peer = us.0.members.by_key(key("b")).unwrap();
            assert_eq!(peer.identity.gossip, member.gossip, "{number} from {from}");
            // The member itself hears of the question, where it is, and knows nothing of any move.
            if let Some(seq) = asked(us.sent(), member.gossip) {
                let answer = datagram(&member, |say| say.message(&Message::Ack { seq }));
                us.hears(ms(number * 1_000 + 1), "10.0.0.2:1", answer);
            }
            assert_eq!(us.0.members.by_key(key("b")).unwrap().identity.gossip, member.gossip);
        }
    }
    assert_eq!(moves(&mut us), []);
}

/// The node that others were told has moved takes that back, whatever its address is.
#[test]
fn a_move_that_never_was_is_taken_back() {
    for elsewhere in ["10.0.0.0:1", "10.9.9.9:9"] {
        let mut us = Alone::new();
        let teller = identity("c", 1, "10.0.0.3:1");
        us.joined(ms(1), &teller);
        let lie = identity("us", 1_000, elsewhere);
        us.told(ms(2), &teller, |say| assert!(say.update(&about(&lie, 5, MemberState::Alive))));
        assert_eq!((us.0.identity().boot, us.0.incarnation()), (BootEpoch(1_001), Incarnation(0)));
        assert_eq!(us.0.identity().gossip.to_string(), US);
    }
}

/// A relay tells a member's new incarnation, and not its new address.
#[test]
fn a_member_whose_new_incarnation_came_first_is_followed_all_the_same() {
    let mut us = Alone::new();
    let [old, relay] = [identity("b", 1, "10.0.0.2:1"), identity("c", 1, "10.0.0.3:1")];
    us.joined(ms(1), &old);
    us.joined(ms(1), &relay);
    let slot = us.slot("b");
    let seq = us.0.ping(slot, key("b"), old.gossip, Purpose::Probe { attempt: 1 });
    us.sent();
    us.told(ms(2), &relay, |say| {
        let (target, boot) = (key("b"), old.boot);
        say.message(&Message::Relayed { seq, target, boot, incarnation: Incarnation(1) });
    });
    assert_eq!(us.0.members.by_key(key("b")).unwrap().incarnation, Incarnation(1));
    let new = Identity { gossip: "10.0.0.4:1".parse().unwrap(), ..old.clone() };
    let head = Head::new(key("b"), new.boot, Incarnation(1), 0);
    let ping = Message::Ping { seq: 9, to: key("us"), from: Some((&new).into()) };
    us.hears(ms(3), "10.0.0.4:1", datagram_of(&head, |say| say.message(&ping)));
    let seq = asked(us.sent(), new.gossip).expect("it is asked where it speaks from");
    us.hears(ms(4), "10.0.0.4:1", datagram_of(&head, |say| say.message(&Message::Ack { seq })));
    us.sent();
    us.hears(ms(5), "10.0.0.4:1", datagram_of(&head, |say| say.message(&ping)));
    assert_eq!(us.0.members.by_key(key("b")).unwrap().identity.gossip, new.gossip);
    assert_eq!(moves(&mut us), [(new.gossip, old.gossip)]);
}

/// What a member says from a new address counts when it has answered there, and its new incarnation only with its new address.
#[test]
fn a_member_that_moves_is_asked_where_it_speaks_from() {
    let mut us = Alone::new();
    let old = identity("b", 1, "10.0.0.2:1");
    us.joined(ms(1), &old);
    let new = Identity { gossip: "10.0.0.4:1".parse().unwrap(), ..old.clone() };
    let from = new.gossip.to_string();
    let head = Head::new(key("b"), new.boot, Incarnation(1), 0);
    // It answers a question that it got there before it has said where it is.
    let slot = us.slot("b");
    us.0.ping(slot, key("b"), new.gossip, Purpose::Probe { attempt: 2 });
    let seq = asked(us.sent(), new.gossip).unwrap();
    us.hears(ms(2), &from, datagram_of(&head, |say| say.message(&Message::Ack { seq })));
    us.sent();
    assert_eq!(us.0.members.by_key(key("b")).unwrap().incarnation, Incarnation(0));
    // Now it says it. That counts for nothing until it has answered.
    let ping = Message::Ping { seq: 9, to: key("us"), from: Some((&new).into()) };
    us.hears(ms(1_500), &from, datagram_of(&head, |say| say.message(&ping)));
    let seq = asked(us.sent(), new.gossip).expect("it is asked");
    assert_eq!(us.0.members.by_key(key("b")).unwrap().identity.gossip, old.gossip);
    us.hears(ms(1_501), &from, datagram_of(&head, |say| say.message(&Message::Ack { seq })));
    let peer = us.0.members.by_key(key("b")).unwrap();
    assert_eq!((peer.identity.gossip, peer.incarnation), (new.gossip, Incarnation(1)));
    assert!(peer.is_proven(new.gossip) && !peer.is_proven(old.gossip));
}

/// Its address is wrong, or a NAT is on the way.
#[test]
fn a_newcomer_that_answers_from_elsewhere_than_it_says_is_told_of_once() {
    let mut us = Alone::new();
    let newcomer = identity("b", 1, "127.0.1.1:1");
    let join = datagram(&newcomer, |say| say.message(&Message::Join { seq: 1, from: (&newcomer).into() }));
    us.hears(ms(1), "10.0.0.2:1", join);
    let mut elsewhere = Vec::new();
    for at in 2..200 {
        let mut sent = Vec::new();
        loop {
            match us.0.poll() {
                Output::Event(crate::Event::Elsewhere { member, heard_at }) => {
                    elsewhere.push((member.identity.gossip, heard_at));
                }
                Output::Send { to, bytes } if to == "10.0.0.2:1".parse().unwrap() => sent.push(bytes),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        for mut bytes in sent {
            if let Message::Ping { seq, .. } = read(&mut bytes).message {
                let ack = datagram(&newcomer, |say| say.message(&Message::Ack { seq }));
                us.hears(ms(at * 50), "10.0.0.2:1", ack);
            }
        }
        us.0.handle(ms(at * 50), Input::Timeout);
    }
    assert_eq!(elsewhere, [(newcomer.gossip, "10.0.0.2:1".parse().unwrap())]);
}
