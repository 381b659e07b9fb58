//! The document that the page shows: `GET /dashboard/state`. Times are in milliseconds and parts are 0 to 1, unless the name says
//! otherwise; null is what is not known.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All of it, but for the series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Who tells it.
    pub source: About,
    /// How the cluster is, in one sentence.
    pub verdict: Verdict,
    /// Every member, by name.
    pub nodes: Vec<NodeState>,
    /// Every zone with members, by name.
    pub zones: Vec<ZoneState>,
    /// What lies between each two zones.
    pub links: Vec<LinkState>,
    /// What happened to the membership lately, oldest first, as `GET /events` tells it.
    pub events: Vec<Value>,
    /// Jobs and decisions.
    #[serde(flatten)]
    pub work: Work,
    /// What load generators report.
    pub clients: Vec<ClientState>,
}

/// Who tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// `node`: from its own view; `monitor`: from all nodes' figures.
    pub kind: Cow<'static, str>,
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its release.
    pub version: Cow<'static, str>,
    /// Which boot of it.
    pub boot: u64,
    /// How it decides where jobs go; none for a monitor.
    pub policy: Option<Cow<'static, str>>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    #[default]
    Ok,
    /// Something is to be looked at.
    Warn,
    /// Something is broken.
    Bad,
}

/// How the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// How bad it is.
    pub level: Level,
    /// In one sentence.
    pub sentence: String,
    /// What is to blame, the worst first.
    pub blame: Vec<Blame>,
}

/// What is to blame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blame {
    /// `node`, `zone` or `link`.
    pub kind: Cow<'static, str>,
    /// Its name; of a link, both zones with a dash.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// What is wrong with it, as the end of a sentence that begins with its name.
    pub why: String,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeState {
    /// Unique in the cluster.
    pub name: String,
    /// Where it stands.
    pub zone: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    /// For how long it is known to be in this state.
    pub state_ms: Option<u64>,
    /// It watches and never works.
    pub observer: bool,
    /// Its HTTP service, as the members find it.
    pub http: String,
    /// Mean round trip from who tells this; 0 for itself.
    pub rtt_ms: Option<f64>,
    /// Age of its load sample.
    pub load_age_ms: Option<u64>,
    /// CPU and memory in use.
    pub cpu: Option<f64>,
    /// See `cpu`.
    pub memory: Option<f64>,
    /// Jobs waiting.
    pub queued: Option<u64>,
    /// Jobs that may wait.
    pub queue_capacity: Option<u64>,
    /// Jobs being transcoded.
    pub running: Option<u64>,
    /// Jobs that may be.
    pub workers: Option<u64>,
    /// How long a job that comes now is likely to wait.
    pub backlog_ms: Option<u64>,
    /// Recent mean time of a transcode.
    pub service_ms: Option<u64>,
    /// What it encodes in hardware.
    pub hardware: Vec<String>,
    /// For how long it still gets no work, because it came and went.
    pub damped_ms: Option<u64>,
    /// Where it answers from, if that is not where it says.
    pub heard_at: Option<String>,
    /// What it has counted; none where it could not be asked.
    pub figures: Option<NodeFigures>,
    /// Why it could not be asked.
    pub scrape_error: Option<String>,
}

/// What a node has counted since its start, and in the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFigures {
    /// Jobs into the queue in the last minute.
    pub enqueued_per_min: f64,
    /// Jobs out of it.
    pub dequeued_per_min: f64,
    /// The difference.
    pub growth_per_min: f64,
    /// Jobs accepted there (`POST /jobs`) that wait, and that are at work.
    pub accepted_waiting: u64,
    /// See `accepted_waiting`.
    pub accepted_running: u64,
    /// Uploads answered, and those with a result, since the start.
    pub uploads: u64,
    /// See `uploads`.
    pub ok: u64,
    /// Refused for want of room or time.
    pub refused: u64,
    /// Failed otherwise.
    pub failed: u64,
    /// Results that were made or held where the upload came in.
    pub local: u64,
    /// The same in the last minute.
    pub local_per_min: f64,
    /// Transcodes begun.
    pub transcodes: u64,
    /// Those without a result.
    pub transcode_failures: u64,
    /// Jobs that peers did for it.
    pub offloads_same: u64,
    /// See `offloads_same`.
    pub offloads_cross: u64,
    /// Jobs that peers took and did not do.
    pub offloads_failed: u64,
    /// Results that it gave to peers.
    pub responses_same: u64,
    /// See `responses_same`.
    pub responses_cross: u64,
    /// Uploads whose result was there.
    pub cache_hits: u64,
    /// Uploads whose result had to be made.
    pub cache_misses: u64,
    /// Uploads that joined work under way.
    pub cache_joins: u64,
    /// Results that had to go.
    pub evictions: u64,
    /// Results in the cache.
    pub cached_results: u64,
    /// What they take.
    pub cache_bytes: u64,
    /// What they may take.
    pub cache_budget_bytes: u64,
    /// Memory of its process.
    pub resident_bytes: u64,
    /// Bytes free on its disk.
    pub disk_free_bytes: Option<u64>,
    /// Uploads a second with a result in the last minute.
    pub throughput: f64,
    /// Part of them that had a result.
    pub success: Option<f64>,
    /// Latency in the last minute: median, 95th and 99th percentile, in seconds.
    pub p50_s: Option<f64>,
    /// See `p50_s`.
    pub p95_s: Option<f64>,
    /// See `p50_s`.
    pub p99_s: Option<f64>,
    /// Part of its probes in the last minute that ended without an answer.
    pub probes_lost: Option<f64>,
}

/// One zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneState {
    /// Its name.
    pub name: String,
    /// Members that have not left.
    pub members: usize,
    /// Those believed alive.
    pub alive: usize,
    /// Those that are suspected.
    pub suspect: usize,
    /// Jobs waiting and running in it.
    pub queued: u64,
    /// See `queued`.
    pub running: u64,
}

/// What lies between two zones, or within one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkState {
    /// One end.
    pub from: String,
    /// The other; the same within a zone.
    pub to: String,
    /// Median round trip.
    pub rtt_ms: Option<f64>,
    /// Part of the probes over it that are lost, where known.
    pub loss: Option<f64>,
    /// Neither side hears the other.
    pub cut: bool,
}

/// What goes on at a node, and how it decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Jobs, the newest last.
    pub jobs: Vec<JobState>,
    /// Decisions, the newest last.
    pub decisions: Vec<Decision>,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobState {
    /// The node that tells of it.
    pub node: String,
    /// The first digits of the upload's digest.
    pub content: String,
    /// What is made.
    pub profile: Option<String>,
    /// `placing`, `waiting`, `running`, `sent`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// The peer whose job it is; none for an upload that came in here.
    pub from: Option<String>,
    /// The node that does it.
    pub by: Option<String>,
    /// `local`, `same-region` or `cross-region`.
    pub route: Option<String>,
    /// `hit`, `miss` or `joined`.
    pub cache: Option<String>,
    /// How far it is; none where that is not known.
    pub progress: Option<f64>,
    /// Since when it is known here.
    pub age_ms: u64,
    /// How long it took in all.
    pub took_ms: Option<u64>,
    /// Why it failed, or what went wrong on its way.
    pub note: Option<String>,
}

/// How it was decided where a job goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The node that decided.
    pub node: String,
    /// The first digits of the upload's digest.
    pub content: String,
    /// What is made.
    pub profile: Option<String>,
    /// By which policy.
    pub policy: String,
    /// Milliseconds since then.
    pub age_ms: u64,
    /// Where the job went.
    pub chosen: Option<String>,
    /// It came to its end before it went anywhere.
    #[serde(default)]
    pub over: bool,
    /// The nodes that could have done it, in the policy's order.
    pub candidates: Vec<Weighed>,
}

/// One node that could have done a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// `local`, `same-region` or `cross-region`.
    pub route: String,
    /// The policy's figure, lower is better; none where too little is known.
    pub score: Option<f64>,
    /// Round trip to it.
    pub rtt_ms: Option<f64>,
    /// CPU in use, by its load sample.
    pub cpu: Option<f64>,
    /// Jobs waiting there, by its load sample.
    pub queued: Option<u64>,
    /// Jobs running there.
    pub running: Option<u64>,
    /// How long the job would wait there, by the policy's forecast.
    pub wait_ms: Option<u64>,
    /// How long it would keep a worker.
    pub work_ms: u64,
    /// How long its bytes take, both ways.
    pub transfer_ms: Option<u64>,
    /// What it answered: `accepted`, `refused` …
    pub answer: Option<String>,
    /// Whether the job went there.
    pub won: bool,
    /// Why it did, or did not.
    pub why: String,
}

/// What one load generator has reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientState {
    /// How it calls itself.
    pub name: String,
    /// Milliseconds since its last report.
    pub age_ms: u64,
    /// Requests a second: the latest, the highest, the mean of all reports.
    pub throughput: Trend,
    /// Seconds: the same.
    pub latency_s: Trend,
    /// Requests that had a result, and all, by the last report.
    pub success: u64,
    /// See `success`.
    pub total: u64,
    /// Reports that it sent.
    pub reports: u64,
}

/// A figure over many reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trend {
    /// The last one.
    pub latest: f64,
    /// The highest one.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
}
