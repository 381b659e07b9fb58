//! How many of the pings to one member stay without an answer: shown to people, and decides nothing.

/// Of how many pings one has a part in the mean: a minute or two of a member's turns in a small cluster, so that a line that was healed
/// is not shown as a bad one for long.
const WEIGHT: u32 = 16;
/// Pings before which nothing is said.
const PINGS_MIN: u8 = 8;
const WHOLE: u32 = 1 << 16;

/// The part of the pings to one member that nothing came back of in the time that a further one was not sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unanswered {
    /// In parts of [`WHOLE`], as a mean that forgets.
    part: u16,
    pings: u8,
}

impl Unanswered {
    /// A ping was answered, or another had to follow it.
    pub fn count(&mut self, answered: bool) {
        // At first the plain mean: what begins with nothing would be long in coming to what is.
        let weight = WEIGHT.min(u32::from(self.pings) + 1);
        let now = if answered { 0 } else { WHOLE - 1 };
        self.part = ((u32::from(self.part) * (weight - 1) + now) / weight) as u16;
        self.pings = self.pings.saturating_add(1);
    }

    /// The part, 0 to 1; none while there were too few.
    pub fn part(self) -> Option<f32> {
        (self.pings >= PINGS_MIN).then(|| f32::from(self.part) / WHOLE as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_loses_is_told_from_one_that_does_not() {
        let mut unanswered = Unanswered::default();
        assert_eq!(unanswered.part(), None);
        for n in 0..200 {
            unanswered.count(n % 4 != 0);
        }
        assert!((0.2..0.3).contains(&unanswered.part().unwrap()), "{unanswered:?}");
        (0..300).for_each(|_| unanswered.count(true));
        assert!(unanswered.part().unwrap() < 0.01, "{unanswered:?}");
        (0..300).for_each(|_| unanswered.count(false));
        assert!(unanswered.part().unwrap() > 0.98, "{unanswered:?}");
    }
}
