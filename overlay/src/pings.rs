//! Pings on their way: matches an ack to the moment its ping was sent.
//!
//! The number of a ping is also a proof: only who has received the ping knows it. So numbers do not count up for the eye.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
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
    /// The same, where a member of this cluster was once.
    Return,
    /// The same, answered: more datagrams of the welcome may follow.
    Joined,
    /// To see whether a newcomer is where it speaks from.
    Meet,
    /// To see whether a dead member is back.
    Knock,
    /// To see who is there at all, when nobody is heard.
    RollCall,
    /// To tell a dead member that is back what is thought of it.
    Revive,
    /// To see whether a member can be spoken to where its datagrams come from.
    Path,
    /// To hear which cluster a member belongs to.
    Cluster,
    /// To see whether another live node has this node's name.
    Conflict,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub target: NodeKey,
    /// Where it went.
    pub to: SocketAddr,
    pub sent: Time,
    pub purpose: Purpose,
}

/// Places count up; the number of a ping is its place, enciphered.
#[derive(Debug)]
pub(crate) struct Pings {
    cipher: Cipher,
    first: u32,
    sent: VecDeque<Option<Ping>>,
    /// The number that was looked up last, and its place: what one datagram answers is looked up several times.
    last: Cell<(u32, u32)>,
}

/// A permutation of the 32-bit numbers that nobody knows without the key: Speck32/64 (Beaulieu and others, The Simon and
/// Speck Families of Lightweight Block Ciphers, 2013), a few additions and rotations for each ping.
#[derive(Debug)]
struct Cipher([u16; Cipher::ROUNDS]);

impl Cipher {
    const ROUNDS: usize = 22;

    fn new(key: u64) -> Self {
        let word = |number: u32| (key >> (16 * number)) as u16;
        let (mut round_key, mut rest) = (word(0), [word(1), word(2), word(3)]);
        let mut keys = [0; Self::ROUNDS];
        for (number, place) in (0u16..).zip(&mut keys) {
            *place = round_key;
            let next = round_key.wrapping_add(rest[0].rotate_right(7)) ^ number;
            rest = [rest[1], rest[2], next];
            round_key = round_key.rotate_left(2) ^ next;
        }
        Self(keys)
    }

    fn encipher(&self, place: u32) -> u32 {
        let (mut left, mut right) = ((place >> 16) as u16, place as u16);
        for key in self.0 {
            left = left.rotate_right(7).wrapping_add(right) ^ key;
            right = right.rotate_left(2) ^ left;
        }
        u32::from(left) << 16 | u32::from(right)
    }

    fn decipher(&self, number: u32) -> u32 {
        let (mut left, mut right) = ((number >> 16) as u16, number as u16);
        for key in self.0.into_iter().rev() {
            right = (right ^ left).rotate_right(2);
            left = (left ^ key).wrapping_sub(right).rotate_left(7);
        }
        u32::from(left) << 16 | u32::from(right)
    }
}

impl Pings {
    /// No pings yet; `key` is the secret that their numbers are made with.
    pub fn new(key: u64) -> Self {
        let cipher = Cipher::new(key);
        let last = Cell::new((cipher.encipher(0), 0));
        Self { cipher, first: 0, sent: VecDeque::new(), last }
    }

    fn place(&self, seq: u32) -> usize {
        let (number, mut place) = self.last.get();
        if number != seq {
            place = self.cipher.decipher(seq);
            self.last.set((seq, place));
        }
        place.wrapping_sub(self.first) as usize
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
        self.cipher.encipher(self.first.wrapping_add(self.sent.len() as u32 - 1))
    }

    /// The ping with this number; each is found once.
    pub fn take(&mut self, seq: u32) -> Option<Ping> {
        let place = self.place(seq);
        self.sent.get_mut(place)?.take()
    }

    /// The ping with this number.
    pub fn get(&self, seq: u32) -> Option<Ping> {
        *self.sent.get(self.place(seq))?
    }

    /// A join that was answered: what else comes with this number belongs to the answer.
    pub fn joined(&mut self, seq: u32) {
        let place = self.place(seq);
        if let Some(Some(ping)) = self.sent.get_mut(place) {
            ping.purpose = Purpose::Joined;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_old_ones_are_forgotten() {
        let mut pings = Pings { first: u32::MAX - 1, ..Pings::new(7) };
        let to = ([10, 0, 0, 1], 5000).into();
        let ping = |ms| {
            let sent = Time::from_micros(ms * 1000);
            Ping { target: NodeKey(ms), to, sent, purpose: Purpose::Join }
        };
        let seqs: Vec<u32> = (0..4).map(|i| pings.add(ping(i))).collect();
        assert_eq!(pings.take(seqs[2]).map(|p| p.target), Some(NodeKey(2)));
        assert!(pings.take(seqs[2]).is_none(), "an ack counts once");
        assert!(pings.get(pings.cipher.encipher(2)).is_none(), "never sent");
        let late = pings.add(ping(20_000));
        assert_eq!(late, pings.cipher.encipher(2));
        assert!(pings.take(seqs[1]).is_none(), "too old");
        for i in 0..PINGS_MAX as u64 {
            pings.add(ping(20_001 + i % 2));
        }
        assert!(pings.take(late).is_none(), "bounded");
    }

    #[test]
    fn the_cipher_is_the_published_one() {
        let cipher = Cipher::new(0x1918_1110_0908_0100);
        assert_eq!(cipher.encipher(0x6574_694c), 0xa868_42f2);
        assert_eq!(cipher.decipher(0xa868_42f2), 0x6574_694c);
    }

    #[test]
    fn a_number_does_not_tell_the_next_one() {
        let cipher = Cipher::new(1);
        let numbers: Vec<u32> = (0..10_000).map(|place| cipher.encipher(place)).collect();
        assert!(numbers.iter().zip(0..).all(|(number, place)| cipher.decipher(*number) == place));
        let near = numbers.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 16).count();
        assert!(near < 10, "{near} of 10,000 lie close to the one before");
        assert!(
            numbers
                .iter()
                .zip(0..)
                .all(|(number, place)| Cipher::new(2).encipher(place) != *number || place == 0)
        );
    }
}
