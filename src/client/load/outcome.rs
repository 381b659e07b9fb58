//! How one upload ended.

use std::time::Duration;

/// How one upload ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A whole result came within the timeout.
    Served(Served),
    /// The node answered with an error status.
    Refused(Refused),
    /// No answer, or none that can be used.
    Failed(Failure),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// The X-Cache header.
    pub(super) cache: String,
    /// The X-Route header.
    pub(super) route: String,
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// The slug of the problem's type; empty if there was none.
    pub(super) problem: String,
    /// The Retry-After header.
    pub(super) retry_after: Option<Duration>,
}

/// Why an upload has neither result nor refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Failure {
    /// The node can't be reached.
    Unreachable,
    /// The connection broke.
    Broken,
    /// Not all of the answer came in time.
    TimedOut,
    /// Answered with 200 and no bytes, without a digest, or with bytes that are not the digest's.
    Invalid,
    /// The file can't be read.
    File,
}

impl Failure {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::TimedOut => "timeout",
            Self::Invalid => "invalid",
            Self::File => "file",
        }
    }
}

/// How far a job went, as X-Route tells it: `node1/FRA -> node4/FRA`; of several, between commas, the one that went farthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hops {
    Local,
    SameZone,
    CrossZone,
    Unknown,
}

impl Hops {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::SameZone => "same_zone",
            Self::CrossZone => "cross_zone",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn of(routes: &str) -> Self {
        routes.split(',').map(Self::of_one).max().unwrap_or(Self::Unknown)
    }

    fn of_one(route: &str) -> Self {
        let zones: Option<Vec<&str>> =
            route.trim().split(" -> ").map(|hop| hop.rsplit_once('/').map(|(_, zone)| zone)).collect();
        match zones.as_deref() {
            Some([_]) => Self::Local,
            Some([first, rest @ ..]) if rest.iter().all(|zone| zone == first) => Self::SameZone,
            Some([_, _, ..]) => Self::CrossZone,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_tells_how_far_a_job_went() {
        assert_eq!(Hops::of("node1/FRA"), Hops::Local);
        assert_eq!(Hops::of("node1/FRA -> node4/FRA"), Hops::SameZone);
        assert_eq!(Hops::of("node1/FRA -> node2/IAD"), Hops::CrossZone);
        assert_eq!(Hops::of("node1/FRA, node1/FRA -> node2/IAD, node1/FRA -> node4/FRA"), Hops::CrossZone);
        assert_eq!(Hops::of("node1/FRA, node1/FRA"), Hops::Local);
        assert_eq!(Hops::of("node1/FRA, "), Hops::Unknown);
        assert_eq!(Hops::of(""), Hops::Unknown);
        assert_eq!(Hops::of("nonsense"), Hops::Unknown);
    }
}
