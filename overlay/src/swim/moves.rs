//! Nodes whose address changes while they run.
//!
//! A node that finds itself at another address stays in its boot, so that its jobs go on, and takes the next incarnation.
//! The others hear of that from itself and from each other. Both can be a lie, so the member is pinged first: where it
//! speaks from if it says so itself, else at the address that it is said to have. Its new address counts when it has answered
//! that ping in the new incarnation; until then nothing that was said together with it does.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Event, Phase, Swim};
use crate::members::Slot;
use crate::precedence::INCARNATION_MAX;
use crate::wire::{Head, Record};
use crate::{Identity, Incarnation, MemberState, NodeKey};

/// Former addresses of this node that are remembered.
const FORMER_MAX: usize = 8;

impl Swim {
    /// This node is at another address now, in the same boot: its jobs go on. The next incarnation says so.
    pub(super) fn move_to(&mut self, gossip: SocketAddr) {
        if gossip == self.me.gossip || self.phase != Phase::Running {
            return;
        }
        self.former.retain(|address| *address != gossip);
        if self.former.len() == FORMER_MAX {
            self.former.pop_front();
        }
        self.former.push_back(self.me.gossip);
        self.me = Arc::new(Identity { gossip, ..(*self.me).clone() });
        if self.incarnation >= INCARNATION_MAX {
            return self.outbid(self.me.boot);
        }
        self.incarnation = Incarnation(self.incarnation.0 + 1);
        // All are to hear it from this node itself.
        self.members.forget_introductions();
        self.membership_version += 1;
        self.spread(self.key);
    }

    /// Whether this node is or was at that address, in this boot.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        address == self.me.gossip || self.former.contains(&address)
    }

    /// A member is said, with this incarnation of the boot that is known, to be `identity`. If that is a move it is pinged
    /// there, unless it was just now, and true is the answer.
    pub(super) fn ask_moved(
        &mut self,
        slot: Slot,
        at: SocketAddr,
        identity: Identity,
        incarnation: Incarnation,
    ) -> bool {
        let moved = self.is_move(slot, &identity, incarnation);
        let pause = self.params.gossip_interval();
        if moved && !self.strangers.asked_within(&identity, at, self.now, pause) {
            self.ask_newcomer(at, identity);
        }
        moved
    }

    /// A member has answered where it was asked about its move.
    pub(super) fn learn_move(&mut self, identity: &Arc<Identity>, head: &Head) {
        let slot = self.members.find(NodeKey::of(&identity.name));
        if let Some(slot) = slot.filter(|slot| self.is_move(*slot, identity, head.incarnation())) {
            self.moved(slot, identity.clone());
        }
    }

    fn is_move(&self, slot: Slot, identity: &Identity, incarnation: Incarnation) -> bool {
        self.members.get(slot).is_some_and(|peer| {
            let same_boot = peer.identity.boot == identity.boot;
            same_boot && peer.identity.gossip != identity.gossip && incarnation > peer.incarnation
        })
    }

    /// A member's incarnation may be heard before its new address is, from a relay. When it is spoken to there already, because
    /// it has answered from there, its own word is enough.
    pub(super) fn settle_move(&mut self, from: SocketAddr, record: &Record<'_>, head: &Head) {
        let moved = |slot: &Slot| {
            self.members.get(*slot).is_some_and(|peer| {
                let same = (peer.identity.boot, peer.incarnation) == (head.boot(), head.incarnation());
                let there = peer.address() == from && record.gossip() == from && peer.is_proven(from);
                same && there && peer.identity.gossip != from
            })
        };
        let Some(slot) = self.members.find(head.from()).filter(moved) else { return };
        if let Some(identity) = record.identity() {
            self.moved(slot, Arc::new(identity));
            self.proved(slot, from);
        }
    }

    fn moved(&mut self, slot: Slot, identity: Arc<Identity>) {
        let Some(from) = self.members.get(slot).map(|peer| peer.identity.gossip) else { return };
        self.members.replace_identity(slot, identity);
        self.membership_version += 1;
        if let Some(member) = self.subject(slot) {
            self.event(Event::Moved { member, from });
        }
    }

    /// Whether a datagram that does not say who its sender is has a new incarnation of a member, and comes from elsewhere. If
    /// the member has moved, its incarnation is good only with its new address, which is told soon.
    pub(super) fn may_have_moved(&self, from: SocketAddr, head: &Head) -> bool {
        self.members.by_key(head.from()).is_some_and(|peer| {
            let newer = peer.identity.boot == head.boot() && head.incarnation() > peer.incarnation;
            newer && peer.state == MemberState::Alive && peer.identity.gossip != from
        })
    }
}
