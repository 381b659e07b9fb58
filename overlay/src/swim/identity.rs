//! What the others say of this node, and who else may be using its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Phase, Swim, Timer};
use crate::pings::{Ping, Purpose};
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
            && record.gossip() != self.me.gossip
        {
            self.break_tie(record.gossip());
        } else if boot == self.me.boot && contradicts {
            self.refute(update.incarnation);
        } else if boot > self.me.boot
            && let Subject::Full(record) = &update.subject
            && let Some(other) = record.identity().map(|identity| identity.gossip)
        {
            if other == self.me.gossip {
                // An earlier self, started when the clock was ahead.
                self.outbid(boot, update.incarnation);
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
            self.outbid(self.me.boot, self.incarnation);
        }
    }

    /// Contradicts whatever was said of an incarnation of this node.
    fn refute(&mut self, said: Incarnation) {
        match said.0.checked_add(1) {
            Some(next) => self.incarnation = Incarnation(next),
            // No incarnation is left to refute with: begin a new boot.
            None => return self.outbid(self.me.boot, said),
        }
        self.health.worse(1);
        self.stats.refutations += 1;
        self.membership_version += 1;
        self.spread(self.key);
    }

    /// Takes a boot epoch above `boot`, so that this node's word counts again; where there is none above, an incarnation
    /// above the one that was `said` of it.
    fn outbid(&mut self, boot: BootEpoch, said: Incarnation) {
        let highest = boot.max(self.me.boot);
        let (boot, incarnation) = if highest < BootEpoch::MAX {
            (BootEpoch(highest.0 + 1), Incarnation(0))
        } else {
            (BootEpoch::MAX, Incarnation(said.0.saturating_add(1)))
        };
        self.me = Arc::new(crate::Identity { boot, ..(*self.me).clone() });
        self.incarnation = incarnation;
        self.conflict = None;
        self.timers.clear(Timer::Conflict);
        self.disturbed();
        self.membership_version += 1;
        self.spread(self.key);
    }

    /// Is the other bearer of this node's name alive, or was it this node itself, once?
    pub(super) fn on_conflict_check(&mut self) {
        let Some(conflict) = &mut self.conflict else { return };
        if conflict.tries == CONFLICT_TRIES {
            let boot = conflict.boot;
            return self.outbid(boot, Incarnation(0));
        }
        conflict.tries += 1;
        let other = conflict.other;
        let turn = u32::from(conflict.tries - 1);
        let seq = self.pings.add(Ping { target: self.key, sent: self.now, purpose: Purpose::Conflict });
        let me = self.me.clone();
        self.asked_in = Some(me.versions.in_turn(turn));
        self.send(other, None, &Message::Ping { seq, to: self.key, from: Some((&*me).into()) });
        self.asked_in = None;
        self.timers.set(Timer::Conflict, self.now + self.params.timeout_unmeasured());
    }

    /// A datagram of a node with this node's name: this one (through a reflector), or another.
    pub(super) fn on_namesake(&mut self, from: SocketAddr, datagram: &Datagram<'_>) {
        let boot = datagram.head.boot();
        if self.phase != Phase::Running {
            return;
        }
        if boot == self.me.boot {
            match &datagram.message {
                Message::Ping { from: Some(record), .. } | Message::Join { from: record, .. }
                    if record.gossip() != self.me.gossip =>
                {
                    self.break_tie(record.gossip());
                }
                _ => {}
            }
            return;
        }
        match datagram.message {
            Message::Ping { seq, to, .. } if to == self.key => {
                self.send_within(from, None, &Message::Ack { seq }, 0, None);
            }
            Message::Ack { seq } => {
                let asked = self.pings.take(seq).is_some_and(|ping| ping.purpose == Purpose::Conflict);
                if !asked {
                    return;
                }
            }
            // It wants to join through this node; what it hears of its name elsewhere will tell it more.
            Message::Join { .. } => {}
            _ => return,
        }
        let superseded = boot > self.me.boot;
        if superseded {
            self.conflict = Some(Conflict { other: from, boot, tries: 0 });
            // One that joins has yet to hear of this node. Else ask again much later: it may go away.
            let joins = matches!(datagram.message, Message::Join { .. });
            let wait = if joins { Duration::ZERO } else { self.params.seeds_interval() };
            self.timers.set(Timer::Conflict, self.now + wait);
        }
        let quiet = self.params.seeds_interval() * 6;
        if self.conflict_told.is_none_or(|told| self.now.since(told) >= quiet) {
            self.conflict_told = Some(self.now);
            self.event(Event::NameConflict { name: self.me.name.clone(), other: from, superseded });
        }
    }
}
