//! The policies that the paper compares with: they spread jobs over all live nodes and weigh nothing.

use rand::RngCore;
use rand::seq::SliceRandom;

use super::Patience;
use super::situation::{Seen, Situation};

/// `random`: every live node is as likely as any other.
pub(super) fn random(nodes: &mut [Seen<'_>], mut rng: &mut dyn RngCore) {
    let mut places: Vec<usize> = (0..nodes.len()).collect();
    places.shuffle(&mut rng);
    number(nodes, places);
}

/// `round-robin`: the live nodes in turn, in the order of their names.
pub(super) fn round_robin(situation: &Situation<'_>, nodes: &mut [Seen<'_>]) {
    let count = nodes.len();
    let own = &nodes[0].member.identity.name;
    let before_own = nodes[1..].partition_point(|peer| peer.member.identity.name < *own);
    let first = (situation.turn % count as u64) as usize;
    // This node stands first in `nodes`, and by its name among the others in the turns.
    let by_name = (1..=before_own).chain([0]).chain(before_own + 1..count);
    let mut places = vec![0; count];
    for (place, node) in by_name.enumerate() {
        places[node] = (place + count - first) % count;
    }
    number(nodes, places);
}

fn number(nodes: &mut [Seen<'_>], places: Vec<usize>) {
    for (node, place) in nodes.iter_mut().zip(places) {
        node.score = place as f64;
        node.patience = Patience::Any;
    }
}
