//! CPU time of processes, and of the tools that a node runs.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// CPU time that a process has used, in user and kernel mode, all its threads together, its children not. One that has
/// ended still tells until it is reaped. None if there is no such process.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, rustix::param::clock_ticks_per_second())
}

/// Whether a thread of a process runs, or would if it got a core or its disk (`proc_pid_stat(5)`: R and D). No such process: false.
pub fn is_ready(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        // Threads come and go meanwhile.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, Some('R' | 'D'))
    })
}

/// Fields 14 and 15 of `proc_pid_stat(5)`; the second, the name, may hold anything.
fn parse(stat: &str, ticks_per_s: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(ticks_per_s)?))
}

/// CPU time that one tool's runs have used, by what came of them.
#[derive(Debug, Default)]
pub struct CpuUse {
    done_ms: AtomicU64,
    wasted_ms: AtomicU64,
}

impl CpuUse {
    /// A run has ended: with what was wanted of it, or not.
    pub fn add(&self, done: bool, time: Duration) {
        let counter = if done { &self.done_ms } else { &self.wasted_ms };
        counter.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Time of runs with a result, and of the others.
    pub fn read(&self) -> (Duration, Duration) {
        let read = |counter: &AtomicU64| Duration::from_millis(counter.load(Ordering::Relaxed));
        (read(&self.done_ms), read(&self.wasted_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 9 9 20 0 1 0 100 0 0";
        assert_eq!(parse(stat, 100), Some(Duration::from_millis(2810)));
        assert_eq!(parse("7 (a) S 1", 100), None);
        assert_eq!(parse("", 100), None);
    }

    #[test]
    fn this_process_has_used_some() {
        let before = cpu_time(std::process::id()).unwrap();
        while cpu_time(std::process::id()).unwrap() == before {}
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
