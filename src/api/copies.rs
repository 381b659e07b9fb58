//! What the nodes that keep a job say to each other.

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

use crate::jobs::{JobNumber, Rank, Record};

/// Jobs that one [`CopyQuestion::Compare`] may name.
pub const COMPARED_MAX: usize = 64;

/// What one node says to another one about a job that both keep, or are to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum CopyQuestion {
    /// So it is with this job: keep it so, if you are one of its keepers, and fetch what you lack from me.
    Keep {
        /// The node that says so.
        from: NodeName,
        /// The job.
        record: Box<Record>,
    },
    /// Of these I have copies: is there anything newer? [`COMPARED_MAX`] at the most.
    Compare {
        /// Which, and how new.
        held: Vec<Held>,
    },
    /// The client wants this one forgotten, which has come to its end.
    Forget {
        /// The node that says so: its holder.
        from: NodeName,
        /// Which.
        number: JobNumber,
    },
}

/// A copy of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which job.
    pub number: JobNumber,
    /// How new.
    pub rank: Rank,
}

/// The answer to a [`CopyQuestion`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CopyAnswer {
    /// What is newer here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<Record>,
    /// What is not known here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<JobNumber>,
}
