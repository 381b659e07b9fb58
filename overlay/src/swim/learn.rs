//! What this node comes to believe of the others.

use std::sync::Arc;

use rand::Rng;

use super::receive::subject_of;
use super::{Event, Swim, Timer};
use crate::config::{CONFIRMATIONS, MEASURERS};
use crate::members::{Members, Peer, Slot};
use crate::precedence::Claim;
use crate::wire::{Record, Subject, Update};
use crate::{Incarnation, MemberState, NodeKey};

/// Newcomers that wait to be measured, at most; beyond it their turn in the round-robin comes first.
pub(super) const MEASURE_MAX: usize = 128;
/// Forgotten at once, at most: the rest a little later, so that nothing else waits long.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// Members that may be known by hearsay alone, for each that has answered this node, and for this node itself. So what one
/// member invents does not fill the table; a newcomer that is asked itself needs no room here.
const HEARSAY_PER_MET: usize = 64;
/// Most members, the dead included; beyond it nobody new is taken in.
const MEMBERS_MAX: usize = 65_536;

impl Swim {
    /// Hears one piece of news; at first hand if its subject says it itself.
    pub(super) fn learn(&mut self, update: &Update<Record<'_>>, first_hand: bool) {
        let (key, boot) = subject_of(update);
        if !self.is_believable(key, boot, update.incarnation, first_hand) {
            return;
        }
        if key == self.key {
            self.learn_about_myself(update, boot);
            return;
        }
        let Some(slot) = self.members.find(key) else {
            self.learn_new(key, update, first_hand);
            return;
        };
        let Some(peer) = self.members.get(slot) else { return };
        if let Subject::Full(record) = &update.subject
            && record.name != peer.identity.name.as_str()
        {
            return; // Two names with one key: the first one known has it.
        }
        let known = peer.claim();
        let heard = Claim::new(boot, update.incarnation, update.state);
        if heard == known && update.state == MemberState::Suspect {
            self.confirm(slot, update.by);
        } else if heard.boot > known.boot {
            self.learn_restarted(slot, update, first_hand);
        } else if heard > known {
            self.learn_newer(slot, update, first_hand);
        }
    }

    /// Starts out knowing all members, sorted by key, this node among them, with their digest; for simulations of
    /// clusters that are long at rest.
    pub(crate) fn know_all(&mut self, identities: &[(NodeKey, Arc<crate::Identity>)], digest: u64) {
        let peer = |(key, identity): &(NodeKey, Arc<crate::Identity>)| Peer {
            key: *key,
            identity: identity.clone(),
            since: self.now,
            known: None,
            incarnation: Incarnation(0),
            state: MemberState::Alive,
            met: true,
            answered: true,
        };
        let me = identities.partition_point(|(key, _)| *key < self.key);
        let others = (0..identities.len() - 1).map(|place| &identities[place + usize::from(place >= me)]);
        self.members =
            Members::of(self.me.zone.clone(), others.map(peer), digest ^ self.key.live_part(self.me.boot));
        self.round = (0..self.members.slots()).collect();
        self.disturbance = super::Disturbance::over();
        self.timers.clear(Timer::Converge);
        self.stop_knocking();
        self.joined();
    }

    fn learn_new(&mut self, key: NodeKey, update: &Update<Record<'_>>, first_hand: bool) {
        let Subject::Full(record) = &update.subject else { return };
        if !update.state.is_live() || self.members.len() >= MEMBERS_MAX {
            return;
        }
        let Some(identity) = record.identity() else { return };
        if !first_hand && !self.has_room_for_hearsay() {
            // It may come, if it is there.
            return self.ask_newcomer(identity.gossip, identity);
        }
        let slot = self.members.insert(Peer {
            key,
            identity: Arc::new(identity),
            since: self.now,
            known: None,
            incarnation: update.incarnation,
            state: MemberState::Alive,
            met: false,
            answered: false,
        });
        self.round.push(slot);
        self.arrived(slot, Event::Joined);
        if update.state == MemberState::Suspect {
            self.suspect(slot, update.incarnation, update.by);
        }
    }

    /// Whether one more member may be known by hearsay alone. The dead count, too, or what others invent would come again and
    /// again.
    fn has_room_for_hearsay(&self) -> bool {
        self.members.len() - self.members.met() < HEARSAY_PER_MET * (1 + self.members.met())
    }

    /// A newer boot replaces the old self, whatever was believed of that.
    fn learn_restarted(&mut self, slot: Slot, update: &Update<Record<'_>>, first_hand: bool) {
        let Subject::Full(record) = &update.subject else { return };
        let Some(identity) = record.identity() else { return };
        let was_live = self.members.get(slot).is_some_and(Peer::is_live);
        if was_live {
            // It went down and came up again before anybody noticed.
            self.flaps.failed(NodeKey::of(&identity.name), self.now, &self.params);
        }
        self.forget_doubts(slot);
        self.members.replace_identity(slot, Arc::new(identity));
        if update.state.is_live() {
            self.members.set(slot, MemberState::Alive, update.incarnation, self.now);
            self.arrived(slot, Event::Rejoined);
            if update.state == MemberState::Suspect {
                self.suspect(slot, update.incarnation, update.by);
            }
        } else if was_live && !first_hand && self.parts.hearsay_probes {
            // Its restart is as new here as its end, and that is for this node to find out.
            self.members.set(slot, MemberState::Alive, update.incarnation, self.now);
            self.arrived(slot, Event::Rejoined);
            self.look_into_end(slot, update);
        } else {
            self.members.set(slot, update.state, update.incarnation, self.now);
            if was_live {
                let event = if update.state == MemberState::Left { Event::Left } else { Event::Failed };
                self.departed(slot, event);
            }
        }
    }

    /// News about the same boot.
    fn learn_newer(&mut self, slot: Slot, update: &Update<Record<'_>>, first_hand: bool) {
        let Some(before) = self.members.get(slot).map(|peer| peer.state) else { return };
        if let Subject::Full(record) = &update.subject
            && let Some(identity) = record.identity()
        {
            // At another address it is asked first, whoever says so, and until it has answered nothing of this counts.
            let at = self.source.filter(|_| first_hand).map_or(identity.gossip, |(from, _)| from);
            if self.ask_moved(slot, at, identity.clone(), update.incarnation) {
                return;
            }
            // Only the member itself raises its incarnation, and so may have changed what it says of itself.
            if self
                .members
                .get(slot)
                .is_some_and(|peer| update.incarnation > peer.incarnation && *peer.identity != identity)
            {
                self.members.replace_identity(slot, Arc::new(identity));
            }
        }
        match update.state {
            MemberState::Alive => {
                self.forget_doubts(slot);
                self.members.set(slot, MemberState::Alive, update.incarnation, self.now);
                match before {
                    MemberState::Alive => self.told(slot, None),
                    MemberState::Suspect => self.told(slot, Some(Event::Refuted)),
                    MemberState::Dead | MemberState::Left => {
                        self.arrived(slot, Event::Rejoined);
                        self.revived();
                    }
                }
            }
            MemberState::Suspect => {
                if !before.is_live() {
                    self.members.set(slot, MemberState::Alive, update.incarnation, self.now);
                    self.arrived(slot, Event::Rejoined);
                }
                self.suspect(slot, update.incarnation, update.by);
            }
            // The verdict of another member on one that nobody here doubts: the other side of a partition that healed, or
            // a judge that is slow itself.
            MemberState::Dead if before == MemberState::Alive && self.parts.hearsay_probes => {
                self.look_into_end(slot, update);
            }
            // An overloaded node is one of many, as a rule: a verdict of one of them is to be looked into, too.
            MemberState::Dead if before == MemberState::Suspect && self.is_overloaded() => {
                self.members.set(slot, MemberState::Suspect, update.incarnation, self.now);
                self.confirm_fully(slot);
                if let Some(suspicion) = self.suspicions.get_mut(&slot) {
                    suspicion.verdict_told = true;
                }
            }
            MemberState::Dead => self.bury(slot, update.incarnation),
            // Only a member itself knows that it leaves.
            MemberState::Left if before.is_live() && !first_hand && self.parts.hearsay_probes => {
                self.look_into_end(slot, update);
            }
            MemberState::Left => {
                self.forget_doubts(slot);
                self.members.set(slot, MemberState::Left, update.incarnation, self.now);
                if before.is_live() {
                    self.departed(slot, Event::Left);
                }
            }
        }
    }

    /// Others say that a member is gone, which a probe of one's own settles. A verdict counts as a suspicion that is well
    /// confirmed. Of one that is said to have left, no answer is to be expected, and silence settles it soon.
    fn look_into_end(&mut self, slot: Slot, update: &Update<Record<'_>>) {
        let farewell = update.state == MemberState::Left;
        let told = self.suspicions.get(&slot).is_some_and(|suspicion| suspicion.farewell);
        let same = self.members.get(slot).is_some_and(|peer| peer.incarnation == update.incarnation);
        if farewell && told && same {
            return;
        }
        if farewell {
            self.doubt_farewell(slot, update.incarnation);
        } else {
            self.suspect(slot, update.incarnation, update.by);
            self.confirm_fully(slot);
        }
    }

    /// A verdict: the member is dead, or has left, if that is what was said of it.
    pub(super) fn bury(&mut self, slot: Slot, incarnation: Incarnation) {
        let farewell = self.suspicions.get(&slot).is_some_and(|suspicion| suspicion.farewell);
        let was_live = self.members.get(slot).is_some_and(Peer::is_live);
        let doubted = self.doubted_since(slot);
        self.forget_doubts(slot);
        if let Some(known) = self.members.get_mut(slot).and_then(|peer| peer.known.as_mut()) {
            known.path = None;
        }
        let state = if farewell { MemberState::Left } else { MemberState::Dead };
        self.members.set(slot, state, incarnation, self.now);
        if was_live {
            if let Some(key) = self.members.get(slot).map(|peer| peer.key).filter(|_| !farewell) {
                self.flaps.failed(key, self.now, &self.params);
            }
            let about = self.members.get(slot).map(|peer| &peer.identity.name);
            self.disturbance.began(doubted, about);
            self.departed(slot, if farewell { Event::Left } else { Event::Failed });
        }
    }

    /// A member is here that was not before.
    fn arrived(&mut self, slot: Slot, event: fn(crate::Subject) -> Event) {
        if let Some(key) = self.members.get(slot).map(|peer| peer.key) {
            self.flaps.returned(key, self.now, &self.params);
        }
        self.disturbed_by(slot);
        self.told(slot, Some(event));
        let chance = MEASURERS as f64 / self.members.live().max(1) as f64;
        let wanted = self.measure.len() < MEASURE_MAX && !self.measure.contains(&slot);
        if wanted && self.rng.random_bool(chance.min(1.0)) {
            self.measure.push_back(slot);
            // While it is set, some were measured just now.
            if self.timers.at(Timer::Measure) == crate::Time::NEVER {
                self.timers.set(Timer::Measure, self.now);
            }
        }
        self.joined();
    }

    fn departed(&mut self, slot: Slot, event: fn(crate::Subject) -> Event) {
        self.disturbed_by(slot);
        self.told(slot, Some(event));
        self.alone_again();
    }

    /// Something about this member changed: pass it on.
    pub(super) fn told(&mut self, slot: Slot, event: Option<fn(crate::Subject) -> Event>) {
        self.membership_version += 1;
        if let Some(key) = self.members.get(slot).map(|peer| peer.key) {
            self.spread(key);
        }
        if let (Some(event), Some(subject)) = (event, self.subject(slot)) {
            self.event(event(subject));
        }
    }

    /// A suspicion that others have already confirmed to the full.
    fn confirm_fully(&mut self, slot: Slot) {
        let deadline = self.now + self.params.suspicion_min(self.live());
        if let Some(suspicion) = self.suspicions.get_mut(&slot) {
            // Told again and again: the time that there is to refute it began when it was told first.
            if suspicion.confirmations_beyond < CONFIRMATIONS {
                suspicion.confirmations_beyond = CONFIRMATIONS;
                suspicion.deadline = deadline;
            }
        }
        self.verify(slot);
    }

    pub(super) fn on_forget(&mut self) {
        let keep = self.params.forget();
        let old = |peer: &Peer, now: crate::Time| now.since(peer.since) > keep;
        let mut gone: Vec<(Slot, NodeKey)> = self
            .members
            .gone()
            .filter(|(_, peer)| old(peer, self.now))
            .map(|(slot, peer)| (slot, peer.key))
            .take(FORGOTTEN_AT_ONCE)
            .collect();
        gone.sort_unstable();
        self.forget_all(&gone);
        let more = gone.len() == FORGOTTEN_AT_ONCE;
        let wait = if more { self.params.period / 10 } else { keep / 10 };
        self.timers.set(Timer::Forget, self.now + wait);
    }

    /// Forgets members, given in the order of their slots.
    fn forget_all(&mut self, gone: &[(Slot, NodeKey)]) {
        let is_gone = |slot: Slot| gone.binary_search_by_key(&slot, |(slot, _)| *slot).is_ok();
        self.round.retain(|slot| !is_gone(*slot));
        self.measure.retain(|slot| !is_gone(*slot));
        for (slot, key) in gone {
            self.forget(*slot, *key);
        }
        self.round_next = self.round_next.min(self.round.len());
    }

    fn forget(&mut self, slot: Slot, key: NodeKey) {
        self.forget_doubts(slot);
        self.watch.forget(slot);
        self.gossip.remove(key);
        self.load_desk.remove(key);
        self.membership_version += 1;
        let Some(peer) = self.members.get(slot) else { return };
        let (address, died) = (peer.identity.gossip, peer.met && peer.state == MemberState::Dead);
        self.members.remove(slot);
        if died {
            self.lose(address);
        }
    }
}
