//! What the dead are told.

use super::*;

/// At a dead member's address there may be another cluster's node by now.
#[test]
fn the_dead_are_asked_before_they_are_told_anything() {
    let mut us = Alone::new();
    let [dead, other] = [identity("b", 1, "10.0.0.2:1"), identity("c", 1, "10.0.0.3:1")];
    us.joined(ms(1), &dead);
    us.joined(ms(1), &other);
    let slot = us.slot("b");
    us.0.bury(slot, Incarnation(0));
    us.sent();
    us.0.knock(1);
    let sent = us.sent();
    let [(to, bytes)] = &sent[..] else { panic!("one ping, not {}", sent.len()) };
    let mut bytes = bytes.clone();
    let asked = read(&mut bytes);
    let Message::Ping { seq, from: None, .. } = asked.message else { panic!("{:?}", asked.message) };
    assert_eq!((*to, asked.lists.updates.len(), asked.load), (dead.gossip, 0, None));
    // It is there: now it hears that it is thought dead.
    us.hears(ms(5), "10.0.0.2:1", datagram(&dead, |say| say.message(&Message::Ack { seq })));
    let told = us.sent().into_iter().any(|(to, mut bytes)| {
        let datagram = read(&mut bytes);
        let ping = matches!(datagram.message, Message::Ping { .. });
        to == dead.gossip
            && ping
            && datagram.lists.updates.iter().any(|update| update.state == MemberState::Dead)
    });
    assert!(told);
    // One that has forgotten this node hears who asks as well.
    us.0.members.forget_introductions();
    us.0.knock(1);
    let asked = us.sent().into_iter().find_map(|(_, mut bytes)| match read(&mut bytes).message {
        Message::Ping { seq, .. } => Some(seq),
        _ => None,
    });
    let who = Message::Who { seq: asked.unwrap() };
    us.hears(ms(6), "10.0.0.2:1", datagram(&dead, |say| say.message(&who)));
    let introduced = us.sent().into_iter().any(|(to, mut bytes)| {
        to == dead.gossip && matches!(read(&mut bytes).message, Message::Ping { from: Some(_), .. })
    });
    assert!(introduced);
}
