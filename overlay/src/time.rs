//! The state machine's own notion of time.

use std::ops::Add;
use std::time::Duration;

/// A moment, in microseconds since whatever origin the caller chose; it never goes back.
///
/// Not `std::time::Instant`: that can't be made without reading a clock, and the simulator has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// That many microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        let micros = by.as_secs().saturating_mul(1_000_000).saturating_add(by.subsec_micros().into());
        Self(self.0.saturating_add(micros))
    }
}
