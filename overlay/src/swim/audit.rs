//! What must be true of this state machine at any moment between two inputs, for those who watch it from outside.

use super::{Phase, Swim};
use crate::MemberState;
use crate::members::Slot;

impl Swim {
    /// Whether others hold a newer boot of this node's name, and this one has not yet outbid it or given way.
    pub(crate) fn is_contested(&self) -> bool {
        self.conflict.is_some()
    }

    /// Two things that this node holds and that can't both be; none if all is well.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let (mut live, mut met, mut digest) = (0, 0, 0);
        for (slot, peer) in self.members.iter() {
            met += usize::from(peer.met);
            if peer.is_live() {
                live += 1;
                digest ^= peer.key.live_part(peer.identity.boot);
            }
            let suspected = self.suspicions.contains_key(&slot);
            if suspected != (peer.state == MemberState::Suspect) && self.phase == Phase::Running {
                return Some(format!(
                    "{} is {}, and a suspicion of it: {suspected}",
                    peer.identity.name, peer.state
                ));
            }
        }
        if (live, digest) != (self.members.live(), self.members.digest()) {
            return Some(format!("{live} members live, counted as {}", self.members.live()));
        }
        if met != self.members.met() {
            return Some(format!("{met} members have answered, counted as {}", self.members.met()));
        }
        if let Some(due) = self.due.filter(|due| *due != self.next_timeout()) {
            return Some(format!("told {due:?} as its next timeout, which is {:?}", self.next_timeout()));
        }
        if let Some(what) = self.contradiction_in_round() {
            return Some(what);
        }
        let mut probed: Vec<_> = self.probes.iter().map(|probe| probe.slot).collect();
        probed.sort_unstable();
        if probed.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("two probes of one member".into());
        }
        let watched = self.watch.due.iter().map(|(slot, _)| slot).chain(&self.watch.promised_to);
        let gone = probed.iter().chain(watched).chain(self.suspicions.keys());
        gone.copied()
            .find(|slot| self.members.get(*slot).is_none())
            .map(|slot| format!("slot {slot} is empty, and in use"))
    }
    /// The round-robin has each member once.
    fn contradiction_in_round(&self) -> Option<String> {
        let mut seen = vec![false; self.members.slots() as usize];
        let once = |slot: &Slot| {
            self.members.get(*slot).is_some() && !std::mem::replace(&mut seen[*slot as usize], true)
        };
        let (members, turns) = (self.members.len(), self.round.len());
        let all = members == turns && self.round.iter().all(once);
        (!all).then(|| format!("{members} members, and {turns} in the round-robin: not each of them once"))
    }
}
