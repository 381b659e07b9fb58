//! The policies that the paper compares with: they spread jobs over all live nodes and weigh nothing.

use super::roster::Roster;

/// `random`: every live node is as likely as any other. Each has a number that is drawn once for a decision, 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    /// By one number of the decision's generator.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// That of the node with this index: so it does not depend on how many are looked at, or in which order.
    ///
    /// Source: the output function of `SplitMix64` (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
    #[inline]
    pub(super) fn of(self, index: u32) -> f64 {
        let mut bits =
            self.0.wrapping_add(u64::from(index).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `round-robin`: the live nodes in turn, in the order of their names.
pub(super) fn turns(roster: &Roster, turn: u64) -> impl Fn(u32) -> f64 {
    let (count, own) = (roster.rows.len() as u64 + 1, roster.before_own as u64);
    let first = turn % count;
    move |index| {
        let by_name = match u64::from(index) {
            0 => own,
            // This node stands between the rows before it and those after it.
            index if index <= own => index - 1,
            index => index,
        };
        ((by_name + count - first) % count) as f64
    }
}
