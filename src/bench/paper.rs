//! What is known of the paper's numbers: those that this project's design and its issues quote. A cell of the paper's tables that they
//! don't quote is said to be unknown, and never guessed.

use super::plan::Experiment;

/// In a cell of the paper's that this project does not know.
pub(super) const UNKNOWN: &str = "not known";

/// Cores of the paper's machine.
pub(super) const CORES: u32 = 20;
/// The policies that tables 1 to 8 compare.
pub(super) const ROUTING: [&str; 3] = ["random", "round-robin", "score"];

/// How the paper's cluster took a failure.
pub(super) struct Failure {
    pub(super) table: u32,
    pub(super) success: &'static str,
    /// Until more than 90 % succeeded again.
    pub(super) recovered: &'static str,
}

/// Tables 9 and 10.
pub(super) fn failure(experiment: Experiment) -> Option<Failure> {
    match experiment {
        Experiment::OneFailure => Some(Failure { table: 9, success: "95.6 %", recovered: "25-30 s" }),
        Experiment::TwoFailures => Some(Failure { table: 10, success: "91 %", recovered: "45 s" }),
        _ => None,
    }
}

/// Section 12: five nodes from a ring of single seeds, the least and the greatest.
pub(super) const CONVERGENCE: (&str, &str) = ("5.1 s", "12.4 s");

/// Where an experiment stands in the paper.
pub(super) const fn place(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Routing => "tables 1 to 8",
        Experiment::OneFailure => "table 9",
        Experiment::TwoFailures => "table 10",
        Experiment::Saturation => "section 11",
        Experiment::Convergence => "section 12",
        Experiment::Calibration | Experiment::Validation => "not in the paper",
    }
}
