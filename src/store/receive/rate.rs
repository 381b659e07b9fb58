use std::time::Duration;

/// The window is so many slots of so much waiting each: a minute.
const SLOTS: usize = 6;
const SLOT: Duration = Duration::from_secs(10);

/// How fast the other side moves bytes while it is waited for, over the last minute of that. What it did before does not count:
/// a great deal at once buys no hour of next to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    slots: [Slot; SLOTS],
    now: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    waited: Duration,
    bytes: u64,
}

impl Rate {
    /// The other side was waited for this long, and then moved so many bytes.
    pub fn add(&mut self, waited: Duration, bytes: u64) {
        if self.slots[self.now].waited >= SLOT {
            self.now = (self.now + 1) % SLOTS;
            self.slots[self.now] = Slot::default();
        }
        let slot = &mut self.slots[self.now];
        slot.waited += waited;
        slot.bytes += bytes;
    }

    /// Whether it moved fewer bytes a second than these, once it was waited for longer than `grace`; and if so, for how long.
    pub fn is_below(&self, bytes_per_s_min: u64, grace: Duration) -> Option<Duration> {
        let (waited, bytes) = self
            .slots
            .iter()
            .fold((Duration::ZERO, 0u64), |(waited, bytes), slot| (waited + slot.waited, bytes + slot.bytes));
        (waited > grace && (bytes as f64) < waited.as_secs_f64() * bytes_per_s_min as f64).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn what_came_before_buys_a_minute_and_no_more() {
        let mut rate = Rate::default();
        rate.add(Duration::ZERO, 1 << 30);
        let dripped = (1..1000).find(|_| {
            rate.add(3 * SECOND, 1);
            rate.is_below(1024, GRACE).is_some()
        });
        assert!((15..=25).contains(&dripped.unwrap()), "{dripped:?} drips of 3 s");
    }

    #[test]
    fn a_steady_sender_is_never_too_slow() {
        let mut rate = Rate::default();
        for _ in 0..1000 {
            rate.add(SECOND, 1024);
            assert_eq!(rate.is_below(1024, GRACE), None);
        }
        // And one that stands still for a while, and had sent enough in the minute before.
        rate.add(9 * SECOND, 100_000);
        assert_eq!(rate.is_below(1024, GRACE), None);
    }
}
