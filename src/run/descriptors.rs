//! File descriptors: as many as the limits on connections promise, and no more promised than there are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::{TOLD_AT_ONCE_MAX, WAITING_MAX};
use crate::store::OPEN_RESULTS_MAX;

/// What a connection may need: its socket, the file of its upload or its result, and a connection to a peer.
const PER_CONNECTION: u64 = 3;
/// What a worker may need: its child's pipes, process and cancellation, input and result.
const PER_WORKER: u64 = 12;
/// The rest: listeners, gossip, the runtime, logs, ffprobes, questions to peers, connections that wait and such that are turned
/// away. Those kept for members are within what idle connections leave of theirs.
const BASE: u64 = 128 + (WAITING_MAX + TOLD_AT_ONCE_MAX) as u64;
/// Connections that are served also where by this count there is no room for any.
const CONNECTIONS_MIN: u64 = 16;

/// What the limits of this process come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// Descriptors that all connections together call for.
    needed: u64,
    /// The soft limit to set.
    soft: u64,
    /// Connections that there are descriptors for.
    connections: u32,
}

/// `hard`: none if there is no limit.
fn plan(connections_max: u32, workers: u16, soft: u64, hard: Option<u64>) -> Plan {
    let aside = BASE + OPEN_RESULTS_MAX as u64 + u64::from(workers) * PER_WORKER;
    let needed = aside + u64::from(connections_max) * PER_CONNECTION;
    // What was set higher on purpose stays.
    let soft = needed.min(hard.unwrap_or(u64::MAX)).max(soft);
    let room = (soft.saturating_sub(aside) / PER_CONNECTION).max(CONNECTIONS_MIN);
    Plan { needed, soft, connections: u32::try_from(room).unwrap_or(u32::MAX).min(connections_max) }
}

/// Raises this process's limit on open files to what so many connections and workers need, as far as it may. Answers with the
/// number of connections that there are descriptors for. Children are not concerned: each sets a limit of its own.
pub(super) fn raise_for(connections_max: u32, workers: u16) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let Some(soft) = limit.current else { return connections_max };
    let mut plan = plan(connections_max, workers, soft, limit.maximum);
    if plan.soft > soft {
        let raised = Rlimit { current: Some(plan.soft), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, soft, "the limit on open files can't be raised");
            plan = self::plan(connections_max, workers, soft, Some(soft));
        }
    }
    if plan.connections < connections_max {
        tracing::warn!(
            open_files = plan.soft,
            needed = plan.needed,
            connections_max,
            connections = plan.connections,
            "too few open files for --connections-max: fewer connections are served; raise the hard limit (ulimit -Hn, \
             LimitNOFILE=, docker run --ulimit nofile=), or lower --connections-max"
        );
    }
    plan.connections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_promised_as_there_are_descriptors() {
        let aside = BASE + OPEN_RESULTS_MAX as u64 + PER_WORKER;
        let needed = aside + 3 * 4096;
        // Raised as far as needed, and left alone where it is higher or has no end.
        assert_eq!(plan(4096, 1, 1024, Some(20_000)), Plan { needed, soft: needed, connections: 4096 });
        assert_eq!(plan(4096, 1, 1024, None), Plan { needed, soft: needed, connections: 4096 });
        assert_eq!(plan(4096, 1, 65_536, Some(65_536)).soft, 65_536);
        // Where the hard limit is too low, fewer; but some always.
        let few = plan(4096, 1, 1024, Some(2048));
        assert_eq!((few.soft, u64::from(few.connections)), (2048, (2048 - aside) / 3));
        assert_eq!(plan(4096, 1, 128, Some(128)).connections, 16);
        assert_eq!(plan(8, 1, 128, Some(128)).connections, 8);
    }
}
