//! What must hold, whatever goes wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::World;
use super::fired::idle_faults;
use crate::members::Peer;
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
    /// By observer: what it held of the others when it was last looked at.
    held: Vec<Held>,
    /// By node and boot: since when it doubts that its name is its own.
    contested: BTreeMap<(usize, u64), Time>,
    violations: Vec<Violation>,
}

/// What one node holds of the others.
#[derive(Debug, Default)]
struct Held {
    /// The boot of it that does; a new one holds nothing yet.
    boots: u64,
    /// By key, as the members come.
    of: Vec<(NodeKey, Belief)>,
}

impl Held {
    /// What is held of the member with this key, which comes at or after `place`: where that is.
    fn place_from(&mut self, place: usize, key: NodeKey) -> usize {
        let behind = self.of[place..].iter().position(|(other, _)| *other >= key);
        let place = behind.map_or(self.of.len(), |behind| place + behind);
        if self.of.get(place).is_none_or(|(other, _)| *other != key) {
            self.of.insert(place, (key, Belief::default()));
        }
        place
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Belief {
    /// The claim, and whether that was that it lives.
    last: Option<(Claim, bool)>,
    /// Since when it is held live without a break, as far as there was time to find out otherwise.
    live_since: Option<Time>,
}

/// Violations kept; the first ones tell the most.
const VIOLATIONS_MAX: usize = 20;
/// A node settles a claim of others to its name, or to its death, within this time.
const CONTESTED_MAX: Duration = Duration::from_secs(30);
/// So long after a boot was over nobody brings it back to life.
const RESURRECTED_AFTER: Duration = Duration::from_secs(60);
/// Nobody is believed alive of whom no word has come, directly or through another member, for so many periods: a node that is
/// cut off alone waits for 45 of them, and then needs some to be sure.
const UNHEARD_PERIODS_MAX: u32 = 75;

impl Checker {
    /// Looks at everything that must hold at any moment. To be called often while the world runs.
    pub fn safety(&mut self, world: &World) {
        self.sizes(world);
        for index in 0..world.len() {
            let Some(swim) = world.node(index) else { continue };
            self.self_belief(world, index, swim);
            let mut held = self.take_held(world, index);
            let held_up = world.is_held_up(index);
            let (mut members, mut place) = (0, 0);
            for peer in swim.peers() {
                members += 1;
                place = held.place_from(place, peer.key);
                let belief = &mut held.of[place].1;
                self.belief(world, index, peer, belief);
                self.contact(world, (index, held_up), peer, belief);
                if peer.key == swim.key() {
                    self.violated(world, format!("node{} has itself among its peers", index + 1));
                }
            }
            self.held[index] = held;
            if let Some(what) = swim.contradiction() {
                self.violated(world, format!("node{}: {what}", index + 1));
            }
            if members >= world.len() {
                self.violated(
                    world,
                    format!("node{} knows {members} others of {}", index + 1, world.len() - 1),
                );
            }
        }
    }

    /// What a node held of the others, to be put back.
    fn take_held(&mut self, world: &World, index: usize) -> Held {
        if self.held.len() < world.len() {
            self.held.resize_with(world.len(), Held::default);
        }
        let boots = world.boots(index);
        let held = std::mem::take(&mut self.held[index]);
        if held.boots == boots { held } else { Held { boots, of: Vec::new() } }
    }

    /// What a node holds of another one: never less than before, and nothing that the other one never was.
    fn belief(&mut self, world: &World, index: usize, peer: &Peer, belief: &mut Belief) {
        let (claim, truth) = (peer.claim(), &world.truth);
        let before = belief.last.replace((claim, peer.is_live()));
        if before == belief.last {
            // It was looked at when it was new, and what was true of a boot stays so.
            return;
        }
        let boot = peer.identity.boot;
        let wrong = if before.is_some_and(|(before, _)| claim < before) {
            format!("went back from {before:?}")
        } else if truth.incarnation(peer.key, boot).is_none_or(|highest| peer.incarnation > highest) {
            format!("invented this, of {:?}", truth.incarnation(peer.key, boot))
        } else if peer.state == MemberState::Left && !truth.has_left(peer.key, boot) {
            "says that it left, which it did not".to_owned()
        } else if let Some((before, false)) = before
            && peer.is_live()
            && before.boot == boot
            && truth.end(peer.key, boot).is_some_and(|end| world.now().since(end) > RESURRECTED_AFTER)
        {
            format!("brought a boot back that is long over, from {before:?}")
        } else {
            return;
        };
        self.violated(world, format!("node{} on {}: {claim:?}: {wrong}", index + 1, peer.identity.name));
    }

    /// That a member is alive is believed only of those that have been heard of, by whatever way.
    fn contact(&mut self, world: &World, (index, held_up): (usize, bool), peer: &Peer, belief: &mut Belief) {
        if world.contacts.is_none() {
            return;
        }
        if !peer.is_live() || held_up {
            belief.live_since = None;
            return;
        }
        let since = *belief.live_since.get_or_insert(world.now());
        // Within the bound, whatever was heard.
        let most = world.period(index) * UNHEARD_PERIODS_MAX;
        if world.now().since(since) <= most {
            return;
        }
        let Some(heard) = world.at_address(peer.identity.gossip).and_then(|other| world.heard(index, other))
        else {
            return;
        };
        let silence = world.now().since(heard.max(since));
        if silence > most {
            belief.live_since = Some(world.now());
            let what = format!(
                "node{} believes {} alive, of which it has not been able to hear for {silence:?}",
                index + 1,
                peer.identity.name
            );
            self.violated(world, what);
        }
    }

    /// What a node holds of itself: that it is there, and that its name is its own.
    fn self_belief(&mut self, world: &World, index: usize, swim: &Swim) {
        let boot = swim.identity().boot;
        if swim.state() != MemberState::Alive && !world.truth.has_left(swim.key(), boot) {
            self.violated(world, format!("node{} takes itself for {}", index + 1, swim.state()));
        }
        let of = (index, world.boots(index));
        if !swim.is_contested() || world.is_paused(index) {
            self.contested.remove(&of);
            return;
        }
        let since = *self.contested.entry(of).or_insert(world.now());
        if world.now().since(since) > CONTESTED_MAX {
            self.violated(world, format!("node{} doubts for long that its name is its own", index + 1));
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
        if world.truth.oversized_datagrams() > 0 {
            self.violated(world, format!("{} datagrams were too large", world.truth.oversized_datagrams()));
        }
        for (key, boot, incarnation) in world.truth.went_back() {
            self.violated(world, format!("{key:?} went back to {boot:?}, {incarnation:?}"));
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

    /// Looks whether each fault that met many datagrams did anything.
    pub fn effect(&mut self, world: &World) {
        for fault in idle_faults(&world.met(), &world.fired()) {
            self.violated(world, format!("a fault did nothing: {fault}"));
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
