//! The process, by the names that all exporters have for it, and its machine.

use std::fs;
use std::time::Duration;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::process::{Resource, getrlimit};

/// What of the machine a node may use, and what it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Host {
    /// CPU in use, in thousandths of what the node may use.
    pub cpu_permille: u16,
    /// Memory in use, in thousandths of what the node may use.
    pub memory_permille: u16,
    /// Bytes free on the data folder's disk, and bytes of it in all; none before they are known.
    pub disk: Option<(u64, u64)>,
}

impl Host {
    pub(super) fn register(&self, registry: &mut Registry) {
        let ratio = |permille: u16| ConstGauge::new(f64::from(permille) / 1000.0);
        let help = "CPU in use, as a part of what the node may use of its machine";
        registry.register_with_unit("host_cpu", help, super::ratio(), ratio(self.cpu_permille));
        let help = "Memory in use, as a part of what the node may use of its machine";
        registry.register_with_unit("host_memory", help, super::ratio(), ratio(self.memory_permille));
        if let Some((free, size)) = self.disk {
            let bytes = |bytes: u64| ConstGauge::new(bytes.cast_signed());
            let help = "What is free for this node on its data folder's disk";
            registry.register_with_unit("disk_free", help, Unit::Bytes, bytes(free));
            let help = "What its data folder's disk has in all";
            registry.register_with_unit("disk_size", help, Unit::Bytes, bytes(size));
        }
    }
}

/// What `/proc` says of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    cpu: Duration,
    resident_bytes: u64,
    virtual_bytes: u64,
    /// Seconds since the epoch.
    started_s: f64,
    threads: u64,
}

impl Process {
    fn read() -> Option<Self> {
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot_s = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, boot_s, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
    }

    /// `proc_pid_stat(5)`; the second field, the name, may hold anything.
    fn parse(stat: &str, boot_s: u64, ticks_per_s: u64, page_bytes: u64) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        // The first is field 3.
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / ticks_per_s.max(1) as f64;
        Some(Self {
            cpu: Duration::from_secs_f64(seconds(field(14)?.checked_add(field(15)?)?)),
            threads: field(20)?,
            started_s: boot_s as f64 + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)?.checked_mul(page_bytes)?,
        })
    }
}

pub(super) fn register(registry: &mut Registry) {
    if let Some(process) = Process::read() {
        let bytes = |bytes: u64| ConstGauge::new(bytes.cast_signed());
        let help = "CPU of this process, in user and kernel mode";
        registry.register_with_unit(
            "process_cpu",
            help,
            Unit::Seconds,
            ConstCounter::new(process.cpu.as_secs_f64()),
        );
        let help = "Memory of this process that is in RAM";
        registry.register_with_unit(
            "process_resident_memory",
            help,
            Unit::Bytes,
            bytes(process.resident_bytes),
        );
        let help = "Addresses that this process has taken";
        registry.register_with_unit(
            "process_virtual_memory",
            help,
            Unit::Bytes,
            bytes(process.virtual_bytes),
        );
        let help = "When this process began, since the epoch";
        let started = ConstGauge::new(process.started_s);
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        registry.register("process_threads", "Threads of this process", bytes(process.threads));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The one that reads the folder is open, too.
        let open = ConstGauge::new(open.count().saturating_sub(1).cast_signed() as i64);
        registry.register("process_open_fds", "File descriptors that are open", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let most = ConstGauge::new(i64::try_from(most).unwrap_or(i64::MAX));
        registry.register("process_max_fds", "File descriptors that may be open", most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 9 9 20 0 12 0 500 1048576 300 9";
        let process = Process::parse(stat, 1_000, 100, 4096).unwrap();
        assert_eq!(process.cpu, Duration::from_millis(2810));
        assert_eq!(
            (process.threads, process.virtual_bytes, process.resident_bytes),
            (12, 1_048_576, 300 * 4096)
        );
        assert!((process.started_s - 1_005.0).abs() < 1e-9);
        assert_eq!(Process::parse("7 (a) S 1", 0, 100, 4096), None);
        assert_eq!(Process::parse("", 0, 100, 4096), None);
    }

    #[test]
    fn this_process_is_told_of() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            assert!(value.unwrap().parse::<f64>().unwrap() >= 0.0, "{name}:\n{text}");
        }
    }
}
