//! Who is pinged, and whose answer counts.

use super::*;

#[test]
fn who_cannot_take_this_node_in_is_not_asked_for_ever() {
    let mut us = Alone::new();
    let full = identity("full", 1, "10.0.0.2:1");
    us.joined(ms(1), &full);
    let slot = us.slot("full");
    us.0.ping(slot, key("full"), full.gossip, Purpose::Probe { attempt: 1 });
    // It answers each ping that it does not know this node.
    let mut pings = us.sent();
    let mut rounds = 0;
    while let Some((_, mut ping)) = pings.pop() {
        let Message::Ping { seq, .. } = read(&mut ping).message else { continue };
        rounds += 1;
        assert!(rounds < 10, "asked again and again");
        us.hears(ms(2 + rounds), "10.0.0.2:1", datagram(&full, |say| say.message(&Message::Who { seq })));
        pings.extend(us.sent());
    }
    assert_eq!(us.state_of("full"), MemberState::Alive);
}

#[test]
fn who_has_forgotten_this_node_is_told_all_at_once_and_a_relay_says_nothing_false_of_it() {
    for answers in [true, false] {
        let mut us = Alone::new();
        let (target, origin) = (identity("target", 1, "10.0.0.2:1"), identity("origin", 1, "10.0.0.3:1"));
        us.joined(ms(1), &target);
        us.joined(ms(1), &origin);
        let slot = us.slot("target");
        us.0.members.get_mut(slot).unwrap().known_mut().introduced = Some(BootEpoch(1_000));
        us.0.probes.clear();
        us.told(ms(10), &origin, |_| ());
        let asked =
            datagram(&origin, |say| say.message(&Message::PingReq { seq: 77, target: key("target") }));
        us.hears(ms(10), "10.0.0.3:1", asked);
        let (_, mut ping) = us.sent().pop().unwrap();
        let Message::Ping { seq, from: None, .. } = read(&mut ping).message else { panic!("a bare ping") };
        us.hears(ms(11), "10.0.0.2:1", datagram(&target, |say| say.message(&Message::Who { seq })));
        let (_, mut ping) = us.sent().pop().unwrap();
        let Message::Ping { seq, from: Some(_), .. } = read(&mut ping).message else { panic!("all of it") };
        let mut sent = Vec::new();
        if answers {
            us.hears(ms(12), "10.0.0.2:1", datagram(&target, |say| say.message(&Message::Ack { seq })));
            sent.extend(us.sent());
        }
        sent.extend(us.runs_until(ms(900)));
        let mut said = Vec::new();
        for (_, mut bytes) in sent.into_iter().filter(|(to, _)| *to == origin.gossip) {
            match read(&mut bytes).message {
                Message::Relayed { seq: 77, .. } => said.push("answered"),
                Message::Nack { seq: 77 } => said.push("not answered"),
                _ => {}
            }
        }
        assert_eq!(said, [if answers { "answered" } else { "not answered" }]);
    }
}

#[test]
fn a_turn_that_finds_a_suspect_of_others_is_not_in_vain() {
    for seed in 0..20 {
        let mut us = Alone(Swim::new(&Config::new(identity("us", 1_000, US)), seed, Time::ZERO), Vec::new());
        let others: Vec<Identity> =
            (0..200).map(|i| identity(&format!("n{i}"), 1, &format!("10.0.1.{i}:1"))).collect();
        for other in &others {
            us.joined(ms(1), other);
        }
        us.0.probes.clear();
        us.0.measure.clear();
        us.0.watch.clear();
        us.0.now = ms(5_000);
        for timer in [Timer::Period, Timer::Measure, Timer::Converge, Timer::Gossip] {
            us.0.timers.clear(timer);
        }
        let slot = us.slot("n7");
        us.0.probe(slot, Kind::Turn);
        us.0.suspect(slot, Incarnation(0), Some(key("n9")));
        us.sent();
        for step in 1..=20 {
            // Others are heard of meanwhile.
            us.hears(ms(5_000 + step * 100), "10.0.1.9:1", datagram(&others[9], |_| ()));
            us.runs_until(ms(5_000 + step * 100));
        }
        let own = us.0.suspicions.get(&slot).is_none_or(|doubt| doubt.spokesman(us.0.key) == Some(us.0.key));
        assert!(own, "seed {seed}: its own silence towards this node was never told");
    }
}

#[test]
fn an_answer_from_elsewhere_proves_no_address() {
    let mut us = Alone::new();
    let liar = identity("liar", 1, "10.9.9.9:53");
    us.joined_from(ms(1), &liar, "10.0.5.1:6");
    us.hears(
        ms(2),
        "10.0.5.1:7",
        datagram(&liar, |say| {
            say.message(&Message::Ping { seq: 5, to: key("us"), from: None });
        }),
    );
    let seqs: Vec<u32> = us
        .sent()
        .into_iter()
        .filter_map(|(to, mut bytes)| match read(&mut bytes).message {
            Message::Ping { seq, .. } if to == "10.0.5.1:7".parse().unwrap() => Some(seq),
            _ => None,
        })
        .collect();
    assert!(!seqs.is_empty(), "it is pinged where it came from");
    for seq in seqs {
        us.hears(ms(3), "10.0.5.1:8", datagram(&liar, |say| say.message(&Message::Ack { seq })));
    }
    us.sent();
    let peer = us.0.members.by_key(key("liar")).unwrap();
    assert!(!peer.is_proven(liar.gossip) && !peer.is_proven("10.0.5.1:7".parse().unwrap()));
    assert_eq!(peer.address(), "10.0.5.1:6".parse().unwrap(), "it is met where it spoke from");
    // What it says now is no reason to send much to whose address it claims.
    let mut bytes = 0;
    for round in 0..100 {
        us.hears(ms(10_000 + round * 100), "10.0.5.1:7", datagram(&liar, |_| ()));
        bytes += us
            .sent()
            .iter()
            .filter(|(to, _)| *to == liar.gossip)
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>();
    }
    assert!(bytes <= DATAGRAM_BYTES_MAX, "{bytes} bytes to somebody who never asked");
}

#[test]
fn who_answers_where_it_is_told_to_be_is_proven_there() {
    let mut us = Alone::new();
    let other = identity("other", 1, "10.0.0.2:1");
    us.joined(ms(1), &other);
    let slot = us.slot("other");
    let seq = us.0.ping(slot, key("other"), other.gossip, Purpose::Probe { attempt: 1 });
    us.told(ms(2), &other, |say| say.message(&Message::Ack { seq }));
    assert!(us.0.members.get(slot).unwrap().is_proven(other.gossip));
}

#[test]
fn newcomers_to_be_measured_are_bounded_and_their_pings_spread() {
    let mut us = Alone::new();
    let teller = identity("teller", 1, "10.0.0.2:1");
    us.joined(ms(1), &teller);
    // The same member again and again, each time as a newer boot.
    for boot in 1..4_000 {
        let flapping = identity("flapping", boot, "10.0.0.3:1");
        us.told(ms(2), &teller, |say| assert!(say.update(&about(&flapping, 0, MemberState::Alive))));
    }
    us.told_of(ms(2), &teller, 0..2_000, MemberState::Alive);
    assert!(us.0.sizes().iter().all(|(what, size, most)| size <= most || panic!("{what}: {size} of {most}")));
    let probes = us.0.probes.len();
    us.0.handle(ms(3), Input::Timeout);
    us.told_of(ms(3), &teller, 2_000..2_100, MemberState::Alive);
    us.0.handle(ms(4), Input::Timeout);
    assert!(us.0.probes.len() <= probes + 4, "four at once: {} after {probes}", us.0.probes.len());
}

#[test]
fn a_refused_datagram_makes_this_node_look_closer_whatever_it_was() {
    let mut us = Alone::new();
    let gone = identity("gone", 1, "10.0.0.2:1");
    us.joined(ms(1), &gone);
    us.0.probes.clear();
    us.0.handle(ms(2), Input::Refused(gone.gossip));
    let slot = us.slot("gone");
    assert!(us.0.probes.iter().any(|probe| probe.slot == slot && probe.kind == Kind::Turn));
    assert_eq!(us.state_of("gone"), MemberState::Alive, "that is no verdict");
    // Of whom nobody is a member, nothing is concluded.
    us.0.handle(ms(3), Input::Refused("10.0.0.99:1".parse().unwrap()));
    assert_eq!(us.0.probes.len(), 1);
}

#[test]
fn an_overloaded_node_pings_nobody_for_others_and_says_so_at_once() {
    let mut us = Alone::new();
    let (target, origin) = (identity("target", 1, "10.0.0.2:1"), identity("origin", 1, "10.0.0.3:1"));
    us.joined(ms(1), &target);
    us.joined(ms(1), &origin);
    us.0.probes.clear();
    us.told(ms(10), &origin, |_| ());
    us.sent();
    let (late, period) = (us.0.params.period / 2, us.0.params.period);
    (0..20).for_each(|_| us.0.backlog.observe(late, period));
    let asked = datagram(&origin, |say| say.message(&Message::PingReq { seq: 77, target: key("target") }));
    us.hears(ms(10), "10.0.0.3:1", asked);
    let mut sent = us.sent();
    assert_eq!(sent.len(), 1, "and nothing to the target");
    let (to, bytes) = &mut sent[0];
    assert!(*to == origin.gossip && matches!(read(bytes).message, Message::Nack { seq: 77 }));
    assert_eq!((us.0.relays.len(), us.0.stats.relays_shed), (0, 1));
}
