//! The simulator itself: one seed is one run, its checkers see, rare states are reached; and what it found.

mod faults;
mod figures;
mod paper;
mod plants;
mod policies;
mod traces;

use super::decider::Decider;
use super::run::{Ran, run};
use super::setup::{Mishap, Plant, Setup, Trouble};
use super::{Rule, Workload};
use crate::policy::{Policy, PolicyKind};

fn workload(name: &str) -> Workload {
    name.parse().unwrap()
}

fn decider(kind: PolicyKind) -> Decider {
    Decider::Policy(Policy { kind, ..Policy::default() })
}

/// A small cluster under the default policy.
fn small(name: &str, nodes: usize, jobs: usize, seed: u64) -> Setup {
    Setup::new(workload(name), decider(PolicyKind::Score), nodes, jobs, seed)
}

fn told(ran: &Ran) -> String {
    ran.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
