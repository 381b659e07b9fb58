//! What is said of clusters, and who is believed.

use super::*;
use crate::wire::ClusterClaim;
use crate::{ClusterId, ClusterIdentity, Event, Keyring, Rejection, Timing};

fn settled(id: u64) -> ClusterIdentity {
    ClusterIdentity { id: ClusterId(id), settled: true }
}

fn fresh(id: u64) -> ClusterIdentity {
    ClusterIdentity::fresh(ClusterId(id))
}

fn of(identity: ClusterIdentity) -> ClusterClaim {
    ClusterClaim { identity, exact: false, period: Some(Timing::Lan.period()) }
}

fn exactly(identity: ClusterIdentity) -> ClusterClaim {
    ClusterClaim { exact: true, ..of(identity) }
}

/// A node of this cluster.
fn node(cluster: ClusterIdentity) -> Alone {
    let mut config = Config::new(identity("us", 1_000, US));
    config.cluster_identity = Some(cluster);
    Alone::with(&config)
}

/// What was sent there, and what each says of its sender's cluster.
fn claims(
    sent: Vec<(SocketAddr, Vec<u8>)>,
    there: SocketAddr,
) -> Vec<(Message<'static>, Option<ClusterClaim>)> {
    let there = sent.into_iter().filter(|(to, _)| *to == there);
    there
        .map(|(_, mut bytes)| {
            let datagram = read(&mut bytes);
            let message = match datagram.message {
                Message::Ping { seq, to, .. } => Message::Ping { seq, to, from: None },
                Message::Ack { seq } => Message::Ack { seq },
                Message::Who { seq } => Message::Who { seq },
                Message::Welcome { seq } => Message::Welcome { seq },
                Message::Join { seq, .. } => Message::Nack { seq },
                _ => Message::News,
            };
            (message, datagram.cluster)
        })
        .collect()
}

/// This one joins, and says of each datagram which cluster it belongs to.
fn joins(us: &mut Alone, who: &Identity, cluster: ClusterIdentity) -> Vec<Message<'static>> {
    let join = datagram(who, |say| {
        say.cluster(&of(cluster));
        say.message(&Message::Join { seq: 1, from: who.into() });
    });
    us.hears(ms(1), &who.gossip.to_string(), join);
    let mut answers = Vec::new();
    for (message, claim) in claims(us.sent(), who.gossip) {
        assert_eq!(claim.map(|claim| claim.identity), us.0.cluster(), "{message:?}");
        if let Message::Ping { seq, .. } = message {
            let ack = datagram(who, |say| {
                say.cluster(&of(cluster));
                say.message(&Message::Ack { seq });
            });
            us.hears(ms(2), &who.gossip.to_string(), ack);
        }
        answers.push(message);
    }
    us.sent();
    answers
}

#[test]
fn without_a_key_settled_clusters_do_not_take_each_others_nodes_in() {
    let other = identity("b", 1, "10.0.0.2:1");
    let mut us = node(settled(1));
    assert_eq!(
        joins(&mut us, &other, settled(2)),
        [Message::Who { seq: 1 }],
        "it hears why, and nothing else"
    );
    assert_eq!(us.0.live(), 1);
    assert_eq!(us.0.stats().rejected.of(Rejection::OtherCluster), 1);
    let (ours, theirs) = (ClusterId(1), ClusterId(2));
    us.hears(
        ms(5),
        "10.0.0.2:1",
        datagram(&other, |say| {
            say.cluster(&of(settled(2)));
            say.message(&Message::Ping { seq: 5, to: key("us"), from: Some((&other).into()) });
        }),
    );
    assert_eq!(us.0.rejected(), Some(DecodeError::OtherCluster { ours, theirs }));
    assert_eq!(claims(us.sent(), other.gossip), [(Message::Who { seq: 5 }, Some(of(settled(1))))]);
    // Whoever is not settled, or says nothing of it, is let in, and gives way.
    for cluster in [fresh(0), settled(1), fresh(1)] {
        let mut us = node(settled(1));
        joins(&mut us, &other, cluster);
        assert_eq!((us.0.live(), us.0.cluster()), (2, Some(settled(1))), "{cluster:?}");
    }
    let mut us = node(settled(1));
    us.joined(ms(1), &other);
    assert_eq!(us.0.live(), 2);
}

#[test]
fn what_only_members_of_one_cluster_may_answer_is_refused_by_all_others() {
    let other = identity("b", 1, "10.0.0.2:1");
    for (ours, theirs) in [(fresh(1), settled(2)), (settled(1), fresh(2)), (fresh(2), fresh(1))] {
        let mut us = node(ours);
        let exact = exactly(theirs);
        let join = datagram(&other, |say| {
            say.cluster(&exact);
            say.message(&Message::Join { seq: 1, from: (&other).into() });
        });
        us.hears(ms(1), "10.0.0.2:1", join);
        assert_eq!(claims(us.sent(), other.gossip), [(Message::Who { seq: 1 }, Some(of(ours)))]);
        assert_eq!(us.0.live(), 1);
    }
}

/// Where a member was once another cluster's node may be.
#[test]
fn an_address_of_before_changes_no_id_and_brings_no_member_of_another_cluster() {
    let contact: SocketAddr = "10.0.0.2:1".parse().unwrap();
    let there = identity("b", 1, "10.0.0.2:1");
    for (theirs, members) in [(Some(settled(1)), 1), (Some(fresh(1)), 1), (Some(fresh(9)), 2), (None, 2)] {
        let mut us = node(fresh(9));
        us.0.handle(ms(1), Input::Contacts(&[contact]));
        let sent = claims(us.sent(), contact);
        let [(Message::Nack { seq }, Some(claim))] = sent[..] else { panic!("{sent:?}") };
        assert_eq!(claim, exactly(fresh(9)));
        let welcome = datagram(&there, |say| {
            if let Some(theirs) = theirs {
                say.cluster(&of(theirs));
            }
            say.message(&Message::Welcome { seq });
            assert!(say.update(&about(&there, 0, MemberState::Alive)));
        });
        us.hears(ms(2), "10.0.0.2:1", welcome);
        assert_eq!((us.0.live(), us.0.cluster()), (members, Some(fresh(9))), "{theirs:?}");
    }
}

#[test]
fn a_seed_that_is_joined_may_change_an_id() {
    let seed: SocketAddr = "10.0.0.2:1".parse().unwrap();
    let there = identity("b", 1, "10.0.0.2:1");
    for (ours, theirs, then) in [
        (fresh(5), fresh(4), fresh(4)),
        (fresh(5), fresh(6), fresh(5)),
        (fresh(5), settled(6), settled(6)),
        (settled(5), fresh(4), settled(5)),
        (fresh(5), settled(5), settled(5)),
    ] {
        let mut us = node(ours);
        us.0.handle(ms(1), Input::Seeds(&[seed]));
        let sent = claims(us.sent(), seed);
        let [(Message::Nack { seq }, Some(claim))] = sent[..] else { panic!("{sent:?}") };
        assert_eq!(claim, of(ours));
        let welcome = datagram(&there, |say| {
            say.cluster(&of(theirs));
            say.message(&Message::Welcome { seq });
            assert!(say.update(&about(&there, 0, MemberState::Alive)));
        });
        us.hears(ms(2), "10.0.0.2:1", welcome);
        assert_eq!((us.0.live(), us.0.cluster()), (2, Some(then)), "{ours:?} {theirs:?}");
    }
}

/// Anyone can send a datagram in a member's name; only its answer to a ping counts.
#[test]
fn a_member_changes_an_id_only_when_it_is_asked() {
    let member = identity("b", 1, "10.0.0.2:1");
    let mut us = node(fresh(5));
    joins(&mut us, &member, fresh(5));
    let says = datagram(&member, |say| say.cluster(&of(fresh(4))));
    us.hears(ms(10), "10.0.0.2:1", says.clone());
    assert_eq!(us.0.cluster(), Some(fresh(5)));
    let sent = claims(us.sent(), member.gossip);
    let [(Message::Ping { seq, .. }, _)] = sent[..] else { panic!("{sent:?}") };
    us.hears(ms(11), "10.0.0.2:1", says);
    assert_eq!(claims(us.sent(), member.gossip), [], "one question at a time");
    let ack = datagram(&member, |say| {
        say.cluster(&of(fresh(4)));
        say.message(&Message::Ack { seq });
    });
    us.hears(ms(12), "10.0.0.2:1", ack);
    assert_eq!(us.0.cluster(), Some(fresh(4)));
    // A stranger, from anywhere, changes nothing.
    let stranger = identity("s", 1, "10.6.6.6:6");
    let join = datagram(&stranger, |say| {
        say.cluster(&of(settled(0)));
        say.message(&Message::Join { seq: 1, from: (&stranger).into() });
    });
    us.hears(ms(13), "10.6.6.6:6", join);
    assert_eq!(us.0.cluster(), Some(fresh(4)));
}

#[test]
fn who_shares_an_id_is_told_no_more_of_it_and_who_knows_of_none_is_let_alone() {
    let mut us = node(fresh(5));
    let [new, old] = [identity("b", 1, "10.0.0.2:1"), identity("c", 1, "10.0.0.3:1")];
    joins(&mut us, &new, fresh(5));
    us.joined(ms(3), &old);
    for (member, number) in [(&new, 10), (&old, 20)] {
        let slot = us.slot(member.name.as_str());
        us.0.ping(slot, NodeKey::of(&member.name), member.gossip, Purpose::Probe { attempt: 2 });
        let sent = claims(us.sent(), member.gossip);
        assert_eq!(sent.iter().map(|(_, claim)| *claim).collect::<Vec<_>>(), [None], "{}", member.name);
        // Whoever says it hears it.
        let ping = datagram(member, |say| {
            say.cluster(&of(fresh(5)));
            say.message(&Message::Ping { seq: number, to: key("us"), from: None });
        });
        us.hears(ms(u64::from(number)), &member.gossip.to_string(), ping);
        let sent = claims(us.sent(), member.gossip);
        assert_eq!(sent, [(Message::Ack { seq: number }, Some(of(fresh(5))))], "{}", member.name);
    }
}

/// Members share a timing profile; a node of an older release does not say which it has.
#[test]
fn a_member_with_another_timing_is_told_of_and_no_other_one_for_a_minute() {
    let mut us = node(fresh(5));
    let wan = ClusterClaim { period: Some(Timing::Wan.period()), ..of(fresh(5)) };
    let told = |us: &mut Alone| -> Vec<(String, Duration, Duration)> {
        us.sent();
        let events = std::mem::take(&mut us.1).into_iter();
        let told = events.filter_map(|event| match event {
            Event::OtherTiming { member, theirs, ours } => {
                Some((member.identity.name.to_string(), theirs, ours))
            }
            _ => None,
        });
        told.collect()
    };
    let says = |us: &mut Alone, at: u64, who: &Identity, claim: ClusterClaim| {
        let news = datagram(who, |say| say.cluster(&claim));
        us.hears(ms(at), &who.gossip.to_string(), news);
        told(us)
    };
    let [same, old, slow, other] =
        ["b", "c", "d", "e"].map(|name| identity(name, 1, &format!("10.0.0.{}:1", name.as_bytes()[0])));
    for member in [&same, &old, &slow, &other] {
        us.joined(ms(1), member);
    }
    told(&mut us);
    assert_eq!(says(&mut us, 10, &same, of(fresh(5))), []);
    assert_eq!(says(&mut us, 10, &old, ClusterClaim { period: None, ..wan }), []);
    // Who is no member says what it likes.
    let stranger = identity("s", 1, "10.6.6.6:6");
    assert_eq!(says(&mut us, 10, &stranger, wan), []);
    let (theirs, ours) = (Duration::from_secs(3), Duration::from_secs(1));
    assert_eq!(says(&mut us, 20, &slow, wan), [("d".into(), theirs, ours)]);
    assert_eq!(says(&mut us, 59_000, &other, wan), []);
    assert_eq!(says(&mut us, 60_030, &other, wan), [("e".into(), theirs, ours)]);
}

#[test]
fn with_a_key_the_lower_of_two_settled_ids_counts() {
    let mut config = Config::new(identity("us", 1_000, US));
    config.cluster_identity = Some(settled(5));
    config.keys = Some(Keyring::new([7; crate::KEY_BYTES]));
    let mut us = Alone::with(&config);
    let seal = Seal::new("starling", config.keys.as_ref(), Versions::SPOKEN);
    let seed = identity("b", 1, "10.0.0.2:1");
    us.0.handle(ms(1), Input::Seeds(&[seed.gossip]));
    let (_, mut bytes) = us.sent().remove(0);
    let Message::Join { seq, .. } = decode(&seal, &mut bytes, Lists::default()).unwrap().message else {
        panic!()
    };
    let head = Head::new(key("b"), seed.boot, Incarnation(0), 0);
    let mut say = Encoder::new(Vec::new(), &seal, 1, &mut ChaCha8Rng::seed_from_u64(1), &head);
    say.cluster(&of(settled(4)));
    say.message(&Message::Welcome { seq });
    assert!(say.update(&about(&seed, 0, MemberState::Alive)));
    us.hears(ms(2), "10.0.0.2:1", say.finish(&seal));
    assert_eq!((us.0.live(), us.0.cluster()), (2, Some(settled(4))));
}
