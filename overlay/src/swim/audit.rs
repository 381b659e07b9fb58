//! What must be true of this state machine at any moment between two inputs, for those who watch it from outside.

use super::{Phase, Swim};
use crate::MemberState;

impl Swim {
    /// Whether others hold a newer boot of this node's name, and this one has not yet outbid it or given way.
    pub(crate) fn is_contested(&self) -> bool {
        self.conflict.is_some()
    }

    /// Two things that this node holds and that can't both be; none if all is well.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let (mut live, mut digest) = (0, 0);
        for (slot, peer) in self.members.iter() {
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
        let met = self.members.iter().filter(|(_, peer)| peer.met).count();
        if met != self.members.met() {
            return Some(format!("{met} members have answered, counted as {}", self.members.met()));
        }
        let mut round = self.round.clone();
        round.sort_unstable();
        let mut slots: Vec<_> = self.members.iter().map(|(slot, _)| slot).collect();
        slots.sort_unstable();
        if round != slots {
            return Some(format!("{} members, and {} in the round-robin", slots.len(), round.len()));
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
}
