//! Whose silence is it? A node that hears nobody at all is more likely cut off, or too slow to read what waits for it,
//! than all the others are dead at once. While that lasts it passes no verdict.

use super::Swim;
use crate::Time;

/// In smaller clusters all the others may well be gone at once.
const OTHERS_MIN: usize = 3;

impl Swim {
    /// A member has been heard, after `silence` perhaps: what was concluded from that does not count. The answers may be
    /// the next ones to come in.
    pub(super) fn heard_somebody(&mut self) {
        let silence = self.now.since(self.heard);
        self.heard = self.now;
        if !self.parts.own_silence || silence <= self.params.silence() {
            return;
        }
        let least = self.now + self.params.suspicion_min(self.live());
        for suspicion in self.suspicions.values_mut() {
            suspicion.postpone(least);
        }
        for probe in &mut self.probes {
            probe.answered_late();
        }
        self.watch.clear();
        self.health.worse(1);
    }

    /// Whether a probe that began then, and asked others for help, brought no sign of life of anybody. As long as that may
    /// be the fault of this node it doubts nobody else: half-reachable members make the others flap.
    pub(super) fn is_deaf_since(&self, begin: Time) -> bool {
        let enough = self.parts.own_silence && self.members.live() >= OTHERS_MIN;
        enough && self.heard < begin && !self.is_cut_off()
    }

    /// Whether nobody has been heard for so long that it can't be the others. Not for ever: a node that stays alone has
    /// to say so.
    pub(super) fn is_deaf(&self) -> bool {
        let silence = self.now.since(self.heard);
        self.parts.own_silence
            && self.members.live() >= OTHERS_MIN
            && (self.params.silence()..self.params.cut_off(self.live())).contains(&silence)
    }
}
