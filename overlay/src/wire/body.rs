//! What a datagram says. Plain data, borrowed from the datagram where it can be.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use super::codec::{BorrowDecode, BorrowDecoder, Decode, DecodeError, Encode, EncodeError, Encoder};
use crate::coordinate::DIMENSIONS;
use crate::member::is_name;
use crate::{
    BootEpoch, ClusterIdentity, Coordinate, DatagramKind, Identity, Incarnation, LoadSample, MemberState,
    NodeKey, NodeName, Versions, Zone,
};

/// Who sends, and what everyone wants to know of it. In every datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Head {
    from: [u8; 8],
    boot: [u8; 6],
    incarnation: u32,
    live: [u8; 4],
}

impl Head {
    pub fn new(from: NodeKey, boot: BootEpoch, incarnation: Incarnation, live: u32) -> Self {
        Self {
            from: from.0.to_le_bytes(),
            boot: boot_to_wire(boot),
            incarnation: incarnation.0,
            live: live.to_le_bytes(),
        }
    }

    pub fn from(&self) -> NodeKey {
        NodeKey(u64::from_le_bytes(self.from))
    }

    pub fn boot(&self) -> BootEpoch {
        boot_from_wire(self.boot)
    }

    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }

    /// Digest of the sender's live set.
    pub fn live(&self) -> u32 {
        u32::from_le_bytes(self.live)
    }
}

/// What the datagram is for. At most one in a datagram; none means that it only carries news.
///
/// ```text
/// A --Join--> B                A --Ping--> B           A --PingReq--> R --Ping--> B
/// A <-Welcome- B               A <--Ack--- B           A <--Relayed-- R <--Ack--- B
///   (with the members)                                 A <--Nack----- R   (no ack in time)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Only news.
    News,
    /// Answer with [`Message::Ack`] if you are `to`, or with [`Message::Who`] if you don't know me. I introduce myself
    /// until you have answered.
    Ping { seq: u32, to: NodeKey, from: Option<Record<'a>> },
    /// Answer to a ping.
    Ack { seq: u32 },
    /// Ping `target` for me; answer with [`Message::Relayed`] or [`Message::Nack`].
    PingReq { seq: u32, target: NodeKey },
    /// `target` answered, with this incarnation.
    Relayed { seq: u32, target: NodeKey, boot: BootEpoch, incarnation: Incarnation },
    /// The one to be pinged has not answered yet; I, whom you asked, am alive.
    Nack { seq: u32 },
    /// I want to be a member; answer with [`Message::Welcome`].
    Join { seq: u32, from: Record<'a> },
    /// I don't know you: ping me again and introduce yourself.
    Who { seq: u32 },
    /// You are one. The updates are members I know.
    Welcome { seq: u32 },
    /// Digests of what I know; answer for those that differ from yours, with [`Message::Ranges`] of their parts or
    /// with [`Message::Records`].
    Ranges(Vec<Range>),
    /// The updates are all the members I know with keys from `first` to `last`; answer with what I lack.
    Records { first: u64, last: u64 },
}

impl Message<'_> {
    /// What a datagram with this message is for.
    pub const fn purpose(&self) -> DatagramKind {
        match self {
            Self::News => DatagramKind::News,
            Self::Ping { .. } => DatagramKind::Ping,
            Self::Ack { .. } => DatagramKind::Ack,
            Self::PingReq { .. } => DatagramKind::PingReq,
            Self::Relayed { .. } => DatagramKind::Relayed,
            Self::Nack { .. } => DatagramKind::Nack,
            Self::Join { .. } => DatagramKind::Join,
            Self::Who { .. } => DatagramKind::Who,
            Self::Welcome { .. } => DatagramKind::Welcome,
            Self::Ranges(_) => DatagramKind::Ranges,
            Self::Records { .. } => DatagramKind::Records,
        }
    }
}

/// A range of keys and the digest of the live members in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: u64,
    pub last: u64,
    pub digest: u64,
}

/// [`Identity`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Record<'a> {
    pub name: &'a str,
    boot: [u8; 6],
    gossip: SocketAddr,
    http_port: u16,
    zone: &'a str,
    capacity_jobs: u16,
    oldest: u8,
    newest: u8,
    key: KnownKey,
}

/// The key of a record's name once it was asked for: a datagram with sixty records is looked through more than once.
/// It is nothing on the wire, and nothing that two records differ by.
#[derive(Clone, Debug, Default)]
struct KnownKey(Cell<Option<NodeKey>>);

impl PartialEq for KnownKey {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KnownKey {}

impl Encode for KnownKey {
    fn encode<E: Encoder>(&self, _: &mut E) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<'de, C> BorrowDecode<'de, C> for KnownKey {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(_: &mut D) -> Result<Self, DecodeError> {
        Ok(Self::default())
    }
}

impl<'a> From<&'a Identity> for Record<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            name: identity.name.as_str(),
            boot: boot_to_wire(identity.boot),
            gossip: identity.gossip,
            http_port: identity.http_port,
            zone: identity.zone.as_str(),
            capacity_jobs: identity.capacity_jobs,
            oldest: identity.versions.oldest(),
            newest: identity.versions.newest(),
            key: KnownKey::default(),
        }
    }
}

impl Record<'_> {
    pub fn boot(&self) -> BootEpoch {
        boot_from_wire(self.boot)
    }

    pub fn key(&self) -> NodeKey {
        self.key.0.get().unwrap_or_else(|| {
            let key = NodeKey::of_text(self.name);
            self.key.0.set(Some(key));
            key
        })
    }

    pub fn gossip(&self) -> SocketAddr {
        self.gossip
    }

    /// Whether each field is within its bounds. The decoder lets only such records through.
    pub fn is_valid(&self) -> bool {
        let ip = self.gossip.ip();
        let reachable = self.gossip.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
        reachable && is_name(self.name) && is_name(self.zone) && self.versions().is_some()
    }

    fn versions(&self) -> Option<Versions> {
        Versions::new(self.oldest, self.newest)
    }

    /// The identity; none if a field is out of its bounds.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            name: self.name.parse::<NodeName>().ok()?,
            boot: self.boot(),
            gossip: self.gossip,
            http_port: self.http_port,
            zone: self.zone.parse::<Zone>().ok()?,
            capacity_jobs: self.capacity_jobs,
            versions: self.versions()?,
        })
    }
}

/// Whom an update is about: in full where the receiver may not know the member, else by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject<I> {
    /// All that the member says of itself.
    Full(I),
    /// The member's key, and the boot that the update speaks of.
    Key(NodeKey, BootEpoch),
}

/// One piece of news about the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update<I> {
    pub subject: Subject<I>,
    pub incarnation: Incarnation,
    pub state: MemberState,
    /// Who suspects, for a suspicion.
    pub by: Option<NodeKey>,
}

/// Another member's load sample, passed on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadEntry {
    /// [`NodeKey::head`] of the member.
    pub of: u32,
    /// Tells the boots of a node apart: the low half of its boot epoch's milliseconds.
    pub boot_low: u16,
    /// Age of the sample when it was sent.
    pub age: Duration,
    pub sample: LoadSample,
    /// Where the member is; given for those of other zones than the receiver's.
    pub coordinate: Option<Coordinate>,
}

/// Which cluster a node belongs to, as it says, and what all members of one should share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterClaim {
    pub identity: ClusterIdentity,
    /// What it asks is for members of the same cluster only.
    pub exact: bool,
    /// Its protocol period, in steps of 10 ms; none from a node of an older release.
    pub period: Option<Duration>,
}

/// A claim's period is told in steps of so many milliseconds.
pub(super) const PERIOD_STEP_MS: u128 = 10;
/// Bit of a claim's flags: its cluster has settled.
pub(super) const CLUSTER_SETTLED: u8 = 1;
/// Bit of a claim's flags: it is exact.
pub(super) const CLUSTER_EXACT: u8 = 2;

/// A coordinate in sixteenths of a millisecond: nine bytes.
#[derive(Encode, Decode)]
pub(super) struct WireCoordinate {
    position: [[u8; 2]; DIMENSIONS],
    height: [u8; 2],
    /// In hundredths.
    error: u8,
}

/// Steps of a coordinate's numbers in a millisecond.
const STEPS_PER_MS: f32 = 16.0;

impl From<&Coordinate> for WireCoordinate {
    fn from(coordinate: &Coordinate) -> Self {
        // Casts from floats saturate.
        Self {
            position: coordinate.position.map(|part| ((part * STEPS_PER_MS).round() as i16).to_le_bytes()),
            height: ((coordinate.height * STEPS_PER_MS).round() as u16).to_le_bytes(),
            error: (coordinate.error * 100.0).round() as u8,
        }
    }
}

impl WireCoordinate {
    pub(super) fn coordinate(&self) -> Coordinate {
        Coordinate {
            position: self.position.map(|part| f32::from(i16::from_le_bytes(part)) / STEPS_PER_MS),
            height: f32::from(u16::from_le_bytes(self.height)) / STEPS_PER_MS,
            error: f32::from(self.error.max(1)) / 100.0,
        }
    }
}

pub(super) fn boot_to_wire(boot: BootEpoch) -> [u8; 6] {
    let bytes = boot.min(BootEpoch::MAX).0.to_le_bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]
}

pub(super) fn boot_from_wire(bytes: [u8; 6]) -> BootEpoch {
    let mut wide = [0; 8];
    wide[..6].copy_from_slice(&bytes);
    BootEpoch(u64::from_le_bytes(wide))
}

/// Kinds of sections. New kinds may be added; old receivers skip them.
pub(super) mod kind {
    pub const PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const PING_REQ: u8 = 3;
    pub const RELAYED: u8 = 4;
    pub const NACK: u8 = 5;
    pub const JOIN: u8 = 6;
    pub const WELCOME: u8 = 7;
    pub const RANGES: u8 = 8;
    pub const RECORDS: u8 = 9;
    pub const WHO: u8 = 10;
    pub const LOAD: u8 = 16;
    pub const UPDATES: u8 = 17;
    pub const LOADS: u8 = 18;
    pub const COORDINATE: u8 = 19;
    pub const PROMISE: u8 = 20;
    pub const CLUSTER: u8 = 21;
    pub const HARDWARE: u8 = 22;
    pub const BACKLOGS: u8 = 23;
    /// Zeros that make a datagram larger, so that its answer does not amplify it.
    pub const PADDING: u8 = 255;

    /// The kinds above that hold something: a release reads these and skips all others.
    #[cfg(test)]
    pub const READ: [std::ops::RangeInclusive<u8>; 2] = [PING..=WHO, LOAD..=BACKLOGS];
}

/// Bytes before a section's payload: kind and length.
pub(super) const SECTION_HEAD_BYTES: usize = 3;
/// In the first byte of an update: its subject is given in full.
pub(super) const UPDATE_FULL: u8 = 0x10;
/// In the first byte of an update: a suspector follows.
pub(super) const UPDATE_BY: u8 = 0x20;
