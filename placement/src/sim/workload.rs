//! What clients ask for, and what happens to the nodes meanwhile: a table, with a few lines for each workload.

use std::str::FromStr;
use std::time::Duration;

/// One workload. What a line of [`WORKLOADS`] does not say is as in `BASE`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Parts of the requests that come to nodes of each zone.
    pub zones: [f64; 3],
    /// The peak moves from zone to zone, once around in this time.
    pub around: Option<Duration>,
    /// Speeds of the nodes, in turn, as parts of the usual one.
    pub speeds: &'static [f64],
    /// How many of a hundred requests are for a content of their own; the others share one for ten requests, by Zipf's law.
    pub own_content_percent: u32,
    /// How long a usual node's worker takes for a mean job.
    pub service: Duration,
    /// Sigma of the log-normal length of jobs.
    pub service_sigma: f64,
    /// Sigma of what jobs take beside what their pixels say.
    pub estimate_sigma: f64,
    /// Mean length of a video.
    pub bytes: u64,
    /// Time that each request is given.
    pub deadline: Duration,
    /// Requests come so many times as often for a sixth of each minute, and the less in the rest.
    pub burst: f64,
    /// Bits a second and part of the packets lost, between zones.
    pub thin: Option<(u64, f64)>,
    /// Foreign work takes this part of a third of the nodes, for 20 s of each minute.
    pub foreign: f64,
    /// Nodes that die without a word, one after the other, and stay away.
    pub deaths: usize,
}

const BASE: Workload = Workload {
    name: "uniform",
    about: "requests come to all nodes alike, and nothing goes wrong",
    zones: [1.0, 1.0, 1.0],
    around: None,
    speeds: &[1.0],
    own_content_percent: 100,
    service: Duration::from_secs(4),
    service_sigma: 0.5,
    estimate_sigma: 0.1,
    bytes: 4_000_000,
    deadline: Duration::from_secs(40),
    burst: 1.0,
    thin: None,
    foreign: 0.0,
    deaths: 0,
};

/// All of them.
pub const WORKLOADS: [Workload; 13] = [
    BASE,
    Workload {
        name: "saturated-region",
        about: "four of five requests come to one zone, which can't do them all",
        zones: [8.0, 1.0, 1.0],
        ..BASE
    },
    Workload { name: "one-failure", about: "a node dies half way", deaths: 1, ..BASE },
    Workload { name: "two-failures", about: "two nodes die, one after the other", deaths: 2, ..BASE },
    Workload {
        name: "heterogeneous",
        about: "every other node is four times as fast",
        speeds: &[1.6, 0.4],
        ..BASE
    },
    Workload {
        name: "far-zone-idle",
        about: "no request comes to the zone that is farthest from the others",
        zones: [1.0, 1.0, 0.0],
        ..BASE
    },
    Workload {
        name: "hot-content",
        about: "nine of ten requests are for contents that others want, too",
        own_content_percent: 10,
        ..BASE
    },
    Workload {
        name: "antagonist",
        about: "foreign work takes a third of the nodes, now and then",
        foreign: 0.7,
        ..BASE
    },
    Workload {
        name: "burst",
        about: "five times as many requests for ten seconds of each minute",
        burst: 5.0,
        ..BASE
    },
    Workload {
        name: "diurnal",
        about: "the peak moves from zone to zone",
        zones: [8.0, 1.0, 1.0],
        around: Some(Duration::from_secs(180)),
        ..BASE
    },
    Workload {
        name: "thin-links",
        about: "20 Mbit/s between zones, and one packet of a hundred is lost there",
        thin: Some((20_000_000, 0.01)),
        ..BASE
    },
    Workload {
        name: "short-jobs",
        about: "the way to another zone takes longer than the work",
        service: Duration::from_millis(100),
        bytes: 1_000_000,
        ..BASE
    },
    Workload {
        name: "bad-estimates",
        about: "a job's pixels say little of what it takes",
        estimate_sigma: 0.8,
        ..BASE
    },
];

/// Why a text names no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown workload {0:?}: use one of {names}", names = WORKLOADS.map(|workload| workload.name).join(", "))]
pub struct UnknownWorkload(String);

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = WORKLOADS.iter().find(|workload| workload.name == text);
        found.copied().ok_or_else(|| UnknownWorkload(text.to_owned()))
    }
}

impl Workload {
    /// Speed of a node, as a part of the usual one.
    pub(super) fn speed(&self, node: usize) -> f64 {
        self.speeds[node % self.speeds.len()]
    }

    /// What a node's workers get of their cores now.
    pub(super) fn share(&self, node: usize, at: Duration) -> f64 {
        // The thirds take turns, so that the load moves about.
        let turn = at.as_secs() / 20 % 3;
        if self.foreign > 0.0 && node as u64 % 3 == turn { 1.0 - self.foreign } else { 1.0 }
    }

    /// How many times as often as on average requests come now.
    pub(super) fn rate(&self, at: Duration) -> f64 {
        // A sixth of the time at `burst` times the mean of the rest, and 1 on average.
        let rest = 6.0 / (self.burst + 5.0);
        if at.as_secs() % 60 >= 50 { self.burst * rest } else { rest }
    }

    /// Parts of the requests by zone, now.
    pub(super) fn zones(&self, at: Duration) -> [f64; 3] {
        let mut zones = self.zones;
        if let Some(around) = self.around {
            let part = at.as_secs_f64() % around.as_secs_f64() / around.as_secs_f64();
            zones.rotate_right((part * 3.0) as usize % 3);
        }
        zones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_is_found_by_it() {
        for workload in WORKLOADS {
            assert_eq!(workload.name.parse(), Ok(workload));
            assert!(workload.zones.iter().sum::<f64>() > 0.0 && !workload.speeds.is_empty());
            let mean = (0..60).map(|second| workload.rate(Duration::from_secs(second))).sum::<f64>() / 60.0;
            assert!((mean - 1.0).abs() < 1e-9, "{}: {mean}", workload.name);
            let speeds = workload.speeds.iter().sum::<f64>() / workload.speeds.len() as f64;
            assert!((speeds - 1.0).abs() < 1e-9, "capacity is counted in usual nodes");
        }
        let unknown = "even".parse::<Workload>().unwrap_err().to_string();
        assert!(unknown.contains("saturated-region"), "{unknown}");
    }

    #[test]
    fn the_peak_of_a_day_visits_each_zone() {
        let diurnal: Workload = "diurnal".parse().unwrap();
        let peak = |second| diurnal.zones(Duration::from_secs(second)).iter().position(|part| *part > 5.0);
        assert_eq!([0, 60, 120, 180].map(peak), [Some(0), Some(1), Some(2), Some(0)]);
    }
}
