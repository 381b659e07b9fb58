//! Probes: pings, more pings, and pings through others, until an answer comes or silence means something.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

use super::{Phase, Swim, Timer};
use crate::config::{RELAYS, RELAYS_OF_SUSPECT};
use crate::members::{Peer, Slot};
use crate::pings::{Ping, Purpose};
use crate::wire::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_SURE, Message};
use crate::{MemberState, NodeKey, Time};

/// Why a member is probed. A later one includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// To know its RTT and its digest; silence means nothing.
    Measure,
    /// Its turn in the round-robin has come; silence raises a suspicion.
    Turn,
    /// It is suspected; silence confirms that.
    Verify,
}

/// A member that is being probed. At most one probe a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub slot: Slot,
    pub kind: Kind,
    pub started: Time,
    /// When to try again or to give up.
    pub next_at: Time,
    /// Signs of life that did not come since it last answered: pings, and a promise that it broke.
    pub attempts: u8,
    /// How many of them were no pings.
    ahead: u8,
    /// Where the circle of relays goes on.
    relays_from: Option<Slot>,
    /// Relays asked that were heard lately, and should say at least that they got no answer.
    nacks_asked: u8,
    nacks_missing: u8,
    /// When the relays that were asked should have said something.
    nacks_due: Time,
    /// It failed, and what its relays' silence means is yet to be judged.
    unjudged: bool,
    /// Its port refused pings: nobody is there, as far as its machine can tell.
    refused: bool,
}

impl Probe {
    /// What it waited for may be among what comes in now, the words of its relays, too.
    pub fn answered_late(&mut self, now: Time, soon: Time) {
        self.attempts = self.attempts.min(1 + self.ahead);
        self.next_at = self.next_at.min(soon);
        (self.nacks_asked, self.nacks_missing, self.nacks_due) = (0, 0, now);
    }
}

/// Most probes at once; a verification beyond it waits for its suspicion's deadline.
pub(super) const PROBES_MAX: usize = 64;
/// Pings for a measurement that nothing depends on.
const MEASURE_ATTEMPTS_MAX: u8 = 4;
/// Members whose turn comes at once after another one's probe failed.
const FOLLOWING: usize = 2;
/// Newcomers measured at once, and how many more every `T / 20`.
const MEASURE_BURST: usize = 4;

impl Swim {
    /// A protocol period begins.
    pub(super) fn on_period(&mut self) {
        self.timers.set(Timer::Period, self.now + self.params.period);
        self.knock(1);
        if self.phase != Phase::Running {
            return;
        }
        self.plan_roll_call();
        self.reckon_if_many();
        if self.is_cut_off() {
            self.hurry_suspicions();
        }
        // One whose silence means something, were it not that nobody else is heard either, keeps no other one from its turn.
        let is_open = |probe: &Probe| probe.kind == Kind::Turn && !self.is_long_unanswered(probe);
        let busy = self.probes.iter().any(is_open);
        self.keep_promise(busy);
        self.tell_of_unheard();
        if self.is_overloaded() {
            self.health.worse(1);
            // Lifeguard's longer interval: of as many periods as the waits are multiplied by, one has a turn.
            let multiplier = self.health.multiplier();
            if busy || !self.rng.random_ratio(1, multiplier) {
                self.stats.turns_shed += u64::from(!busy && self.members.live() > 0);
                return;
            }
        } else {
            self.advertise();
        }
        if !busy {
            self.begin_turn();
        }
    }

    /// Whether this node can't keep up with what it has to do. Then it does less, and does not take the silence of others
    /// for more than its own: what it waits for may lie unread.
    pub(super) fn is_overloaded(&self) -> bool {
        self.parts.shedding && self.backlog.is_high()
    }

    /// Probes whose turn it is, and promises it to be heard of again.
    fn begin_turn(&mut self) {
        if let Some(slot) = self.next_in_round() {
            if self.parts.promises {
                self.watch.promised_to.get_or_insert(slot);
            }
            self.probe(slot, Kind::Turn);
        }
    }

    /// The next member of the round-robin. It is shuffled as it is gone through: each place is drawn from the rest when
    /// its turn comes, so newcomers, put at the end, come anywhere in the rest.
    fn next_in_round(&mut self) -> Option<Slot> {
        for _ in 0..=self.round.len() {
            if self.round_next >= self.round.len() {
                self.round_next = 0;
            }
            if self.round.is_empty() {
                return None;
            }
            let drawn = self.rng.random_range(self.round_next..self.round.len());
            self.round.swap(self.round_next, drawn);
            let slot = self.round[self.round_next];
            self.round_next += 1;
            if self.members.get(slot).is_some_and(Peer::is_live) {
                return Some(slot);
            }
        }
        None
    }

    pub(super) fn on_measure(&mut self) {
        if self.is_overloaded() {
            self.timers.set(Timer::Measure, self.now + self.params.period);
            return;
        }
        for _ in 0..MEASURE_BURST {
            let Some(slot) = self.measure.pop_front() else { return };
            let unknown = |peer: &Peer| peer.is_live() && peer.rtt().is_none();
            if self.members.get(slot).is_some_and(unknown) {
                self.probe(slot, Kind::Measure);
            }
        }
        self.timers.set(Timer::Measure, self.now + self.params.period / 20);
    }

    /// Begins to probe a member, or makes more of the probe that it already has.
    pub(super) fn probe(&mut self, slot: Slot, kind: Kind) {
        self.probe_after(slot, kind, 0);
    }

    /// The same, after so many other signs of life that did not come.
    fn probe_after(&mut self, slot: Slot, kind: Kind, ahead: u8) {
        if let Some(probe) = self.probes.iter_mut().find(|probe| probe.slot == slot) {
            probe.kind = probe.kind.max(kind);
            return;
        }
        if self.probes.len() >= PROBES_MAX || self.phase != Phase::Running {
            return;
        }
        let (started, next_at) = (self.now, self.now);
        self.probes.push(Probe {
            slot,
            kind,
            started,
            next_at,
            attempts: ahead,
            ahead,
            relays_from: None,
            nacks_asked: 0,
            nacks_missing: 0,
            nacks_due: self.now,
            unjudged: false,
            refused: false,
        });
        self.attempt(self.probes.len() - 1);
    }

    /// Begins to probe a member that broke its promise: that is the first sign of life that did not come.
    pub(super) fn probe_silent(&mut self, slot: Slot) {
        self.probe_after(slot, Kind::Turn, 1);
    }

    pub(super) fn run_probes(&mut self) {
        let mut index = 0;
        while index < self.probes.len() {
            if self.probes[index].next_at > self.now || self.step(index) {
                index += 1;
            } else {
                self.probes.swap_remove(index);
            }
        }
    }

    /// One more try of a probe, or its end: false.
    fn step(&mut self, index: usize) -> bool {
        let probe = self.probes[index];
        let Some(state) = self.members.get(probe.slot).map(|peer| peer.state) else { return false };
        let enough = probe.attempts >= self.attempts_to_suspect(&probe);
        if probe.unjudged && self.now >= probe.nacks_due {
            // Relays that did not even say that they got no answer point at this node, not at the target. If all of
            // them said so in time, this node is well, whatever it has failed at.
            match probe.nacks_missing {
                0 if probe.nacks_asked > 0 && self.parts.own_silence => self.health.better(),
                missing => self.health.worse(missing),
            }
            self.probes[index].unjudged = false;
        }
        // Others suspect it meanwhile: what this node finds confirms that, or tells it.
        if probe.kind == Kind::Turn && state == MemberState::Suspect && self.parts.hearsay_probes {
            self.probes[index].kind = Kind::Verify;
        }
        match self.probes[index].kind {
            Kind::Measure if probe.attempts >= MEASURE_ATTEMPTS_MAX => return false,
            Kind::Turn if state == MemberState::Alive && enough && self.floor_passed(&probe) => {
                if self.is_deaf() || self.is_deaf_since(probe.started) {
                    self.attempt(index);
                    // Nothing comes of it before somebody is heard: a node that is slow must not flood the others when
                    // it wakes.
                    self.probes[index].next_at = self.now + self.params.period / 2;
                    return true;
                }
                self.on_probe_failed(index);
            }
            // Others suspect it, and this node, without looking for it, finds the same.
            Kind::Turn if !self.parts.hearsay_probes && enough && self.floor_passed(&probe) => {
                self.confirm(probe.slot, Some(self.key));
                return false;
            }
            Kind::Verify if !self.parts.hearsay_probes => return false,
            Kind::Verify if state != MemberState::Suspect => return false,
            Kind::Verify if enough => self.confirm(probe.slot, Some(self.key)),
            _ => {}
        }
        // What was just said of the member may have ended the probe.
        if self.probes.get(index).is_some_and(|same| same.slot == probe.slot) {
            self.attempt(index);
        }
        true
    }

    /// Whether as many tries and as much time have passed as raise a suspicion.
    fn is_long_unanswered(&self, probe: &Probe) -> bool {
        probe.attempts >= self.attempts_to_suspect(probe) && self.floor_passed(probe)
    }

    fn floor_passed(&self, probe: &Probe) -> bool {
        let floor = self.params.probe_floor() * self.patience();
        let floor = if self.parts.retries { floor } else { self.params.period * self.patience() };
        let floor = if probe.refused { floor / 5 } else { floor };
        self.now.since(probe.started) + Duration::from_millis(1) >= floor
    }

    fn attempts_to_suspect(&self, probe: &Probe) -> u8 {
        match probe.refused {
            _ if !self.parts.retries => 2,
            _ if self.is_overloaded() => self.loss.attempts_to_verdict(),
            true => 3,
            false => self.loss.attempts_to_suspect(),
        }
    }

    fn on_probe_failed(&mut self, index: usize) {
        let probe = &mut self.probes[index];
        probe.kind = Kind::Verify;
        probe.unjudged = true;
        let slot = probe.slot;
        self.stats.probes_failed += 1;
        if let Some(incarnation) = self.members.get(slot).map(|peer| peer.incarnation) {
            self.suspect(slot, incarnation, Some(self.key));
        }
        self.follow_failure();
    }

    /// A failure seldom comes alone: a machine, a link or a zone is gone. But a node that doubts itself takes its time.
    pub(super) fn follow_failure(&mut self) {
        if self.parts.promises && self.patience() == 1 {
            (0..FOLLOWING).for_each(|_| self.begin_turn());
        }
    }

    /// Whether no member at all was heard of for so long that the others, or the way to them, must be gone.
    pub(super) fn is_cut_off(&self) -> bool {
        self.parts.own_silence && self.now.since(self.heard) > self.params.cut_off(self.live())
    }

    /// What waits are multiplied by: local health, unless there is nobody left whom hasty doubts could harm.
    fn patience(&self) -> u32 {
        if !self.parts.lha_probe || self.is_cut_off() { 1 } else { self.health.multiplier() }
    }

    /// For people: how much the line to a member loses.
    pub(super) fn count_ping(&mut self, slot: Slot, answered: bool) {
        if let Some(known) = self.members.get_mut(slot).and_then(|peer| peer.known.as_mut()) {
            known.unanswered.count(answered);
        }
    }

    fn attempt(&mut self, index: usize) {
        let probe = &mut self.probes[index];
        probe.attempts = probe.attempts.saturating_add(1);
        let probe = *probe;
        if probe.attempts - probe.ahead > 1 {
            self.count_ping(probe.slot, false);
        }
        let Some(peer) = self.members.get(probe.slot) else { return };
        let (key, suspect) = (peer.key, peer.state == MemberState::Suspect);
        let Some(to) = self.address_for(probe.slot, probe.attempts) else { return };
        let seq = self.ping(probe.slot, key, to, Purpose::Probe { attempt: probe.attempts - probe.ahead });
        let turn = (probe.attempts - probe.ahead).is_multiple_of(2) && probe.kind != Kind::Measure;
        let via = self.via(probe.slot).filter(|_| self.parts.retries);
        let relays = self.relays_for(index, via.map(|(via, _)| via), turn);
        for relay in relays.into_iter().flatten() {
            let Some(via) = self.members.get(relay).map(Peer::address) else { continue };
            // The relay has to know of the suspicion, to tell the suspect.
            let first = suspect.then_some(key);
            let message = Message::PingReq { seq, target: key };
            self.send_within(via, Some(relay), &message, DATAGRAM_BYTES_SURE, first);
        }
        if turn {
            // Who was not heard lately may be gone itself: its silence says nothing of this node.
            let asked = |slot: &&Slot| !self.parts.own_silence || self.is_heard_lately(**slot);
            let asked = relays.iter().flatten().filter(asked).count() as u8;
            let patience =
                relays.iter().flatten().map(|relay| self.timeout_of(*relay)).max().unwrap_or_default();
            if self.now >= probe.nacks_due {
                // A relay waits for as long as it takes it to the target, at most.
                self.probes[index].nacks_due = self.now + patience + self.params.timeout_bounds().1;
                self.probes[index].nacks_asked = asked;
                self.probes[index].nacks_missing = asked;
            }
        }
        let spacing = match probe.kind {
            Kind::Measure => Duration::ZERO,
            _ if !self.parts.retries => self.params.period / 2,
            _ => self.params.probe_floor() / u32::from(self.loss.attempts_to_suspect()),
        };
        let spacing = if probe.refused { spacing / 5 } else { spacing };
        // The first ping gets its time to be answered, and so does the last one before silence means something.
        let timeout = self.timeout_of(probe.slot).max(via.map_or(Duration::ZERO, |(_, took)| took * 5 / 4));
        let middle = probe.attempts > 1 && probe.attempts != self.attempts_to_suspect(&probe);
        let wait = spacing.max(if middle { timeout / 2 } else { timeout });
        self.probes[index].next_at = self.now + wait * self.patience();
    }

    /// Through whom this member last answered, as long as it does not do so by itself, and how long that takes.
    fn via(&self, slot: Slot) -> Option<(Slot, Duration)> {
        let (via, took) = self.members.get(slot)?.known.as_ref()?.via?;
        let via = self.members.find(via).filter(|via| self.members.get(*via).is_some_and(Peer::is_live))?;
        Some((via, took.min(self.params.period)))
    }

    /// Whom to ask to ping the target, with every second try: who got an answer of it before, some who were heard lately
    /// (when most are gone, or beyond reach, those can help), and the next ones of a circle of all members in no doubt that
    /// begins anywhere: the more of them, the nearer it is to a verdict. With other tries only who got an answer of this
    /// very target.
    fn relays_for(
        &mut self,
        index: usize,
        via: Option<Slot>,
        turn: bool,
    ) -> [Option<Slot>; RELAYS_OF_SUSPECT] {
        let target = self.probes[index].slot;
        let mut relays = [None; RELAYS_OF_SUSPECT];
        relays[0] = via;
        if !turn {
            return relays;
        }
        // Where two halves meet in one member, that one reaches all whom this node does not.
        let before = self.relayed_by.filter(|_| via.is_none() && self.parts.retries);
        let before = before.and_then(|key| self.members.find(key)).filter(|slot| *slot != target);
        relays[0] = via.or(before.filter(|slot| self.members.get(*slot).is_some_and(Peer::is_live)));
        // Where datagrams get lost, so do more of them if more are sent: many tries do there what many relays do here.
        let doubted = self.probes[index].kind == Kind::Verify && self.parts.retries;
        let many = doubted && !self.loss.is_met() && !self.is_overloaded();
        let count = if many { RELAYS_OF_SUSPECT } else { RELAYS };
        if self.parts.own_silence {
            let but = [Some(target), relays[0]];
            self.pick_heard_lately(&mut relays[1..RELAYS], but);
        }
        let slots = self.members.slots();
        let begin = *self.probes[index].relays_from.get_or_insert_with(|| self.rng.random_range(0..slots));
        let chosen = relays;
        // One that never answered this node may be an invention of another.
        let helps = |peer: &Peer| {
            peer.met && if self.parts.own_silence { peer.state == MemberState::Alive } else { peer.is_live() }
        };
        let usable = |slot: &Slot| {
            *slot != target && !chosen.contains(&Some(*slot)) && self.members.get(*slot).is_some_and(helps)
        };
        let mut others = (0..slots).map(|step| (begin + step) % slots).filter(usable);
        let mut last = None;
        for place in relays[..count].iter_mut().filter(|place| place.is_none()) {
            *place = others.next();
            last = place.or(last);
        }
        self.probes[index].relays_from = last.map(|last| (last + 1) % slots);
        relays
    }

    /// Sends one ping and remembers it. One that is not the first of its kind has to arrive, whatever the path takes.
    pub(super) fn ping(&mut self, slot: Slot, key: NodeKey, to: SocketAddr, purpose: Purpose) -> u32 {
        let seq = self.pings.add(Ping { target: key, to, sent: self.now, purpose });
        let me = self.me.clone();
        let introduced = self.members.get(slot).and_then(|peer| peer.known.as_ref()?.introduced);
        let from = (introduced != Some(me.boot)).then(|| (&*me).into());
        let first = matches!(purpose, Purpose::Probe { attempt: 1 }) && self.is_proven(slot, to);
        let bytes_max = if first { DATAGRAM_BYTES_MAX } else { DATAGRAM_BYTES_SURE };
        self.send_within(to, Some(slot), &Message::Ping { seq, to: key, from }, bytes_max, None);
        seq
    }

    /// A ping of a probe was answered: directly, and then it is known by which try, or through another member.
    pub(super) fn on_probe_answered(&mut self, slot: Slot, attempt: Option<u8>) {
        let Some(index) = self.probes.iter().position(|probe| probe.slot == slot) else { return };
        if let Some(attempt) = attempt {
            self.loss.observe(attempt);
        }
        if self.members.get(slot).is_some_and(|peer| peer.state == MemberState::Suspect)
            && self.parts.hearsay_probes
        {
            // It lives but has not refuted yet. Go on telling it until it does.
            let probe = &mut self.probes[index];
            probe.attempts = 0;
            probe.ahead = 0;
            probe.kind = Kind::Verify;
            self.heard_alive(slot);
            return;
        }
        let probe = self.probes.swap_remove(index);
        if probe.kind != Kind::Measure {
            self.health.better();
        }
    }

    pub(super) fn on_nack_for(&mut self, slot: Slot) {
        if let Some(probe) = self.probes.iter_mut().find(|probe| probe.slot == slot) {
            probe.nacks_missing = probe.nacks_missing.saturating_sub(1);
        }
    }

    /// Pings sent to this member since it last answered; none if it is not being probed.
    pub(super) fn attempts_since_answer(&self, slot: Slot) -> Option<u8> {
        self.probes.iter().find(|probe| probe.slot == slot).map(|probe| probe.attempts)
    }

    /// Nobody listens at an address any more. That is a reason to look closer, not a verdict: a restart looks the
    /// same, and anyone can forge it.
    pub(super) fn on_refused(&mut self, to: SocketAddr) {
        self.stats.refusals += 1;
        self.detail_version += 1;
        let probed = self
            .probes
            .iter()
            .position(|probe| self.members.get(probe.slot).is_some_and(|peer| peer.address() == to));
        let index = probed.or_else(|| {
            let there = |peer: &Peer| peer.is_live() && peer.address() == to;
            let slot = self.members.iter().find(|(_, peer)| there(peer)).map(|(slot, _)| slot)?;
            self.probe(slot, Kind::Turn);
            self.probes.iter().position(|probe| probe.slot == slot)
        });
        if let Some(index) = index
            && !self.probes[index].refused
        {
            let soon = self.now + self.params.probe_floor() / 10;
            let probe = &mut self.probes[index];
            probe.refused = true;
            probe.kind = probe.kind.max(Kind::Turn);
            probe.next_at = probe.next_at.min(soon);
        }
    }

    pub(super) fn stop_probing(&mut self, slot: Slot) {
        self.probes.retain(|probe| probe.slot != slot);
    }
}
