//! Which nodes keep a job, and which of two records of it counts.
//!
//! One node *holds* a job: it does it, and it alone changes the record. A *second* one has a copy of the record and the video, and later
//! of the results. It becomes the holder when the first is gone or hands the job over; each time the *term* counts up.

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

use super::{Record, Stage};

/// Nodes that held a job before, at the most, that are still to be told that they do not hold it any more.
const FORMER_MAX: usize = 4;

/// The nodes that keep a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// The node that took it, after which it is named.
    pub taken_by: NodeName,
    /// The node that does it.
    pub holder: NodeName,
    /// The node that has a copy; none while there is no copy.
    pub second: Option<NodeName>,
    /// How often another node became the holder.
    pub term: u32,
    /// Counts up with each change within a term.
    pub version: u64,
    /// Nodes that held it before and may not know that they do not any more.
    pub former: Vec<NodeName>,
}

impl Keeping {
    /// Of a job that this node takes.
    pub fn by(node: NodeName) -> Self {
        Self { taken_by: node.clone(), holder: node, second: None, term: 0, version: 0, former: Vec::new() }
    }

    /// Whether this node is one of those that keep it.
    pub fn is_keeper(&self, node: &NodeName) -> bool {
        self.holder == *node || self.second.as_ref() == Some(node)
    }

    /// The nodes that keep it, the holder first.
    pub fn keepers(&self) -> Vec<NodeName> {
        std::iter::once(&self.holder).chain(&self.second).cloned().collect()
    }
}

/// What decides which of two records of one job counts: the greater one.
///
/// An end beats what has none: work that is done is done, whoever did it. Else the later term counts, and within it the later change.
/// The name settles what only a partition in a partition brings about: two nodes that became holders in one term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rank {
    /// Whether the job is at its end.
    pub over: bool,
    /// See [`Keeping::term`].
    pub term: u32,
    /// See [`Keeping::version`].
    pub version: u64,
    /// See [`Keeping::holder`].
    pub holder: NodeName,
}

impl Record {
    /// Which of two records of one job counts: that of the greater rank.
    pub fn rank(&self) -> Rank {
        let Keeping { term, version, holder, .. } = &self.keeping;
        Rank { over: self.stage.state().is_over(), term: *term, version: *version, holder: holder.clone() }
    }

    /// The record after this node has become the holder, because the holder is gone.
    #[must_use]
    pub fn taken_over(&self, by: &NodeName) -> Self {
        let mut record = self.clone();
        if matches!(record.stage, Stage::Running { .. }) {
            record.interrupted += 1;
            record.stage = Stage::Queued;
        }
        let keeping = &mut record.keeping;
        let before = std::mem::replace(&mut keeping.holder, by.clone());
        keeping.former.retain(|node| node != by && *node != before);
        keeping.former.push(before);
        let too_many = keeping.former.len().saturating_sub(FORMER_MAX);
        keeping.former.drain(..too_many);
        (keeping.second, keeping.term) = (None, keeping.term + 1);
        record
    }

    /// The record after its holder has given a job that waits to another node, which becomes the holder; it keeps a copy itself.
    #[must_use]
    pub fn handed_over(&self, to: &NodeName) -> Self {
        let mut record = Self { stage: Stage::Queued, ..self.clone() };
        let keeping = &mut record.keeping;
        let before = std::mem::replace(&mut keeping.holder, to.clone());
        keeping.former.retain(|node| node != to);
        (keeping.second, keeping.term) = (Some(before), keeping.term + 1);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::record::tests::record;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn an_end_counts_before_a_term_and_a_term_before_a_change() {
        let first = record("a");
        let second = first.taken_over(&name("node2"));
        assert!(second.rank() > first.rank());
        let mut later = first.clone();
        later.keeping.version = 9;
        assert!(later.rank() > first.rank() && later.rank() < second.rank());
        let ended = Record { stage: Stage::Cancelled { at_ms: 1 }, ..first };
        assert!(ended.rank() > second.rank(), "what is done is done");
        let ended_later = Record { stage: Stage::Cancelled { at_ms: 1 }, ..second };
        assert!(ended_later.rank() > ended.rank());
    }

    #[test]
    fn a_job_that_was_at_work_when_its_holder_died_was_interrupted() {
        let mut first = record("a");
        assert_eq!(first.taken_over(&name("node2")).interrupted, 0, "it waited");
        first.stage = Stage::Running { since_ms: 1 };
        first.keeping.second = Some(name("node2"));
        let second = first.taken_over(&name("node2"));
        assert_eq!((second.interrupted, &second.stage), (1, &Stage::Queued));
        assert_eq!(second.keeping.keepers(), [name("node2")], "there is no copy yet");
        assert_eq!(second.keeping.former, [name("node1")]);
        assert_eq!(second.id(), first.id(), "it is called what it was called");
        // The first has it back: it is no former holder of its own.
        let third = second.taken_over(&name("node1"));
        assert_eq!((third.keeping.term, &third.keeping.former), (2, &vec![name("node2")]));
    }

    #[test]
    fn a_job_that_is_handed_over_is_kept_by_both() {
        let mut first = record("a");
        first.stage = Stage::Running { since_ms: 1 };
        let second = first.handed_over(&name("node2"));
        assert_eq!(second.keeping.keepers(), [name("node2"), name("node1")]);
        assert_eq!((second.interrupted, &second.stage, second.keeping.term), (0, &Stage::Queued, 1));
    }
}
