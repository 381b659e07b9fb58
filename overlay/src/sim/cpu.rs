//! Nodes that have little CPU time: what comes in waits in their sockets, and their timers wait for what has come in, as in
//! the driver.

use std::collections::VecDeque;

use super::World;
use super::world::{Letter, What};
use crate::{Input, Swim, Time};

/// Datagrams that the driver reads before anything else gets a turn.
const BURST_MAX: usize = 256;
/// Datagrams that a socket holds.
const SOCKET_MAX: usize = 2_000;

/// What waits for a node to have time for it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    letters: VecDeque<Letter>,
    /// Until then it is at work.
    busy: Time,
    /// A timer is due, after so many datagrams more.
    timer_after: Option<usize>,
    /// There is an event at which it goes on.
    planned: bool,
}

impl World {
    /// A datagram has come to a node that takes its time for each.
    pub(super) fn queue_up(&mut self, index: usize, letter: Letter) {
        let desk = &mut self.nodes[index].desk;
        if desk.letters.len() >= SOCKET_MAX {
            self.fired.overflowed += 1;
            self.spare.push(letter.bytes);
            return;
        }
        self.fired.backlogged += u64::from(desk.busy > self.now);
        desk.letters.push_back(letter);
        self.plan_work(index);
    }

    /// A timer is due: whether it has to wait for CPU time, and for the datagrams that are to be read first.
    pub(super) fn waits_for_cpu(&mut self, index: usize) -> bool {
        let now = self.now;
        let desk = &mut self.nodes[index].desk;
        if desk.busy <= now && desk.letters.is_empty() {
            return false;
        }
        let waiting = desk.letters.len().min(BURST_MAX);
        desk.timer_after.get_or_insert(waiting);
        self.plan_work(index);
        true
    }

    fn plan_work(&mut self, index: usize) {
        let desk = &mut self.nodes[index].desk;
        if !std::mem::replace(&mut desk.planned, true) {
            let at = desk.busy.max(self.now);
            self.schedule(at, What::Work(index));
        }
    }

    /// A node has time for one datagram, or for its timers.
    pub(super) fn work(&mut self, index: usize) {
        let paused = self.nodes[index].paused;
        let desk = &mut self.nodes[index].desk;
        desk.planned = false;
        if paused.max(desk.busy) > self.now {
            desk.busy = paused.max(desk.busy);
            return self.plan_work(index);
        }
        let sent = |world: &Self| world.node(index).map(Swim::stats).map_or(0, |stats| stats.datagrams_sent);
        let before = sent(self);
        let desk = &mut self.nodes[index].desk;
        if desk.timer_after == Some(0) || (desk.timer_after.is_some() && desk.letters.is_empty()) {
            desk.timer_after = None;
            self.input(index, Input::Timeout);
        } else if let Some(letter) = desk.letters.pop_front() {
            desk.timer_after = desk.timer_after.map(|after| after - 1);
            self.deliver(index, letter);
        } else {
            return;
        }
        let cost = self.nodes[index].cost;
        let done = u32::try_from(sent(self).saturating_sub(before)).unwrap_or(u32::MAX).saturating_add(1);
        let desk = &mut self.nodes[index].desk;
        desk.busy = self.now + cost * done;
        if !desk.letters.is_empty() || desk.timer_after.is_some() {
            self.plan_work(index);
        }
    }

    /// The node has all the time that it needs again.
    pub(super) fn drain(&mut self, index: usize) {
        self.nodes[index].desk.busy = self.now;
        if !self.nodes[index].desk.letters.is_empty() || self.nodes[index].desk.timer_after.is_some() {
            self.plan_work(index);
        }
    }
}
