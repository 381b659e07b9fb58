//! The time that a child had for its work. What the machine kept from it, since others use its cores or its disk, does not count: a
//! child that is starved is not one that hangs.

use std::time::{Duration, Instant};

/// What the system says of a child, now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    /// CPU that it has used so far. Nothing where the system does not say: then its output alone has to tell.
    pub(super) cpu: Duration,
    /// Whether a thread of it would work now if it got a core or its disk.
    pub(super) ready: bool,
}

impl Pulse {
    /// That of a process.
    pub(super) fn of(pid: u32) -> Self {
        Self { cpu: crate::load::cpu_time(pid).unwrap_or_default(), ready: crate::load::is_ready(pid) }
    }
}

/// Reckons what was kept from a child, pulse by pulse.
#[derive(Debug)]
pub(super) struct OwnTime {
    last: (Instant, Duration),
}

impl OwnTime {
    pub(super) const fn since(now: Instant) -> Self {
        Self { last: (now, Duration::ZERO) }
    }

    /// What of the time since the last pulse was kept from it: all in which it was ready and did not work.
    pub(super) fn kept(&mut self, now: Instant, pulse: Pulse) -> Duration {
        let (since, cpu) = std::mem::replace(&mut self.last, (now, pulse.cpu));
        let worked = pulse.cpu.saturating_sub(cpu);
        if pulse.ready { now.saturating_duration_since(since).saturating_sub(worked) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_from_a_child_does_not_count() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let ms = Duration::from_millis;
        let mut time = OwnTime::since(begun);
        let starved = Pulse { cpu: ms(10), ready: true };
        assert_eq!(time.kept(begun + second, starved), ms(990));
        // It sleeps: nothing is kept from it.
        assert_eq!(time.kept(begun + 2 * second, Pulse { ready: false, ..starved }), Duration::ZERO);
        // It works on two cores.
        assert_eq!(time.kept(begun + 3 * second, Pulse { cpu: 2 * second, ready: true }), Duration::ZERO);
    }

    #[test]
    fn this_process_is_ready_while_it_works() {
        assert!(Pulse::of(std::process::id()).ready, "it runs this test");
        assert!(!Pulse::of(u32::MAX).ready, "there is no such process");
    }
}
