//! Bytes to typed messages. Nothing here trusts anything.

use std::time::Duration;

use super::body::{
    CLUSTER_EXACT, CLUSTER_SETTLED, PERIOD_STEP_MS, UPDATE_BY, UPDATE_FULL, WireCoordinate, boot_from_wire,
    kind,
};
use super::codec::{self, BorrowDecode};
use super::load::{WITH_BACKLOG, WITH_COORDINATE, WireLoad, age_from_wire, from_short_float};
use super::{
    ClusterClaim, DecodeError, Head, LOADS_MAX, LoadEntry, Message, RANGES_MAX, Range, Record, Seal, Subject,
    UPDATES_MAX, Update,
};
use crate::{ClusterId, ClusterIdentity, Coordinate, Incarnation, LoadSample, MemberState, NodeKey};

/// One datagram, decoded and checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Datagram<'a> {
    /// Of the protocol.
    pub version: u8,
    pub head: Head,
    pub message: Message<'a>,
    /// The sender's own load and its age.
    pub load: Option<(LoadSample, Duration)>,
    /// Where the sender is.
    pub coordinate: Option<Coordinate>,
    /// Within what time the sender will be heard of again; zero if it keeps an earlier promise.
    pub promise: Option<Duration>,
    /// Which cluster the sender belongs to, if it says so.
    pub cluster: Option<ClusterClaim>,
    pub lists: Lists<'a>,
    /// Where in the loads their last list begins.
    list_begins: usize,
}

/// The lists of a datagram. Their allocations outlive it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lists<'a> {
    pub updates: Vec<Update<Record<'a>>>,
    pub loads: Vec<LoadEntry>,
}

impl Lists<'_> {
    /// The same, empty, for another datagram.
    pub fn emptied<'b>(mut self) -> Lists<'b> {
        self.updates.clear();
        self.loads.clear();
        // Nothing is left that borrows the old datagram. Collecting a vector into one of its like keeps the allocation.
        let updates = self.updates.into_iter().map(|_| unreachable!("it is empty")).collect();
        Lists { updates, loads: self.loads }
    }
}

/// Opens and decodes a datagram in place.
pub(crate) fn decode<'a>(
    seal: &Seal,
    bytes: &'a mut [u8],
    lists: Lists<'a>,
) -> Result<Datagram<'a>, DecodeError> {
    let (version, body) = seal.open(bytes)?;
    let mut rest = Reader(body);
    let head = rest.take("head")?;
    let message = Message::News;
    let mut datagram = Datagram {
        version,
        head,
        message,
        load: None,
        coordinate: None,
        promise: None,
        cluster: None,
        lists,
        list_begins: 0,
    };
    while !rest.0.is_empty() {
        let (kind, payload) = rest.section()?;
        datagram.section(kind, Reader(payload))?;
    }
    Ok(datagram)
}

impl<'a> Datagram<'a> {
    fn section(&mut self, kind: u8, mut payload: Reader<'a>) -> Result<(), DecodeError> {
        let message = match kind {
            kind::PING => {
                let (seq, to, from) = payload.take::<(u32, [u8; 8], Option<Record<'a>>)>("ping")?;
                from.iter().try_for_each(check)?;
                Message::Ping { seq, to: key(to), from }
            }
            kind::ACK => Message::Ack { seq: payload.take("ack")? },
            kind::PING_REQ => {
                let (seq, target) = payload.take("ping request")?;
                Message::PingReq { seq, target: key(target) }
            }
            kind::RELAYED => {
                let (seq, target, boot, incarnation) = payload.take("relayed ack")?;
                let (boot, incarnation) = (boot_from_wire(boot), Incarnation(incarnation));
                Message::Relayed { seq, target: key(target), boot, incarnation }
            }
            kind::NACK => Message::Nack { seq: payload.take("nack")? },
            kind::JOIN => {
                let (seq, from) = payload.take::<(u32, Record<'a>)>("join")?;
                check(&from)?;
                Message::Join { seq, from }
            }
            kind::WHO => Message::Who { seq: payload.take("who")? },
            kind::WELCOME => Message::Welcome { seq: payload.take("welcome")? },
            kind::RANGES => {
                let mut ranges = Vec::new();
                while !payload.0.is_empty() {
                    if ranges.len() == RANGES_MAX {
                        return Err(DecodeError::Malformed("ranges: too many"));
                    }
                    let [first, last, digest] =
                        payload.take::<[[u8; 8]; 3]>("ranges")?.map(u64::from_le_bytes);
                    if first > last {
                        return Err(DecodeError::Malformed("ranges: backwards"));
                    }
                    ranges.push(Range { first, last, digest });
                }
                Message::Ranges(ranges)
            }
            kind::RECORDS => {
                let [first, last] = payload.take::<[[u8; 8]; 2]>("records")?.map(u64::from_le_bytes);
                if first > last {
                    return Err(DecodeError::Malformed("records: backwards"));
                }
                Message::Records { first, last }
            }
            _ => return self.news(kind, payload),
        };
        if self.message != Message::News {
            return Err(DecodeError::Malformed("datagram: two messages in one"));
        }
        self.message = message;
        Ok(())
    }

    fn news(&mut self, kind: u8, mut payload: Reader<'a>) -> Result<(), DecodeError> {
        match kind {
            kind::LOAD => {
                let age = payload.take("load")?;
                let (mut sample, with) = payload.load()?;
                if with & WITH_BACKLOG != 0 {
                    sample.backlog_ms = payload.backlog()?;
                }
                self.load = Some((sample, age_from_wire(age)));
            }
            kind::HARDWARE => {
                let hardware = payload.take("hardware")?;
                if let Some((sample, _)) = &mut self.load {
                    sample.hardware = hardware;
                }
            }
            kind::COORDINATE => {
                self.coordinate = Some(payload.take::<WireCoordinate>("coordinate")?.coordinate());
            }
            kind::PROMISE => {
                let within_cs: u16 = payload.take("promise")?;
                self.promise = Some(Duration::from_millis(u64::from(within_cs) * 10));
            }
            kind::CLUSTER => {
                let (id, flags): ([u8; 8], u8) = payload.take("cluster")?;
                let (id, settled) = (ClusterId(u64::from_le_bytes(id)), flags & CLUSTER_SETTLED != 0);
                let exact = flags & CLUSTER_EXACT != 0;
                let period = if payload.0.is_empty() { None } else { Some(payload.period()?) };
                self.cluster =
                    Some(ClusterClaim { identity: ClusterIdentity { id, settled }, exact, period });
            }
            kind::UPDATES => {
                while !payload.0.is_empty() {
                    if self.lists.updates.len() == UPDATES_MAX {
                        return Err(DecodeError::Malformed("updates: too many"));
                    }
                    self.lists.updates.push(payload.update()?);
                }
            }
            kind::LOADS => {
                self.list_begins = self.lists.loads.len();
                while !payload.0.is_empty() {
                    if self.lists.loads.len() == LOADS_MAX {
                        return Err(DecodeError::Malformed("loads: too many"));
                    }
                    self.lists.loads.push(payload.load_entry()?);
                }
            }
            kind::BACKLOGS => {
                let mut entries = self.lists.loads.iter_mut().skip(self.list_begins);
                while !payload.0.is_empty() {
                    let entry = entries.next().ok_or(DecodeError::Malformed("backlogs: too many"))?;
                    entry.sample.backlog_ms = payload.backlog()?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<T: BorrowDecode<'a, ()>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let (value, used) = codec::take(self.0).ok_or(DecodeError::Malformed(what))?;
        self.0 = &self.0[used..];
        Ok(value)
    }

    fn section(&mut self) -> Result<(u8, &'a [u8]), DecodeError> {
        let cut = DecodeError::Malformed("section: cut short");
        let ([kind, low, high], rest) = self.0.split_first_chunk().ok_or(cut)?;
        let (payload, rest) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into()).ok_or(cut)?;
        self.0 = rest;
        Ok((*kind, payload))
    }

    fn period(&mut self) -> Result<Duration, DecodeError> {
        let steps = u16::from_le_bytes(self.take("cluster: period")?);
        Ok(Duration::from_millis(u64::from(steps) * PERIOD_STEP_MS as u64))
    }

    /// A sample, and the bits for what goes with it.
    fn load(&mut self) -> Result<(LoadSample, u8), DecodeError> {
        let load: WireLoad = self.take("load")?;
        Ok((load.sample().ok_or(DecodeError::Malformed("load: out of range"))?, load.with()))
    }

    fn backlog(&mut self) -> Result<u32, DecodeError> {
        let bits: [u8; 2] = self.take("backlog")?;
        from_short_float(u16::from_le_bytes(bits)).ok_or(DecodeError::Malformed("backlog: out of range"))
    }

    fn load_entry(&mut self) -> Result<LoadEntry, DecodeError> {
        let (of, boot_low, age): ([u8; 4], [u8; 2], u8) = self.take("load entry")?;
        let (sample, with) = self.load()?;
        let coordinate = if with & WITH_COORDINATE == 0 {
            None
        } else {
            Some(self.take::<WireCoordinate>("load entry")?.coordinate())
        };
        let (of, boot_low) = (u32::from_le_bytes(of), u16::from_le_bytes(boot_low));
        Ok(LoadEntry { of, boot_low, age: age_from_wire(age), sample, coordinate })
    }

    fn update(&mut self) -> Result<Update<Record<'a>>, DecodeError> {
        let first: u8 = self.take("update")?;
        let state = match first & 0x0f {
            0 => MemberState::Alive,
            1 => MemberState::Suspect,
            2 => MemberState::Dead,
            3 => MemberState::Left,
            _ => return Err(DecodeError::Malformed("update: unknown state")),
        };
        let subject = if first & UPDATE_FULL != 0 {
            let record = self.take("update")?;
            check(&record)?;
            Subject::Full(record)
        } else {
            let (of, boot) = self.take("update")?;
            Subject::Key(key(of), boot_from_wire(boot))
        };
        let incarnation = Incarnation(self.take("update")?);
        let by = if first & UPDATE_BY != 0 { Some(key(self.take("update")?)) } else { None };
        Ok(Update { subject, incarnation, state, by })
    }
}

fn key(bytes: [u8; 8]) -> NodeKey {
    NodeKey(u64::from_le_bytes(bytes))
}

fn check(record: &Record<'_>) -> Result<(), DecodeError> {
    if record.is_valid() { Ok(()) } else { Err(DecodeError::Malformed("identity: out of bounds")) }
}
