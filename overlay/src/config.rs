//! Settings of one node's overlay, and the timing that must agree across the cluster.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::{ClusterIdentity, Identity, Keyring, Parts};

/// Longest cluster name, in bytes.
pub const CLUSTER_NAME_BYTES_MAX: usize = 255;

/// Settings of one node's overlay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Name of the cluster; datagrams of other clusters are ignored. The same on all members.
    pub cluster: String,
    /// The cluster that this node belonged to when it last ran, or a fresh identity; none if it is to take any node with the
    /// same `cluster`, and `keys`, for one of its own.
    pub cluster_identity: Option<ClusterIdentity>,
    /// What this node says of itself.
    pub identity: Identity,
    /// `host:port` of members to join through. Names are resolved again on every attempt and every address is tried.
    pub seeds: Vec<String>,
    /// Where to keep the addresses of the members last known; read with [`Config::read_snapshot`] at the next start.
    pub snapshot: Option<PathBuf>,
    /// Addresses of members known before the last stop; they are tried like seeds.
    pub contacts: Vec<SocketAddr>,
    /// Whether the IP address of `identity` was found and not given: then it is looked for again when the seeds' addresses
    /// are known, and when the machine's addresses change. For a socket that is bound to no address in particular.
    pub follow_address: bool,
    /// Protocol timing. The same on all members.
    pub timing: Timing,
    /// Keys that seal every datagram; none leaves them readable and forgeable by anyone who can send to this node.
    pub keys: Option<Keyring>,
    /// Seed of the state machine's random numbers; drawn from the operating system if none.
    pub rng_seed: Option<u64>,
    /// For experiments in the simulator.
    #[doc(hidden)]
    pub parts: Parts,
}

impl Config {
    /// The defaults for a node that is `identity`: cluster `starling`, no seeds, `lan` timing.
    pub fn new(identity: Identity) -> Self {
        Self {
            cluster: "starling".into(),
            cluster_identity: None,
            identity,
            seeds: Vec::new(),
            snapshot: None,
            contacts: Vec::new(),
            follow_address: false,
            timing: Timing::Lan,
            keys: None,
            rng_seed: None,
            parts: Parts::ALL,
        }
    }
}

/// Timing profile of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Machines in data centres, also several of them: protocol period of 1 s.
    #[default]
    Lan,
    /// Slow or lossy long-distance links throughout: protocol period of 3 s.
    Wan,
    /// One machine, for tests and experiments: protocol period of 200 ms.
    Local,
}

/// Why a text is not a timing profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timing profile: use lan, wan or local")]
pub struct TimingError(String);

impl FromStr for Timing {
    type Err = TimingError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lan" => Ok(Self::Lan),
            "wan" => Ok(Self::Wan),
            "local" => Ok(Self::Local),
            _ => Err(TimingError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        })
    }
}

impl Timing {
    /// Length of the protocol period: every member pings one other this often. All other times follow from it.
    pub const fn period(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(1),
            Self::Wan => Duration::from_secs(3),
            Self::Local => Duration::from_millis(200),
        }
    }
}

/// Every number of the protocol, derived from the period `T` and the number of live members `n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params {
    /// `T`.
    pub period: Duration,
}

/// Members asked to ping on one's behalf (SWIM's k).
pub(crate) const RELAYS: usize = 3;
/// The same about a suspect: a verdict is near, and in small clusters nobody who might reach it is left out.
pub(crate) const RELAYS_OF_SUSPECT: usize = 9;
/// Members a fresh update goes to at once, and again each gossip round.
pub(crate) const GOSSIP_FANOUT: usize = 3;
/// Each update is sent `ceil(GOSSIP_LAMBDA * log10(n + 1))` times by each member, at least 5 and at most 40 times.
const GOSSIP_LAMBDA: f64 = 4.0;
/// Members that check a suspicion they hear of with a probe of their own, on average.
pub(crate) const VERIFIERS: usize = 24;
/// Members that measure the RTT to a newcomer at once, on average.
pub(crate) const MEASURERS: usize = 32;
/// Independent confirmations that bring the suspicion time down to its minimum (Lifeguard's K).
pub(crate) const CONFIRMATIONS: usize = 3;

impl Params {
    pub const fn new(timing: Timing) -> Self {
        Self { period: timing.period() }
    }

    /// Between gossip rounds, while there is news: `T / 5`.
    pub fn gossip_interval(&self) -> Duration {
        self.period / 5
    }

    /// Fresh news goes out at once, but not more often than this: `T / 50`.
    pub fn gossip_interval_min(&self) -> Duration {
        self.period / 50
    }

    /// How often each update is sent by each member.
    pub fn transmissions(live: usize) -> u8 {
        (GOSSIP_LAMBDA * (live as f64 + 1.0).log10()).ceil().clamp(5.0, 40.0) as u8
    }

    /// Wait for an ack of a member whose RTT is not known: `0.3 T`.
    pub fn timeout_unmeasured(&self) -> Duration {
        self.period * 3 / 10
    }

    /// Bounds of the wait for an ack that follows the measured RTT: `T / 20` and `T / 2`.
    pub fn timeout_bounds(&self) -> (Duration, Duration) {
        (self.period / 20, self.period / 2)
    }

    /// No suspicion is raised earlier than this after the first ping: `0.3 T`.
    pub fn probe_floor(&self) -> Duration {
        self.period * 3 / 10
    }

    /// How late a promise may be kept before it counts as broken: `T / 10`.
    pub fn promise_slack(&self) -> Duration {
        self.period / 10
    }

    /// Nobody promises for longer than this: `2 T`.
    pub fn promise_max(&self) -> Duration {
        self.period * 2
    }

    /// A node that has heard nobody for this long, of three or more, takes the silence for its own: `2 T`. Somebody pings
    /// it every `T` on average.
    pub fn silence(&self) -> Duration {
        self.period * 2
    }

    /// Who was heard within this time before anybody was heard last was heard lately: `3 T`.
    pub fn heard_lately(&self) -> Duration {
        self.period * 3
    }

    /// After so long a silence this node is cut off, and the others are gone for it: `45 T`; `2 T` where there are too few
    /// others to tell.
    pub fn cut_off(&self, live: usize) -> Duration {
        self.period * if live > 3 { 45 } else { 2 }
    }

    /// Shortest time to refute: `0.9 T * max(1, log100 n)`. Lifeguard's grows with `log10 n`; here news is passed on as
    /// soon as it comes, so that it needs half the rounds.
    pub fn suspicion_min(&self, live: usize) -> Duration {
        self.period.mul_f64((live.max(1) as f64).log(100.0).max(1.0) * 0.9)
    }

    /// Longest time to refute, when nobody confirms: six times the shortest (Lifeguard's beta).
    pub fn suspicion_max(&self, live: usize) -> Duration {
        self.suspicion_min(live) * 6
    }

    /// Lifeguard's shortest time to refute: `5 T * max(1, log10 n)`. For experiments.
    pub fn lifeguard_suspicion(&self, live: usize) -> Duration {
        self.period.mul_f64((live.max(1) as f64).log10().max(1.0) * 5.0)
    }

    /// First wait before a join is tried again while alone: `T / 20`; it doubles every second try up to `2 T`.
    pub fn join_retry(&self, tries: u32) -> Duration {
        ((self.period / 20) * 2u32.saturating_pow((tries / 2).min(10))).min(self.period * 2)
    }

    /// Between looks at the seeds while not alone: `10 T`.
    pub fn seeds_interval(&self) -> Duration {
        self.period * 10
    }

    /// A view that did not change for this long has come to rest: `T / 2`.
    pub fn rest(&self) -> Duration {
        self.period / 2
    }

    /// How long a member gets no work that failed so often more than is free: `5 T`, doubling up to `320 T`.
    pub fn damped(&self, failures: u32) -> Duration {
        if failures == 0 { Duration::ZERO } else { self.period * (5 << (failures - 1).min(6)) }
    }

    /// A member that did not fail for this long, beyond the time that it got no work, is forgiven: `60 T`.
    pub fn forgive(&self) -> Duration {
        self.period * 60
    }

    /// A cluster settles that has been one for so long: `600 T`.
    pub fn settle(&self) -> Duration {
        self.period * 600
    }

    /// How long the dead are remembered: `600 T`.
    pub fn forget(&self) -> Duration {
        self.period * 600
    }
}
