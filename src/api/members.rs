//! The membership as one node sees it: `GET /members` and `GET /peers`.

use std::net::SocketAddr;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use starling_overlay::{LoadSample, Member, MemberState};
use utoipa::ToSchema;

use crate::profile::VideoCodec;

/// `GET /members`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MembersJson {
    /// Everyone known, this node among them, sorted by name.
    pub members: Vec<MemberJson>,
    /// Whether this node's view has come to rest and every live member is known to hold the same.
    pub converged: bool,
    /// How long the last disturbance took to settle, in milliseconds; null while it has not settled.
    pub converged_ms: Option<u64>,
}

/// One member as the answering node sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberJson {
    /// Unique in the cluster.
    pub name: String,
    /// Where it stands.
    pub zone: String,
    /// `alive`, `suspect`, `dead` or `left`.
    #[schema(value_type = String)]
    pub state: MemberState,
    /// Its version of itself within this boot.
    pub incarnation: u32,
    /// Mean round-trip time in milliseconds; 0 for the answering node, null when unknown.
    pub rtt_ms: Option<f64>,
    /// Its newest load sample known here; null before the first.
    pub load: Option<LoadJson>,
    /// Milliseconds since that sample was taken.
    pub load_age_ms: Option<u64>,
    /// Milliseconds for which it still gets no work, because it failed and came back again and again; null otherwise.
    #[serde(default)]
    pub damped_ms: Option<u64>,
    /// Where it answers from, if that is not `gossip`: then its address is wrong, or a NAT is on the way, and HTTP may not
    /// find it; null otherwise.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub heard_at: Option<SocketAddr>,
    /// Where its gossip goes.
    #[schema(value_type = String)]
    pub gossip: SocketAddr,
    /// Where its HTTP service is.
    #[schema(value_type = String)]
    pub http: SocketAddr,
    /// Whether it only watches: it takes no job and holds no result.
    #[serde(default)]
    pub observer: bool,
    /// Versions of the gossip's wire format that it speaks, such as `1` or `1-2`.
    #[serde(default)]
    pub wire: String,
}

/// A load sample in units for people.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LoadJson {
    /// Whether its operator has it take no work.
    #[serde(default)]
    pub resting: bool,
    /// CPU in use, 0 to 100.
    pub cpu_percent: f64,
    /// Memory in use, 0 to 100.
    pub memory_percent: f64,
    /// Jobs waiting.
    pub queued: u16,
    /// Jobs that may wait.
    pub queue_capacity: u16,
    /// Jobs being transcoded.
    pub running: u16,
    /// Transcodes that run at once.
    pub workers: u16,
    /// Recent mean time of a transcode in milliseconds; 0 before the first.
    pub service_ms: u32,
    /// Speed of one worker in thousands of pixels of work a second; 0 before the first transcode.
    pub kilopixels_per_s: u32,
    /// How long a job that comes now is likely to wait for a worker there, in milliseconds.
    #[serde(default)]
    pub backlog_ms: u32,
    /// What it encodes in hardware, as `h264`, by the profiles that allow it.
    #[serde(default)]
    pub hardware: Vec<String>,
    /// Number of the sample within this boot.
    pub seq: u16,
}

/// `GET /peers`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeersJson {
    /// The others that are alive: those that a job could go to.
    pub peers: Vec<MemberJson>,
}

impl From<&LoadSample> for LoadJson {
    fn from(sample: &LoadSample) -> Self {
        Self {
            cpu_percent: f64::from(sample.cpu_permille) / 10.0,
            memory_percent: f64::from(sample.memory_permille) / 10.0,
            queued: sample.queued_jobs,
            queue_capacity: sample.queue_capacity_jobs,
            running: sample.running_jobs,
            workers: sample.workers,
            service_ms: sample.service_ms,
            kilopixels_per_s: sample.kilopixels_per_s,
            backlog_ms: sample.backlog_ms,
            hardware: VideoCodec::of_bits(sample.hardware)
                .into_iter()
                .map(|c| c.as_str().to_owned())
                .collect(),
            seq: sample.seq,
            resting: sample.queue_capacity_jobs == 0,
        }
    }
}

impl MemberJson {
    /// What is known of it now.
    pub fn new(member: &Member, now: Instant) -> Self {
        let identity = &member.identity;
        Self {
            name: identity.name.to_string(),
            zone: identity.zone.to_string(),
            state: member.state,
            incarnation: member.incarnation.0,
            rtt_ms: member.rtt.map(|rtt| (rtt.mean.as_secs_f64() * 1e5).round() / 1e2),
            load: member.load.map(|load| LoadJson::from(&load.sample)),
            load_age_ms: member.load.map(|load| load.age(now).as_millis() as u64),
            damped_ms: member.damping.and_then(|damping| {
                let left = damping.until.checked_duration_since(now)?;
                Some(left.as_millis() as u64)
            }),
            heard_at: member.heard_at,
            gossip: identity.gossip,
            http: identity.http(),
            observer: identity.is_observer(),
            wire: identity.versions.to_string(),
        }
    }
}
