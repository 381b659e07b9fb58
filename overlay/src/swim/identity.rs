//! What the others say of this node, and who else may be using its name.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Event, Phase, Swim, Timer};
use crate::pings::{Ping, Purpose};
use crate::precedence::INCARNATION_MAX;
use crate::wire::{Datagram, Message, Record, Subject, Update};
use crate::{BootEpoch, Incarnation, MemberState};

/// The cluster believes in a newer boot of this node, at another address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conflict {
    other: SocketAddr,
    boot: BootEpoch,
    tries: u8,
}

/// Pings without an answer until the other one counts as a former self of this node.
const CONFLICT_TRIES: u8 = 6;

impl Swim {
    /// News about this node itself.
    pub(super) fn learn_about_myself(&mut self, update: &Update<Record<'_>>, boot: BootEpoch) {
        if self.phase != Phase::Running {
            return;
        }
        let contradicts = match update.state {
            MemberState::Alive => update.incarnation > self.incarnation,
            _ => update.incarnation >= self.incarnation,
        };
        if boot == self.me.boot
            && let Subject::Full(record) = &update.subject
            && !self.is_own(record.gossip())
        {
            if contradicts {
                // The others are told that this node has moved, where it has not. Only a newer boot takes that back.
                self.outbid(boot);
            } else {
                self.break_tie(record.gossip());
            }
        } else if boot == self.me.boot && contradicts {
            self.refute(update.incarnation);
        } else if boot > self.me.boot
            && let Subject::Full(record) = &update.subject
            && let Some(other) = record.identity().map(|identity| identity.gossip)
        {
            if other == self.me.gossip {
                // An earlier self, started when the clock was ahead.
                self.outbid(boot);
            } else if self.conflict.is_none_or(|conflict| conflict.boot < boot) {
                self.conflict = Some(Conflict { other, boot, tries: 0 });
                self.timers.set(Timer::Conflict, self.now);
            }
        }
    }

    /// Another node has this node's name and started in the same millisecond: the one with the greater address gets
    /// the newer boot.
    fn break_tie(&mut self, other: SocketAddr) {
        if self.me.gossip > other {
            self.outbid(self.me.boot);
        }
    }

    /// Contradicts whatever was said of an incarnation of this node.
    fn refute(&mut self, said: Incarnation) {
        if said >= INCARNATION_MAX {
            // No incarnation is left to refute with: begin a new boot.
            return self.outbid(self.me.boot);
        }
        self.incarnation = Incarnation(said.0 + 1);
        self.health.worse(1);
        self.stats.refutations += 1;
        self.membership_version += 1;
        self.spread(self.key);
    }

    /// Takes a boot epoch above `boot`, so that this node's word counts again. There is one: what lies too far ahead of the
    /// clock is not believed of anybody.
    pub(super) fn outbid(&mut self, boot: BootEpoch) {
        let boot = BootEpoch(boot.max(self.me.boot).0 + 1);
        self.me = Arc::new(crate::Identity { boot, ..(*self.me).clone() });
        self.incarnation = Incarnation(0);
        self.conflict = None;
        self.timers.clear(Timer::Conflict);
        self.disturbed();
        self.membership_version += 1;
        self.spread(self.key);
    }

    /// Is the other bearer of this node's name alive, or was it this node itself, once?
    pub(super) fn on_conflict_check(&mut self) {
        let Some(conflict) = &mut self.conflict else { return };
        let (boot, other) = (conflict.boot, conflict.other);
        if conflict.tries == CONFLICT_TRIES {
            return self.outbid(boot);
        }
        conflict.tries += 1;
        let turn = u32::from(conflict.tries - 1);
        let seq =
            self.pings.add(Ping { target: self.key, to: other, sent: self.now, purpose: Purpose::Conflict });
        let me = self.me.clone();
        self.asked_in = Some(me.versions.in_turn(turn));
        self.send(other, None, &Message::Ping { seq, to: self.key, from: Some((&*me).into()) });
        self.asked_in = None;
        // All of them within a period: until it has its word again this node may be taken for dead.
        self.timers.set(Timer::Conflict, self.now + self.params.timeout_unmeasured() / 2);
    }

    /// A datagram of a node with this node's name: this one (through a reflector), or another. Anyone can send that, so what it
    /// says counts when the other one has answered a ping.
    pub(super) fn on_namesake(&mut self, from: SocketAddr, datagram: &Datagram<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        let boot = datagram.head.boot();
        let elsewhere = |record: &Record<'_>| !self.is_own(record.gossip());
        match &datagram.message {
            Message::Ping { seq, to, from: record }
                if *to == self.key && (boot != self.me.boot || record.as_ref().is_some_and(elsewhere)) =>
            {
                self.send_within(from, None, &Message::Ack { seq: *seq }, 0, None);
                self.ask_namesake(from);
            }
            // It wants to join through this node; what it hears of its name elsewhere will tell it more.
            Message::Join { from: record, .. } if boot != self.me.boot || elsewhere(record) => {
                self.ask_namesake(from);
            }
            Message::Ack { seq } => {
                let asked = |ping: &Ping| ping.purpose == Purpose::Conflict;
                if self.pings.get(*seq).as_ref().is_some_and(asked) {
                    self.pings.take(*seq);
                    self.on_namesake_answered(from, boot);
                }
            }
            _ => {}
        }
    }

    /// Pings a node that spoke with this node's name; once each period, for it may do the same.
    fn ask_namesake(&mut self, from: SocketAddr) {
        if self.namesake_asked.is_some_and(|asked| self.now.since(asked) < self.params.period) {
            return;
        }
        self.namesake_asked = Some(self.now);
        let ping = Ping { target: self.key, to: from, sent: self.now, purpose: Purpose::Conflict };
        let seq = self.pings.add(ping);
        let me = self.me.clone();
        let message = Message::Ping { seq, to: self.key, from: Some((&*me).into()) };
        self.send_within(from, None, &message, 0, None);
    }

    /// There is another live node with this node's name.
    fn on_namesake_answered(&mut self, from: SocketAddr, boot: BootEpoch) {
        if boot == self.me.boot {
            if !self.is_own(from) {
                self.break_tie(from);
            }
            return;
        }
        let superseded = boot > self.me.boot;
        if superseded {
            self.conflict = Some(Conflict { other: from, boot, tries: 0 });
            // Ask again much later: it may go away.
            self.timers.set(Timer::Conflict, self.now + self.params.seeds_interval());
        }
        let quiet = self.params.seeds_interval() * 6;
        if self.conflict_told.is_none_or(|told| self.now.since(told) >= quiet) {
            self.conflict_told = Some(self.now);
            self.event(Event::NameConflict { name: self.me.name.clone(), other: from, superseded });
        }
    }
}
