//! Which of two claims about a member counts.
//!
//! Claims are ordered by boot, then incarnation, then state; the greatest counts. That makes views a join
//! semilattice: members that have heard the same claims, in any order and any number of times, believe the same.

use crate::{BootEpoch, Incarnation, MemberState};

/// Greatest incarnation that is believed. Above it there is always room for the subject's own word; a member that would
/// have to go beyond it begins a new boot instead.
pub(crate) const INCARNATION_MAX: Incarnation = Incarnation(u32::MAX / 2);

/// What is claimed of a member. The order of the fields is the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// A newer boot replaces everything said of an older one.
    pub boot: BootEpoch,
    /// Raised by the member alone, to refute what was said of the incarnation before.
    pub incarnation: Incarnation,
    rank: u8,
}

impl Claim {
    pub fn new(boot: BootEpoch, incarnation: Incarnation, state: MemberState) -> Self {
        let rank = match state {
            MemberState::Alive => 0,
            MemberState::Suspect => 1,
            MemberState::Dead => 2,
            MemberState::Left => 3,
        };
        Self { boot, incarnation, rank }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims() -> impl Strategy<Value = Claim> {
        let state = prop_oneof![
            Just(MemberState::Alive),
            Just(MemberState::Suspect),
            Just(MemberState::Dead),
            Just(MemberState::Left)
        ];
        (0u64..3, 0u32..4, state).prop_map(|(b, i, s)| Claim::new(BootEpoch(b), Incarnation(i), s))
    }

    proptest! {
        #[test]
        fn order_of_arrival_and_repetition_do_not_matter(heard in prop::collection::vec(claims(), 1..20), seed: u64) {
            let merge = |claims: &[Claim]| claims.iter().copied().fold(heard[0], Claim::max);
            let mut shuffled = heard.clone();
            let n = shuffled.len();
            for i in 0..n {
                shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % n);
            }
            shuffled.extend_from_slice(&heard);
            prop_assert_eq!(merge(&heard), merge(&shuffled));
        }
    }

    #[test]
    fn swim_section_4_2() {
        use MemberState::{Alive, Dead, Left, Suspect};
        let claim = |b, i, s| Claim::new(BootEpoch(b), Incarnation(i), s);
        assert!(claim(1, 0, Suspect) > claim(1, 0, Alive), "a suspicion overrides alive of its incarnation");
        assert!(claim(1, 1, Alive) > claim(1, 0, Suspect), "a higher incarnation refutes");
        assert!(claim(1, 0, Dead) > claim(1, 0, Suspect), "a verdict overrides the suspicion");
        assert!(claim(1, 1, Alive) > claim(1, 0, Dead), "even a verdict can be refuted");
        assert!(claim(1, 0, Left) > claim(1, 0, Dead), "who left did not fail");
        assert!(claim(2, 0, Alive) > claim(1, 9, Left), "a newer boot replaces its old self");
    }
}
