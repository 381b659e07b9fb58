//! Log lines: one an event, and for what strangers send no more than one in a while.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::lines::{Line, Lines, Unsaid};
use super::pace::Pace;
use crate::{DecodeError, Event, OpenError, Rejection, Subject};

const TARGET: &str = "starling::overlay";
/// Of datagrams that are ignored for one reason, one is told in this time: anyone can send any number of them.
const IGNORED_INTERVAL: Duration = Duration::from_secs(60);
/// A node that is starved of CPU is held up over and over. Who was stopped for longer than this is told each time.
const THAWED_INTERVAL: Duration = Duration::from_secs(10);
/// Another cluster's nodes go on asking for as long as they have an address of this one.
const OTHER_CLUSTER_INTERVAL: Duration = Duration::from_secs(600);

/// What was said, so far as it must not be said too often.
#[derive(Debug)]
pub(super) struct Log {
    /// By reason.
    ignored: [Pace; Rejection::ALL.len()],
    thawed: Pace,
    lines: Lines,
    /// For how long this node was held up since that was last said.
    frozen: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            ignored: Rejection::ALL.map(|reason| {
                let other = reason == Rejection::OtherCluster;
                Pace::new(if other { OTHER_CLUSTER_INTERVAL } else { IGNORED_INTERVAL })
            }),
            thawed: Pace::new(THAWED_INTERVAL),
            lines: Lines::default(),
            frozen: Duration::ZERO,
        }
    }
}

impl Log {
    pub fn event(&mut self, now: Instant, event: &Event) {
        if let Some((member, line)) = about(event)
            && !self.lines.say(now, &member.identity.name, line)
        {
            return;
        }
        match event {
            Event::Joined(member) => info("joined", member),
            Event::Suspected { member, by } => {
                let by = by.as_ref().map_or("unknown", |name| name.as_str());
                tracing::warn!(
                    target: TARGET,
                    member = %member.identity.name,
                    zone = %member.identity.zone,
                    gossip = %member.identity.gossip,
                    incarnation = member.incarnation.0,
                    rtt_ms = rtt_ms(member),
                    by,
                    "suspected"
                );
            }
            Event::Refuted(member) => info("refuted", member),
            Event::Failed(member) => warn("failed", member),
            Event::Left(member) => info("left", member),
            Event::Rejoined(member) => info("rejoined", member),
            Event::Moved { member, from } => tracing::info!(
                target: TARGET,
                member = %member.identity.name,
                %from,
                gossip = %member.identity.gossip,
                "moved"
            ),
            Event::Elsewhere { member, heard_at } => tracing::warn!(
                target: TARGET,
                member = %member.identity.name,
                gossip = %member.identity.gossip,
                %heard_at,
                "the member answers from another address than it says that it has, and jobs may not find it; check its \
                 --advertise"
            ),
            Event::OtherTiming { member, theirs, ours } => tracing::warn!(
                target: TARGET,
                member = %member.identity.name,
                gossip = %member.identity.gossip,
                period_ms = theirs.as_millis() as u64,
                own_period_ms = ours.as_millis() as u64,
                "the member has another protocol period than this node, so that one of the two suspects members too early or too late; \
                 give all nodes of the cluster the same --timing"
            ),
            Event::NameConflict { name, other, superseded } => {
                let advice = if *superseded {
                    "the cluster listens to the other one; stop one of them or give it a name of its own"
                } else {
                    "the cluster listens to this one; stop one of them or give it a name of its own"
                };
                tracing::error!(target: TARGET, %name, %other, "another live node has this node's name: {advice}");
            }
            Event::Cluster { identity, before } => tracing::info!(
                target: TARGET,
                id = %identity.id,
                settled = identity.settled,
                // The same id may have become settled.
                before = (before.id != identity.id).then(|| tracing::field::display(before.id)),
                "cluster"
            ),
            Event::Thawed { late } => self.thawed(now, *late),
            Event::NotConverged { time, unheard, names } => {
                let members = names.iter().map(crate::NodeName::as_str).collect::<Vec<_>>().join(",");
                let more = unheard.saturating_sub(names.len());
                tracing::warn!(
                    target: TARGET,
                    members,
                    more,
                    unheard,
                    not_converged_s = time.as_secs(),
                    "not converged for {} s: {}",
                    time.as_secs(),
                    match unheard {
                        0 => "all members are heard of, but not all hold the same ones live: compare the nodes' /members".to_owned(),
                        _ => format!("{unheard} members not heard of"),
                    }
                );
            }
            Event::Converged(convergence) => tracing::info!(
                target: TARGET,
                members = convergence.members,
                elapsed_ms = convergence.elapsed.as_millis() as u64,
                periods = convergence.periods,
                about = convergence.about.as_ref().map(tracing::field::display),
                "converged"
            ),
        }
    }

    /// Tells what was left out, if it is time to.
    pub fn flush(&mut self, now: Instant) {
        for (member, Unsaid { counts, last }) in self.lines.due(now) {
            let [joined, suspected, refuted, failed, left, rejoined, moved, elsewhere] = counts;
            let member = member.as_ref().map_or("many", |name| name.as_str());
            let last = last.map(|line| format!("{line:?}").to_lowercase());
            tracing::warn!(
                target: TARGET,
                member,
                joined,
                suspected,
                refuted,
                failed,
                left,
                rejoined,
                moved,
                elsewhere,
                last,
                "unsteady: so much happened within a minute and was not told one by one"
            );
        }
    }

    fn thawed(&mut self, now: Instant, late: Duration) {
        self.frozen += late;
        if let Some(times) = self.thawed.happened(now) {
            let frozen_ms = std::mem::take(&mut self.frozen).as_millis() as u64;
            tracing::info!(target: TARGET, frozen_ms, times, "thawed");
        }
    }

    /// A datagram from there was ignored.
    pub fn ignored(&mut self, now: Instant, from: SocketAddr, error: DecodeError) {
        let reason = Rejection::from(error);
        let Some(datagrams) = self.ignored[reason as usize].happened(now) else { return };
        let (reason, advice) = (reason.as_str(), advice(error));
        tracing::warn!(target: TARGET, %from, reason, %error, datagrams, "datagram ignored: {advice}");
    }
}

/// Which member an event is about, and what is said of it.
fn about(event: &Event) -> Option<(&Subject, Line)> {
    match event {
        Event::Joined(member) => Some((member, Line::Joined)),
        Event::Suspected { member, .. } => Some((member, Line::Suspected)),
        Event::Refuted(member) => Some((member, Line::Refuted)),
        Event::Failed(member) => Some((member, Line::Failed)),
        Event::Left(member) => Some((member, Line::Left)),
        Event::Rejoined(member) => Some((member, Line::Rejoined)),
        Event::Moved { member, .. } => Some((member, Line::Moved)),
        Event::Elsewhere { member, .. } => Some((member, Line::Elsewhere)),
        Event::OtherTiming { .. }
        | Event::NameConflict { .. }
        | Event::Cluster { .. }
        | Event::Thawed { .. }
        | Event::NotConverged { .. }
        | Event::Converged(_) => None,
    }
}

/// What to do about a datagram that was ignored.
fn advice(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Open(OpenError::Length) => {
            "no node sends one of that length; find out what sends from there"
        }
        DecodeError::Open(OpenError::Version(_)) => {
            "its sender speaks another version of the protocol; upgrade one release after the other"
        }
        DecodeError::Open(OpenError::Unsealed) => {
            "its sender has no key, and this node has one; if it belongs here, give it the cluster's --key-file"
        }
        DecodeError::Open(OpenError::Keyless) => {
            "its sender has a key, and this node has none; if they belong together, give this node the cluster's \
             --key-file"
        }
        DecodeError::Open(OpenError::Checksum) => {
            "its sender is of a cluster with another name, or it was damaged; check --cluster on both nodes"
        }
        DecodeError::Open(OpenError::Sealed) => {
            "its sender has another key or another cluster's name, or it was damaged; check --key-file and --cluster \
             on both nodes"
        }
        DecodeError::OtherCluster { .. } => {
            "two clusters have the same --cluster name and no key. Give one of them another name; or, if its nodes are to \
             join this one, stop them all, remove the file `members` from their data folders, and start them again"
        }
        DecodeError::Ahead => "compare the clocks of both nodes: one of them is wrong",
        DecodeError::Open(OpenError::Mode(_)) | DecodeError::Malformed(_) => {
            "it is not as the protocol has it; find out which program and release sends from there"
        }
    }
}

fn info(what: &'static str, member: &Subject) {
    tracing::info!(
        target: TARGET,
        member = %member.identity.name,
        zone = %member.identity.zone,
        gossip = %member.identity.gossip,
        incarnation = member.incarnation.0,
        rtt_ms = rtt_ms(member),
        "{what}"
    );
}

fn warn(what: &'static str, member: &Subject) {
    tracing::warn!(
        target: TARGET,
        member = %member.identity.name,
        zone = %member.identity.zone,
        gossip = %member.identity.gossip,
        incarnation = member.incarnation.0,
        rtt_ms = rtt_ms(member),
        "{what}"
    );
}

/// In milliseconds, to the microsecond; the field is left out where nothing was measured.
fn rtt_ms(member: &Subject) -> Option<f64> {
    member.rtt.map(|rtt| (rtt.mean.as_secs_f64() * 1e6).round() / 1e3)
}
