//! The policies that the paper compares with: they spread jobs over all live nodes and weigh nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngCore;
use rand::seq::SliceRandom;

use super::{Candidate, Policy, Situation};

/// Every live node is as likely as any other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Policy for Random {
    fn rank(&self, situation: &Situation<'_>, mut rng: &mut dyn RngCore) -> Vec<Candidate> {
        let mut all = everyone(situation);
        all.shuffle(&mut rng);
        number(all)
    }
}

/// The live nodes in turn, in the order of their names.
#[derive(Debug, Default)]
pub struct RoundRobin {
    turn: AtomicUsize,
}

impl Policy for RoundRobin {
    fn rank(&self, situation: &Situation<'_>, _rng: &mut dyn RngCore) -> Vec<Candidate> {
        let mut all = everyone(situation);
        all.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % all.len();
        all.rotate_left(turn);
        number(all)
    }
}

fn everyone(situation: &Situation<'_>) -> Vec<Candidate> {
    std::iter::once(situation.local()).chain(situation.live_peers()).collect()
}

fn number(mut ranked: Vec<Candidate>) -> Vec<Candidate> {
    for (place, candidate) in ranked.iter_mut().enumerate() {
        candidate.score = place as f64;
    }
    ranked
}
