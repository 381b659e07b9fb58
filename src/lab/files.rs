//! Open files of the supervisor: a large lab needs more than a process has by default.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::NODES_MAX;

/// For a node: its listener, its process, a question to it, and the shaper's queues.
const PER_NODE: u64 = 16;
/// For all else.
const BASE: u64 = 256;

/// Raises the limit on open files to what the largest lab needs, as far as it may. Nodes set limits of their own.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(limit) else { return };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files can't be raised: a large lab may need more (ulimit -Hn)");
    }
}

/// The limit to set in place of this one; none if it is high enough.
fn raised(limit: Rlimit) -> Option<Rlimit> {
    let needed = BASE + u64::from(NODES_MAX) * PER_NODE;
    let soft = limit.maximum.map_or(needed, |hard| hard.min(needed));
    let is_less = limit.current.is_some_and(|current| current < soft);
    is_less.then_some(Rlimit { current: Some(soft), maximum: limit.maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_and_never_lowered() {
        let of = |current, maximum| raised(Rlimit { current, maximum }).map(|limit| limit.current);
        assert_eq!(of(Some(1_024), None), Some(Some(3_456)));
        assert_eq!(of(Some(1_024), Some(524_288)), Some(Some(3_456)));
        assert_eq!(of(Some(1_024), Some(2_048)), Some(Some(2_048)));
        assert_eq!(of(Some(1_024), Some(1_024)), None);
        assert_eq!(of(Some(1_048_576), Some(1_048_576)), None);
        assert_eq!(of(None, None), None);
    }
}
