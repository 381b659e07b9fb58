//! What must hold, whatever goes wrong.

use std::collections::BTreeMap;
use std::fmt;

use super::World;
use crate::precedence::Claim;
use crate::{MemberState, NodeKey, Swim, Time};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was seen.
    pub at: Time,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s: {}", self.at.since(Time::ZERO).as_secs_f64(), self.what)
    }
}

/// Watches a world from outside, where everything can be seen.
#[derive(Debug, Default)]
pub struct Checker {
    /// By observer, its boot, and whom it observes: the last claim it held.
    claims: BTreeMap<(usize, u64, NodeKey), Claim>,
    violations: Vec<Violation>,
}

/// Violations kept; the first ones tell the most.
const VIOLATIONS_MAX: usize = 20;

impl Checker {
    /// Looks at everything that must hold at any moment. To be called often while the world runs.
    pub fn safety(&mut self, world: &World) {
        self.sizes(world);
        for index in 0..world.len() {
            let Some(swim) = world.node(index) else { continue };
            let boot = world.boots(index);
            for peer in swim.peers() {
                let claim = peer.claim();
                let before = self.claims.insert((index, boot, peer.key), claim);
                if before.is_some_and(|before| claim < before) {
                    let what = format!(
                        "node{} went back on {}: {before:?}, then {claim:?}",
                        index + 1,
                        peer.identity.name
                    );
                    self.violated(world, what);
                }
            }
            if swim.peers().any(|peer| peer.key == swim.key()) {
                self.violated(world, format!("node{} has itself among its peers", index + 1));
            }
            let members = swim.peers().count();
            if members >= world.len() {
                self.violated(
                    world,
                    format!("node{} knows {members} others of {}", index + 1, world.len() - 1),
                );
            }
        }
    }

    /// Looks whether everything that grows is within its bounds; cheap enough for any size of cluster.
    pub fn sizes(&mut self, world: &World) {
        for index in 0..world.len() {
            for (what, size, most) in world.node(index).into_iter().flat_map(Swim::sizes) {
                if size > most {
                    self.violated(world, format!("node{}: {what} has {size} of at most {most}", index + 1));
                }
            }
        }
    }

    /// Looks at what must hold once everything has been quiet for long: every running node believes exactly the
    /// running nodes alive, each in its present boot and at its present address.
    pub fn liveness(&mut self, world: &World) {
        let up: Vec<usize> = (0..world.len()).filter(|index| world.is_up(*index)).collect();
        for index in &up {
            let Some(swim) = world.node(*index) else { continue };
            for other in &up {
                let Some(target) = world.node(*other).filter(|_| other != index) else { continue };
                let seen = swim.peers().find(|peer| peer.key == target.key());
                let right = seen.is_some_and(|peer| {
                    peer.state == MemberState::Alive && *peer.identity == **target.identity()
                });
                if !right {
                    let seen = seen.map(|peer| (peer.state, peer.identity.boot, peer.identity.gossip));
                    let what = format!("node{} does not see node{} alive: {seen:?}", index + 1, other + 1);
                    self.violated(world, what);
                }
            }
            if swim.live() != up.len() {
                let what =
                    format!("node{} sees {} of {} running nodes alive", index + 1, swim.live(), up.len());
                self.violated(world, what);
            }
        }
    }

    /// Adds what another check found.
    pub fn violated(&mut self, world: &World, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { at: world.now(), what });
        }
    }

    /// What did not hold.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}
