//! Events as they are told: a name, and fields as JSON.
//!
//! Whoever may ask for the membership may read them. So an upload is told by the first digits of its digest alone, since the whole
//! digest is what fetches the result, and why an upload is refused as a code alone, since the words are for its client.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use starling_overlay::{Event, Subject};
use starling_placement::content::Key;
use starling_placement::journey::{PeerError, What};

use super::NodeEvent;
use crate::content::ContentId;
use crate::jobs::JobId;
use crate::printable;

/// Longest text of a field: peers choose some of them.
const TEXT_CHARS_MAX: usize = 200;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is there and who is not.
    Membership,
    /// Uploads on their way, offers between nodes.
    Job,
    /// The queue and the workers.
    Work,
    /// Results that are kept.
    Cache,
    /// The node itself.
    Node,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Membership, Self::Job, Self::Work, Self::Cache, Self::Node];

    /// The word in the stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Job => "job",
            Self::Work => "work",
            Self::Cache => "cache",
            Self::Node => "node",
        }
    }
}

/// Some kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds([bool; Kind::ALL.len()]);

/// A text names no kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of event: give one or several of {kinds}, with commas between them",
    kinds = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(String);

impl Kinds {
    /// All.
    pub const ALL: Self = Self([true; Kind::ALL.len()]);

    /// Whether this is one of them.
    pub const fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

impl FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let mut kinds = Self([false; Kind::ALL.len()]);
        for word in text.split(',') {
            let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == word.trim());
            let kind = found.ok_or_else(|| UnknownKind(word.chars().take(80).collect()))?;
            kinds.0[kind as usize] = true;
        }
        Ok(kinds)
    }
}

/// An event as it is told.
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    /// Members of a JSON object, each with a comma before it.
    pub(super) fields: Fields,
}

/// Members of a JSON object.
#[derive(Default)]
pub(super) struct Fields(pub(super) String);

impl Fields {
    /// A text, as far as it is told.
    fn text(mut self, name: &str, value: impl Display) -> Self {
        let mut text = value.to_string();
        // Most are: names, codes, addresses.
        if text.len() <= TEXT_CHARS_MAX && text.bytes().all(is_plain) {
            self.0.extend([",\"", name, "\":\"", &text, "\""]);
            return self;
        }
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
        }
        let quoted = serde_json::Value::from(printable::line(&text).into_owned());
        self.0.extend([",\"", name, "\":", &quoted.to_string()]);
        self
    }

    /// A number, or true or false.
    fn value(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.extend([",\"", name, "\":", &value.into().to_string()]);
        self
    }

    fn time(self, name: &str, time: Duration) -> Self {
        self.value(name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    fn content(self, content: &ContentId) -> Self {
        self.text("content", content.short())
    }

    fn member(self, member: &Subject) -> Self {
        let fields = self
            .text("member", &member.identity.name)
            .text("zone", &member.identity.zone)
            .text("gossip", member.identity.gossip)
            .value("incarnation", member.incarnation.0);
        match member.rtt {
            Some(rtt) => fields.value("rtt_ms", (rtt.mean.as_secs_f64() * 1e6).round() / 1e3),
            None => fields,
        }
    }
}

/// Whether it stands in JSON as it is, and does nothing but show.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// An event in the words of the stream.
pub(super) fn told(event: &NodeEvent<'_>) -> Told {
    match event {
        NodeEvent::Membership(event) => of_membership(event),
        NodeEvent::MembershipMissed { events } => Told {
            kind: Kind::Membership,
            name: "missed",
            fields: Fields::default().value("events", *events),
        },
        NodeEvent::Job { key, what } => of_job(key, what),
        NodeEvent::UploadServed { .. }
        | NodeEvent::UploadRefused { .. }
        | NodeEvent::OfferAccepted { .. }
        | NodeEvent::OfferRefused { .. }
        | NodeEvent::OfferExpired { .. }
        | NodeEvent::PeersJobDone { .. }
        | NodeEvent::PeersJobFailed { .. }
        | NodeEvent::PeerFault { .. } => of_answers(event),
        _ => of_node(event),
    }
}

fn of_membership(event: &Event) -> Told {
    let none = Fields::default;
    let (name, fields) = match event {
        Event::Joined(member) => ("joined", none().member(member)),
        Event::Suspected { member, by } => {
            let by = by.as_ref().map_or("unknown", |name| name.as_str());
            ("suspected", none().member(member).text("by", by))
        }
        Event::Refuted(member) => ("refuted", none().member(member)),
        Event::Failed(member) => ("failed", none().member(member)),
        Event::Left(member) => ("left", none().member(member)),
        Event::Rejoined(member) => ("rejoined", none().member(member)),
        Event::Moved { member, from } => ("moved", none().member(member).text("from", from)),
        Event::Elsewhere { member, heard_at } => {
            ("elsewhere", none().member(member).text("heard_at", heard_at))
        }
        Event::OtherTiming { member, theirs, ours } => {
            ("other_timing", none().member(member).time("period_ms", *theirs).time("own_period_ms", *ours))
        }
        Event::NameConflict { name, other, superseded } => (
            "name_conflict",
            none().text("member", name).text("other", other).value("superseded", *superseded),
        ),
        Event::Cluster { identity, before } => {
            let now = none().text("cluster", identity.id).value("settled", identity.settled);
            let is_same = before.id == identity.id;
            ("cluster", if is_same { now } else { now.text("before", before.id) })
        }
        Event::Thawed { late } => ("thawed", none().time("frozen_ms", *late)),
        Event::NotConverged { time, unheard, names } => {
            let names = names.iter().map(starling_overlay::NodeName::as_str).collect::<Vec<_>>().join(",");
            let fields = none().value("unheard", *unheard).text("members", names);
            ("not_converged", fields.value("not_converged_s", time.as_secs()))
        }
        Event::Converged(convergence) => {
            let fields = none()
                .value("members", convergence.members)
                .time("elapsed_ms", convergence.elapsed)
                .value("periods", convergence.periods);
            let fields = match &convergence.about {
                Some(about) => fields.text("about", about),
                None => fields,
            };
            ("converged", fields)
        }
        // The overlay may come to tell of more.
        _ => ("other", none()),
    };
    Told { kind: Kind::Membership, name, fields }
}

fn of_job(key: &Key, what: &What) -> Told {
    let (name, fields) = of_home(key, what);
    Told { kind: Kind::Job, name, fields }
}

/// What a content's home says, and what other nodes do that are at the same.
fn of_home(key: &Key, what: &What) -> (&'static str, Fields) {
    let job = || Fields::default().content(&key.content).text("profile", &key.profile);
    match what {
        What::Joined => ("job_joined", job()),
        What::HomeAsked { home } => ("home_asked", job().text("home", home)),
        What::HomeSilent { home, error } => ("home_silent", job().text("home", home).text("reason", error)),
        What::HedgedHere { by, seen } => ("hedged_here", job().text("peer", by).text("seen", seen)),
        What::NotWaitedFor { home, by, seen } => {
            ("not_waited_for", job().text("home", home).text("peer", by).text("seen", seen))
        }
        What::HedgeFailed { error } => ("hedge_failed", job().text("outcome", error.code())),
        What::NotFetched { peer, error } => {
            ("not_fetched", job().text("peer", peer).text("reason", reason(error)))
        }
        What::LeaseRenewed { home, failed } => {
            ("lease_renewed", job().text("home", home).value("renewed", failed.is_none()))
        }
        What::LeaseEndUntold { home, error } => {
            ("lease_end_untold", job().text("home", home).text("reason", error))
        }
        _ => of_attempt(key, what),
    }
}

/// What candidates do, this node among them.
fn of_attempt(key: &Key, what: &What) -> (&'static str, Fields) {
    let job = || Fields::default().content(&key.content).text("profile", &key.profile);
    match what {
        What::Ranked { scores, .. } => ("ranked", job().text("scores", scores)),
        What::Offered { peer, route, answer } => (
            "offered",
            job().text("peer", peer).text("route", route.as_str()).text("answer", answer.as_str()),
        ),
        What::Transferred { peer, route, there, bytes, took } => {
            let fields = job().text("peer", peer).text("route", route.as_str());
            let name = if *there { "sent" } else { "received" };
            (name, fields.value("bytes", *bytes).time("took_ms", *took))
        }
        What::HandedOver { peer, route, done } => {
            ("handed_over", job().text("peer", peer).text("route", route.as_str()).value("done", *done))
        }
        What::Refused { peer, reason, taken } => (
            if *taken { "peer_failed" } else { "peer_refused" },
            job().text("peer", peer).text("reason", reason),
        ),
        What::Lost { peer, reason } => ("peer_lost", job().text("peer", peer).text("reason", reason)),
        What::ResultNotTaken { peer, error } => {
            ("result_not_taken", job().text("peer", peer).text("reason", reason(error)))
        }
        What::FailedHere { error } => ("failed_here", job().text("outcome", error.code())),
        What::Doubted { peer, error } => ("doubted", job().text("peer", peer).text("outcome", error.code())),
        What::Crashed { on, error } => ("crashed", job().text("node", on).text("outcome", error.code())),
        What::Stalled { peer, seen } => ("stalled", job().text("peer", peer).text("seen", seen)),
        What::Slow { peer } => ("slow", job().text("peer", peer)),
        What::StragglerFailed { error } => ("straggler_failed", job().text("reason", reason(error))),
        What::HedgeWon => ("hedge_won", job()),
        _ => ("other", job()),
    }
}

/// How uploads and peers' offers are answered.
fn of_answers(event: &NodeEvent<'_>) -> Told {
    let none = Fields::default;
    let (name, fields) = match event {
        NodeEvent::UploadServed { content, served, profile, policy, timings, .. } => (
            "upload_served",
            none()
                .content(content)
                .text("profile", profile)
                .text("cache", served.cache.as_str())
                .text("route", served.route.as_str())
                .text("served_by", &served.by.name)
                .text("policy", policy)
                .value("bytes_in", served.bytes_in)
                .value("bytes_out", served.object.bytes())
                .time("elapsed_ms", timings.elapsed()),
        ),
        NodeEvent::UploadRefused { status, problem, policy, timings, .. } => (
            "upload_refused",
            none()
                .value("status", *status)
                .text("problem", problem)
                .text("policy", policy)
                .time("elapsed_ms", timings.elapsed()),
        ),
        NodeEvent::OfferAccepted { from, content, profile } => {
            ("offer_accepted", none().text("peer", from).content(content).text("profile", profile))
        }
        NodeEvent::OfferRefused { from, content, profile, reason } => (
            "offer_refused",
            none().text("peer", from).content(content).text("profile", profile).text("reason", reason),
        ),
        NodeEvent::OfferExpired { from, content, profile } => {
            ("offer_expired", none().text("peer", from).content(content).text("profile", profile))
        }
        NodeEvent::PeersJobDone { from, route, content, profile, served } => (
            "peers_job_done",
            none()
                .text("peer", from)
                .content(content)
                .text("profile", profile)
                .text("route", route.as_str())
                .text("cache", served.cache.as_str())
                .value("bytes_in", served.bytes_in)
                .value("bytes_out", served.object.bytes()),
        ),
        NodeEvent::PeerFault { peer, fault, seen, avoidance } => {
            let fields = none().text("peer", &peer.name).text("fault", fault.as_str()).text("seen", seen);
            match avoidance {
                Some(avoidance) => ("peer_avoided", fields.value("avoided_s", avoidance.pause.as_secs())),
                None => ("peer_fault", fields),
            }
        }
        NodeEvent::PeersJobFailed { problem, .. } => ("peers_job_failed", none().text("problem", problem)),
        _ => ("other", none()),
    };
    Told { kind: Kind::Job, name, fields }
}

/// What happens to the queue, the workers, the cache and the node.
fn of_node(event: &NodeEvent<'_>) -> Told {
    let job = |content: &ContentId, profile: &crate::profile::ProfileName| {
        Fields::default().content(content).text("profile", profile)
    };
    let (kind, name, fields) = match event {
        NodeEvent::Enqueued { content, profile } => (Kind::Work, "enqueued", job(content, profile)),
        NodeEvent::Withdrawn { content, profile, why } => {
            (Kind::Work, "withdrawn", job(content, profile).text("reason", why.as_str()))
        }
        NodeEvent::Begun { content, profile, waited, predicted, threads } => {
            let fields = job(content, profile).time("waited_ms", *waited).value("threads", *threads);
            (Kind::Work, "begun", with_prediction(fields, *predicted))
        }
        NodeEvent::Made { content, profile, took, predicted, bytes } => {
            let fields = job(content, profile).time("took_ms", *took).value("bytes_out", *bytes);
            (Kind::Work, "made", with_prediction(fields, *predicted))
        }
        NodeEvent::NotMade { content, profile, took, error } => (
            Kind::Work,
            "not_made",
            job(content, profile).time("took_ms", *took).text("outcome", error.code()),
        ),
        NodeEvent::Evicted { bytes, .. } => {
            (Kind::Cache, "evicted", Fields::default().value("bytes", *bytes))
        }
        NodeEvent::ResultDamaged { .. } => (Kind::Cache, "result_damaged", Fields::default()),
        NodeEvent::NotCached { .. } => (Kind::Cache, "not_cached", Fields::default()),
        NodeEvent::JobAccepted { id, content } => (Kind::Job, "job_accepted", of_kept(id, content)),
        NodeEvent::JobTakenOver { id, content, term } => {
            (Kind::Job, "job_taken_over", of_kept(id, content).value("term", *term))
        }
        NodeEvent::JobEnded { id, content, state, .. } => {
            (Kind::Job, "job_ended", of_kept(id, content).text("state", state))
        }
        NodeEvent::WorkModeChanged { mode, before } => (
            Kind::Node,
            "work_mode_changed",
            Fields::default().text("mode", mode.as_str()).text("before", before.as_str()),
        ),
        NodeEvent::PolicyChanged { policy, before } => (
            Kind::Node,
            "policy_changed",
            Fields::default().text("policy", policy.kind.as_str()).text("before", before.kind.as_str()),
        ),
        NodeEvent::Leaving { bound, running } => (
            Kind::Node,
            "leaving",
            Fields::default().value("bound_s", bound.as_secs()).value("running", *running),
        ),
        _ => (Kind::Node, "other", Fields::default()),
    };
    Told { kind, name, fields }
}

/// Digits of a job's number that are told: all of them would fetch its result.
const NUMBER_DIGITS: usize = 16;

fn of_kept(id: &JobId, content: &ContentId) -> Fields {
    let number = id.number.to_string();
    Fields::default().text("job", &number[..NUMBER_DIGITS]).content(content)
}

fn with_prediction(fields: Fields, predicted: Option<Duration>) -> Fields {
    match predicted {
        Some(predicted) => fields.time("predicted_ms", predicted),
        None => fields,
    }
}

/// Why a peer did not do it. How its work ended is a code: the words may be the input's.
fn reason(error: &PeerError) -> String {
    match error {
        PeerError::Ended(ended) => ended.code().to_owned(),
        other => other.to_string(),
    }
}
