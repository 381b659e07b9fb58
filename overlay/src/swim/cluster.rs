//! Clusters of one name are kept apart: by an id, which members agree on.
//!
//! An address may be another cluster's by now: a machine is gone and its address was given away, a snapshot is old. Where
//! the other cluster has the same name (the default one, as a rule) and neither has a key, nothing else tells the two apart.
//! So a node says which cluster it belongs to with what it sends to nodes that are not known to share that, and a node of
//! another cluster is refused. docs/PROTOCOL.md, section 13, has the rules.

use std::net::SocketAddr;

use super::{Event, Swim, Timer};
use crate::members::{Peer, Slot};
use crate::pings::{Ping, Purpose};
use crate::wire::{ClusterClaim, Datagram, Encoder, Message};
use crate::{ClusterIdentity, DecodeError, Rejection, Time};

/// What this node knows of its cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// None: this node does not tell clusters apart.
    mine: Option<ClusterIdentity>,
    /// How often `mine` was set, and when last. A member that shares it is known by this number.
    version: u32,
    since: Time,
    /// When a member was last asked which cluster it belongs to.
    asked: Option<Time>,
    /// Whether the sender of the datagram in hand says which cluster it belongs to; then so does the answer.
    pub told: bool,
}

impl Cluster {
    pub fn new(mine: Option<ClusterIdentity>, now: Time) -> Self {
        Self { mine, version: 1, since: now, asked: None, told: false }
    }
}

impl Swim {
    /// The cluster that this node belongs to; none if it does not tell clusters apart.
    pub fn cluster(&self) -> Option<ClusterIdentity> {
        self.cluster_identity.mine
    }

    /// Begins a datagram to whoever is thought to be there, in this version.
    pub(super) fn begin_to(&mut self, to: SocketAddr, receiver: Option<Slot>, version: u8) -> Encoder {
        let mut encoder = self.begin(version);
        let Some(identity) = self.cluster_identity.mine else { return encoder };
        let answers = self.cluster_identity.told && self.source.is_some_and(|(from, _)| from == to);
        let shares = receiver.and_then(|slot| self.members.get(slot)).is_some_and(|peer| {
            peer.known.as_ref().is_some_and(|known| known.shares == self.cluster_identity.version)
        });
        if answers || !shares {
            encoder.cluster(&ClusterClaim { identity, exact: false, period: Some(self.params.period) });
        }
        encoder
    }

    /// The same to an address where a member of this cluster was once: only one that still is may answer.
    pub(super) fn begin_to_former(&mut self, version: u8) -> Encoder {
        let mut encoder = self.begin(version);
        if let Some(identity) = self.cluster_identity.mine {
            encoder.cluster(&ClusterClaim { identity, exact: true, period: Some(self.params.period) });
        }
        encoder
    }

    /// Whether a datagram is ignored because its sender is of another cluster; one that asks something is told so. `asked` is
    /// the ping that it answers.
    pub(super) fn refuses(
        &mut self,
        from: SocketAddr,
        length: usize,
        datagram: &Datagram<'_>,
        asked: Option<Ping>,
    ) -> bool {
        self.cluster_identity.told = datagram.cluster.is_some();
        let (Some(ours), Some(claim)) = (self.cluster_identity.mine, datagram.cluster) else { return false };
        let theirs = claim.identity;
        let former = |ping: &Ping| matches!(ping.purpose, Purpose::Knock | Purpose::Return);
        let exact = claim.exact || asked.as_ref().is_some_and(former);
        // With a key the key says who belongs here.
        let apart = theirs.id != ours.id && (exact || (theirs.settled && ours.settled));
        if !apart || self.seal.is_sealed() {
            return false;
        }
        self.stats.rejected.count(Rejection::OtherCluster);
        self.rejected = Some(DecodeError::OtherCluster { ours: ours.id, theirs: theirs.id });
        match datagram.message {
            Message::Ping { seq, to, .. } if to == self.key => self.refuse(from, length, seq),
            Message::Join { seq, .. } => self.refuse(from, length, seq),
            _ => {}
        }
        // Who was there once is not there any more.
        if let Some(ping) = asked.filter(former) {
            self.lost.retain(|address| *address != ping.to);
        }
        true
    }

    /// Says no more than which cluster this is.
    fn refuse(&mut self, to: SocketAddr, length: usize, seq: u32) {
        self.send_within(to, None, &Message::Who { seq }, length, None);
    }

    /// Takes note of what a member says of its cluster. `asked` is the ping that this answers: this node gives its own id up for
    /// that of a seed that it joins, or of a member, only if it has asked there itself.
    pub(super) fn note_cluster(
        &mut self,
        sender: Option<Slot>,
        asked: Option<Ping>,
        datagram: &Datagram<'_>,
    ) {
        let Some(ours) = self.cluster_identity.mine else { return };
        let Some(slot) = sender.filter(|slot| self.members.get(*slot).is_some_and(Peer::is_live)) else {
            return;
        };
        let theirs = datagram.cluster.map(|claim| claim.identity);
        let shares = match theirs {
            // One that was told and says nothing of it is of a release that knows no such thing.
            None => {
                let since = self.cluster_identity.since;
                let answers = matches!(datagram.message, Message::Ack { .. } | Message::Welcome { .. });
                answers && asked.is_some_and(|ping| ping.sent >= since)
            }
            Some(theirs) if theirs == ours => true,
            Some(theirs) if theirs.beats(ours) && asked.is_some() => {
                self.take_cluster(theirs);
                true
            }
            Some(theirs) => {
                if theirs.beats(ours) {
                    self.ask_cluster(slot);
                }
                false
            }
        };
        let version = self.cluster_identity.version;
        if shares && let Some(peer) = self.members.get_mut(slot) {
            peer.known_mut().shares = version;
        }
    }

    /// Asks a member which cluster it belongs to; one at a time, for many may say so.
    fn ask_cluster(&mut self, slot: Slot) {
        let pause = self.params.gossip_interval();
        if self.cluster_identity.asked.is_some_and(|asked| self.now.since(asked) < pause) {
            return;
        }
        self.cluster_identity.asked = Some(self.now);
        if let Some((key, to)) = self.members.get(slot).map(|peer| (peer.key, peer.address())) {
            self.ping(slot, key, to, Purpose::Cluster);
        }
    }

    fn take_cluster(&mut self, identity: ClusterIdentity) {
        let cluster = &mut self.cluster_identity;
        let before = cluster.mine.replace(identity);
        cluster.version += 1;
        cluster.since = self.now;
        self.timers.clear(Timer::Settle);
        self.in_company();
        self.membership_version += 1;
        if let Some(before) = before {
            self.event(Event::Cluster { identity, before });
        }
    }

    /// There is company: with time, the cluster settles.
    pub(super) fn in_company(&mut self) {
        let unsettled = self.cluster_identity.mine.is_some_and(|mine| !mine.settled);
        if unsettled && self.members.live() > 0 {
            self.timers.set_by(Timer::Settle, self.now + self.params.settle());
        }
    }

    /// It has been in company for long enough.
    pub(super) fn on_settle(&mut self) {
        if let Some(mine) = self.cluster_identity.mine.filter(|mine| !mine.settled) {
            self.take_cluster(ClusterIdentity { settled: true, ..mine });
        }
    }
}
