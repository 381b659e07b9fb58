//! How busy this machine is, in parts of what the node may use of it.
//!
//! Sampled once a second on a thread of its own, so that a machine whose runtime threads are starved still says so. In a
//! container the cgroup's limits are the whole, not the host's cores and memory.

mod cgroup;
mod process;

use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use std::{io, thread};

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use tokio::sync::watch;

use cgroup::Cgroup;
pub use process::{CpuUse, cpu_time, is_ready};

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineLoad {
    /// CPU in use, in thousandths of what the node may use.
    pub cpu_permille: u16,
    /// Memory in use, in thousandths of what the node may use; files that the kernel merely caches don't count.
    pub memory_permille: u16,
}

/// Samples the machine's load until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    load: watch::Receiver<MachineLoad>,
    /// Dropped with this: the thread's signal to end.
    _stop: SyncSender<()>,
}

impl Sampler {
    /// How often a reading is taken.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// Starts the sampling thread. The first reading is there at once, the first of the CPU after one period.
    pub fn start() -> io::Result<Self> {
        let mut meter = Meter::new(Cgroup::of_this_process());
        let (sender, load) = watch::channel(meter.read());
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        thread::Builder::new().name("load-sampler".to_owned()).spawn(move || {
            while stopped.recv_timeout(Self::PERIOD) == Err(RecvTimeoutError::Timeout) {
                sender.send_replace(meter.read());
            }
        })?;
        Ok(Self { load, _stop: stop })
    }

    /// The readings as they come.
    pub fn watch(&self) -> watch::Receiver<MachineLoad> {
        self.load.clone()
    }
}

/// Reads the kernel's counters and makes parts of them.
#[derive(Debug)]
struct Meter {
    system: System,
    cgroup: Cgroup,
    /// CPU time used by the cgroup at the last reading.
    last: Option<(Instant, Duration)>,
}

impl Meter {
    fn new(cgroup: Cgroup) -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self { system: System::new_with_specifics(what), cgroup, last: None }
    }

    fn read(&mut self) -> MachineLoad {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        MachineLoad { cpu_permille: self.cpu(), memory_permille: self.memory() }
    }

    /// Of the cgroup's share if it has less than the machine, else of the machine.
    fn cpu(&mut self) -> u16 {
        let machine = permille(f64::from(self.system.global_cpu_usage()), 100.0);
        let cores = self.system.cpus().len() as f64;
        let Some(allowed) = self.cgroup.cpu_cores().filter(|allowed| *allowed < cores) else {
            return machine;
        };
        let Some(used) = self.cgroup.cpu_time() else { return machine };
        let now = Instant::now();
        let Some((then, used_then)) = self.last.replace((now, used)) else { return 0 };
        let spent = used.saturating_sub(used_then).as_secs_f64();
        permille(spent, now.duration_since(then).as_secs_f64() * allowed)
    }

    fn memory(&self) -> u16 {
        let (total, used) = (self.system.total_memory(), self.system.used_memory());
        match self.cgroup.memory() {
            Some(memory) if memory.limit_bytes < total => {
                permille(memory.used_bytes as f64, memory.limit_bytes as f64)
            }
            _ => permille(used as f64, total as f64),
        }
    }
}

fn permille(part: f64, whole: f64) -> u16 {
    if whole > 0.0 { (part / whole * 1000.0).round().clamp(0.0, 1000.0) as u16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded() {
        assert_eq!(permille(1.0, 2.0), 500);
        assert_eq!(permille(3.0, 2.0), 1000);
        assert_eq!(permille(-1.0, 2.0), 0);
        assert_eq!(permille(1.0, 0.0), 0);
        assert_eq!(permille(f64::NAN, 2.0), 0);
    }

    #[tokio::test]
    async fn readings_come_by_themselves_and_end_with_the_sampler() {
        let sampler = Sampler::start().unwrap();
        let mut load = sampler.watch();
        assert!(load.borrow_and_update().memory_permille > 0);
        load.changed().await.unwrap();
        drop(sampler);
        while load.changed().await.is_ok() {}
    }
}
