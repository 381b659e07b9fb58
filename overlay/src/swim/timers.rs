//! One deadline for each thing that the state machine does by itself.

use crate::Time;

/// Why to wake up. In the order in which timers that are due at once run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A protocol period begins: ping the next member.
    Period,
    /// There is news to send.
    Gossip,
    /// Still alone: try to join again.
    Join,
    /// Look whether a seed is a member yet.
    Seeds,
    /// Newcomers' RTTs are to be measured.
    Measure,
    /// Has the cluster come to rest?
    Converge,
    /// Does another live node have this node's name?
    Conflict,
    /// Forget who died long ago.
    Forget,
    /// Tell some more members that this node leaves.
    Leave,
    /// Ping some of the dead: one of them has come back.
    Revive,
    /// Nobody is heard: ping the next ones of all members.
    RollCall,
    /// This node was in company for so long that its cluster settles.
    Settle,
}

const TIMERS: [Timer; 12] = [
    Timer::Period,
    Timer::Gossip,
    Timer::Join,
    Timer::Seeds,
    Timer::Measure,
    Timer::Converge,
    Timer::Conflict,
    Timer::Forget,
    Timer::Leave,
    Timer::Revive,
    Timer::RollCall,
    Timer::Settle,
];

#[derive(Debug)]
pub(super) struct Timers([Time; TIMERS.len()]);

impl Default for Timers {
    fn default() -> Self {
        Self([Time::NEVER; TIMERS.len()])
    }
}

impl Timers {
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = at;
    }

    /// Like [`Self::set`], but keeps an earlier deadline.
    pub fn set_by(&mut self, timer: Timer, at: Time) {
        let deadline = &mut self.0[timer as usize];
        *deadline = at.min(*deadline);
    }

    pub fn at(&self, timer: Timer) -> Time {
        self.0[timer as usize]
    }

    pub fn clear(&mut self, timer: Timer) {
        self.set(timer, Time::NEVER);
    }

    pub fn next(&self) -> Time {
        self.0.into_iter().min().unwrap_or(Time::NEVER)
    }

    /// A timer that is due, which it then is no more.
    pub fn due(&mut self, now: Time) -> Option<Timer> {
        let timer = TIMERS.into_iter().find(|timer| self.0[*timer as usize] <= now)?;
        self.clear(timer);
        Some(timer)
    }
}
