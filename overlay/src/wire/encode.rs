//! Typed messages to bytes, within a datagram's size.

use std::time::Duration;

use rand::RngCore;

use super::body::{
    CLUSTER_EXACT, CLUSTER_SETTLED, PERIOD_STEP_MS, SECTION_HEAD_BYTES, UPDATE_BY, UPDATE_FULL,
    WireCoordinate, boot_to_wire, kind,
};
use super::codec::{self, Encode};
use super::load::{WITH_BACKLOG, WITH_COORDINATE, WireLoad, age_to_wire, short_float};
use super::{
    ClusterClaim, DATAGRAM_BYTES_MAX, Head, LOADS_MAX, LoadEntry, Message, RANGES_MAX, Record, Seal, Subject,
    UPDATES_MAX, Update,
};
use crate::{Coordinate, DatagramKind, Identity, LoadSample, MemberState};

/// Builds one datagram. Sections go in as long as they fit; what does not fit is refused, never cut.
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    /// Where the body must end so that the seal still fits.
    end_max: usize,
    /// Kind of the open list section, where its head is, and how many entries it has.
    list: Option<(u8, usize, usize)>,
    /// The backlogs of the load entries in the open list, in its order.
    backlogs: Backlogs,
    /// What the datagram is for.
    purpose: DatagramKind,
}

/// Waits of members whose loads are passed on. They stand in a section of their own, which older releases skip: an entry can't grow.
/// Most wait for nothing, so what is zero at the end is left out, and the section where all are.
#[derive(Clone, Copy)]
struct Backlogs {
    all: [u16; LOADS_MAX],
    count: usize,
}

impl Backlogs {
    const NONE: Self = Self { all: [0; LOADS_MAX], count: 0 };

    fn said(&self) -> &[u16] {
        let end = self.all[..self.count].iter().rposition(|backlog| *backlog != 0).map_or(0, |last| last + 1);
        &self.all[..end]
    }

    /// Bytes of the section.
    fn bytes(&self) -> usize {
        match self.said().len() {
            0 => 0,
            count => SECTION_HEAD_BYTES + 2 * count,
        }
    }

    /// With one more. More than fit into a list are none that is passed on.
    fn and(mut self, backlog: u16) -> Self {
        if let Some(place) = self.all.get_mut(self.count) {
            *place = backlog;
            self.count += 1;
        }
        self
    }
}

impl Encoder {
    /// Begins a datagram in a version that the seal speaks, in `bytes`, which is cleared; its allocation is kept.
    pub fn new(mut bytes: Vec<u8>, seal: &Seal, version: u8, rng: &mut impl RngCore, head: &Head) -> Self {
        bytes.clear();
        seal.begin(version, &mut bytes, rng);
        let end_max = DATAGRAM_BYTES_MAX - seal.trailer_bytes();
        let mut encoder =
            Self { bytes, end_max, list: None, backlogs: Backlogs::NONE, purpose: DatagramKind::News };
        encoder.put(head);
        encoder
    }

    /// Makes later sections refuse to grow the body past `bytes`.
    pub fn limit(&mut self, bytes: usize) {
        self.end_max = self.end_max.min(bytes);
    }

    /// What the datagram is for, so far.
    pub const fn purpose(&self) -> DatagramKind {
        self.purpose
    }

    pub fn message(&mut self, message: &Message<'_>) {
        self.purpose = message.purpose();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        let kind = match message {
            Message::News => {
                self.bytes.truncate(start);
                return;
            }
            Message::Ping { seq, to, from } => {
                self.put(&(seq, to.0.to_le_bytes(), from));
                kind::PING
            }
            Message::Ack { seq } => {
                self.put(seq);
                kind::ACK
            }
            Message::PingReq { seq, target } => {
                self.put(&(seq, target.0.to_le_bytes()));
                kind::PING_REQ
            }
            Message::Relayed { seq, target, boot, incarnation } => {
                self.put(&(seq, target.0.to_le_bytes(), boot_to_wire(*boot), incarnation.0));
                kind::RELAYED
            }
            Message::Nack { seq } => {
                self.put(seq);
                kind::NACK
            }
            Message::Join { seq, from } => {
                self.put(&(seq, from));
                kind::JOIN
            }
            Message::Who { seq } => {
                self.put(seq);
                kind::WHO
            }
            Message::Welcome { seq } => {
                self.put(seq);
                kind::WELCOME
            }
            Message::Ranges(ranges) => {
                for range in ranges.iter().take(RANGES_MAX) {
                    self.put(&[range.first, range.last, range.digest].map(u64::to_le_bytes));
                }
                kind::RANGES
            }
            Message::Records { first, last } => {
                self.put(&[*first, *last].map(u64::to_le_bytes));
                kind::RECORDS
            }
        };
        self.close(kind, start);
    }

    /// The sender's own load and its age.
    pub fn load(&mut self, sample: &LoadSample, age: Duration) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        let with = if sample.backlog_ms > 0 { WITH_BACKLOG } else { 0 };
        self.put(&(age_to_wire(age), WireLoad::new(sample, with)));
        if with != 0 {
            self.put(&short_float(sample.backlog_ms).to_le_bytes());
        }
        self.close(kind::LOAD, start);
        // Few nodes have any: it costs the others nothing.
        if sample.hardware != 0 {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
            self.put(&sample.hardware);
            self.close(kind::HARDWARE, start);
        }
    }

    /// Where the sender is.
    pub fn coordinate(&mut self, coordinate: &Coordinate) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        self.put(&WireCoordinate::from(coordinate));
        self.close(kind::COORDINATE, start);
    }

    /// When the sender will be heard of again; zero if it keeps an earlier promise.
    pub fn promise(&mut self, within: Duration) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        self.put(&u16::try_from(within.as_millis().div_ceil(10)).unwrap_or(u16::MAX));
        self.close(kind::PROMISE, start);
    }

    /// Which cluster the sender belongs to.
    pub fn cluster(&mut self, claim: &ClusterClaim) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        let settled = if claim.identity.settled { CLUSTER_SETTLED } else { 0 };
        let exact = if claim.exact { CLUSTER_EXACT } else { 0 };
        self.put(&(claim.identity.id.0.to_le_bytes(), settled | exact));
        if let Some(period) = claim.period {
            self.put(&u16::try_from(period.as_millis() / PERIOD_STEP_MS).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.close(kind::CLUSTER, start);
    }

    /// Adds one update; false if there is no room for it.
    #[must_use]
    pub fn update(&mut self, update: &Update<&Identity>) -> bool {
        self.entry(kind::UPDATES, UPDATES_MAX, |this| {
            let full = if matches!(update.subject, Subject::Full(_)) { UPDATE_FULL } else { 0 };
            let by = if update.by.is_some() { UPDATE_BY } else { 0 };
            this.bytes.push(state_code(update.state) | full | by);
            match update.subject {
                Subject::Full(identity) => this.put(&Record::from(identity)),
                Subject::Key(key, boot) => this.put(&(key.0.to_le_bytes(), boot_to_wire(boot))),
            }
            this.put(&update.incarnation.0);
            if let Some(by) = update.by {
                this.put(&by.0.to_le_bytes());
            }
        })
    }

    /// Adds another member's load; false if there is no room for it.
    #[must_use]
    pub fn load_entry(&mut self, entry: &LoadEntry) -> bool {
        let end_max = self.end_max;
        let open = self.list.is_some_and(|(kind, ..)| kind == kind::LOADS);
        let before = if open { self.backlogs } else { Backlogs::NONE };
        let after = before.and(short_float(entry.sample.backlog_ms));
        // What is said of the backlogs follows when the list is closed.
        self.end_max = end_max.saturating_sub(after.bytes());
        let fits = self.entry(kind::LOADS, LOADS_MAX, |this| {
            let with = if entry.coordinate.is_some() { WITH_COORDINATE } else { 0 };
            let (of, boot_low) = (entry.of.to_le_bytes(), entry.boot_low.to_le_bytes());
            this.put(&(of, boot_low, age_to_wire(entry.age), WireLoad::new(&entry.sample, with)));
            if let Some(coordinate) = &entry.coordinate {
                this.put(&WireCoordinate::from(coordinate));
            }
        });
        self.end_max = end_max;
        self.backlogs = if fits { after } else { before };
        fits
    }

    /// Grows the datagram to its largest size.
    pub fn pad(&mut self) {
        self.close_list();
        let room = self.end_max.saturating_sub(self.bytes.len());
        if room >= SECTION_HEAD_BYTES {
            let start = self.bytes.len();
            self.bytes.resize(start + room, 0);
            self.close(kind::PADDING, start);
        }
    }

    /// Seals the datagram.
    pub fn finish(mut self, seal: &Seal) -> Vec<u8> {
        self.close_list();
        seal.seal(&mut self.bytes);
        self.bytes
    }

    fn entry(&mut self, kind: u8, entries_max: usize, write: impl FnOnce(&mut Self)) -> bool {
        if self.list.is_some_and(|(open, ..)| open != kind) {
            self.close_list();
        }
        let before = self.bytes.len();
        let (_, start, entries) = *self.list.get_or_insert((kind, before, 0));
        if start == before {
            self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
        }
        write(self);
        if self.bytes.len() > self.end_max || entries == entries_max {
            self.bytes.truncate(before);
            if start == before {
                self.list = None;
            }
            return false;
        }
        self.list = Some((kind, start, entries + 1));
        true
    }

    fn close_list(&mut self) {
        let Some((kind, start, _)) = self.list.take() else { return };
        self.close(kind, start);
        let backlogs = std::mem::replace(&mut self.backlogs, Backlogs::NONE);
        if kind == kind::LOADS && !backlogs.said().is_empty() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&[0; SECTION_HEAD_BYTES]);
            self.bytes.extend(backlogs.said().iter().flat_map(|backlog| backlog.to_le_bytes()));
            self.close(kind::BACKLOGS, start);
        }
    }

    fn close(&mut self, kind: u8, start: usize) {
        let length = (self.bytes.len() - start - SECTION_HEAD_BYTES) as u16;
        self.bytes[start] = kind;
        self.bytes[start + 1..start + SECTION_HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    fn put(&mut self, value: &impl Encode) {
        codec::put(value, &mut self.bytes);
    }
}

fn state_code(state: MemberState) -> u8 {
    match state {
        MemberState::Alive => 0,
        MemberState::Suspect => 1,
        MemberState::Dead => 2,
        MemberState::Left => 3,
    }
}
