//! Pings on their way: matches an ack to the moment its ping was sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{NodeKey, Time};

/// Most pings remembered; the oldest is forgotten first.
const PINGS_MAX: usize = 4_096;
/// An ack that comes later than this is not matched any more.
const PING_AGE_MAX: Duration = Duration::from_secs(15);

/// Why a ping was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To see whether the target lives.
    Probe {
        /// Which try of the probe this was, from 1.
        attempt: u8,
    },
    /// For another member, which used this sequence number of its own.
    Relay {
        /// Who asked.
        origin: NodeKey,
        /// The number it used.
        seq: u32,
    },
    /// To join through an address whose owner is not known yet.
    Join,
    /// To see whether a dead member is back.
    Knock,
    /// To see who is there at all, when nobody is heard.
    RollCall,
    /// To see whether a member can be spoken to where its datagrams come from.
    Path,
    /// To see whether another live node has this node's name.
    Conflict,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub target: NodeKey,
    pub sent: Time,
    pub purpose: Purpose,
}

/// Sequence numbers count up, so the number is the index.
#[derive(Debug)]
pub(crate) struct Pings {
    first: u32,
    sent: VecDeque<Option<Ping>>,
}

impl Pings {
    pub fn new(first: u32) -> Self {
        Self { first, sent: VecDeque::new() }
    }

    /// Remembers a ping and gives it its number.
    pub fn add(&mut self, ping: Ping) -> u32 {
        while self.sent.len() >= PINGS_MAX
            || self
                .sent
                .front()
                .is_some_and(|old| old.is_none_or(|old| ping.sent.since(old.sent) > PING_AGE_MAX))
        {
            self.sent.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.sent.push_back(Some(ping));
        self.first.wrapping_add(self.sent.len() as u32 - 1)
    }

    /// The ping with this number; each is found once.
    pub fn take(&mut self, seq: u32) -> Option<Ping> {
        self.sent.get_mut(seq.wrapping_sub(self.first) as usize)?.take()
    }

    /// The ping with this number.
    pub fn get(&self, seq: u32) -> Option<Ping> {
        *self.sent.get(seq.wrapping_sub(self.first) as usize)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_old_ones_are_forgotten() {
        let mut pings = Pings::new(u32::MAX - 1);
        let ping =
            |ms| Ping { target: NodeKey(ms), sent: Time::from_micros(ms * 1000), purpose: Purpose::Join };
        let seqs: Vec<u32> = (0..4).map(|i| pings.add(ping(i))).collect();
        assert_eq!(seqs, [u32::MAX - 1, u32::MAX, 0, 1]);
        assert_eq!(pings.take(0).map(|p| p.target), Some(NodeKey(2)));
        assert!(pings.take(0).is_none(), "an ack counts once");
        assert!(pings.take(2).is_none(), "never sent");
        let late = pings.add(ping(20_000));
        assert_eq!(late, 2);
        assert!(pings.take(1).is_none(), "too old");
        for i in 0..PINGS_MAX as u64 {
            pings.add(ping(20_001 + i % 2));
        }
        assert!(pings.take(late).is_none(), "bounded");
    }
}
