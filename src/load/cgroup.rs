//! The limits and counters of this process's cgroup, of version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the files of each controller lie, from this process's own group up to the root; the tightest limit holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Cgroup {
    version: Version,
    cpu: Vec<PathBuf>,
    cpuacct: Vec<PathBuf>,
    memory: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    #[default]
    None,
    One,
    Two,
}

/// Memory of the tightest group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) limit_bytes: u64,
    /// Without the files that the kernel could drop from its cache.
    pub(super) used_bytes: u64,
}

impl Cgroup {
    pub(super) fn of_this_process() -> Self {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &text)
    }

    /// `root`: where cgroups are mounted. `membership`: the text of /proc/self/cgroup.
    fn find(root: &Path, membership: &str) -> Self {
        let group = |controller: &str| {
            membership.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                controllers
                    .split(',')
                    .any(|name| name == controller)
                    .then(|| path.trim_start_matches('/').to_owned())
            })
        };
        if root.join("cgroup.controllers").exists() {
            let dirs = ancestors(root, &group("").unwrap_or_default());
            return Self { version: Version::Two, cpu: dirs.clone(), cpuacct: dirs.clone(), memory: dirs };
        }
        let controller = |name: &str| {
            let mount = root.join(name);
            if mount.is_dir() { ancestors(&mount, &group(name).unwrap_or_default()) } else { Vec::new() }
        };
        let (cpu, cpuacct, memory) = (controller("cpu"), controller("cpuacct"), controller("memory"));
        let version = if memory.is_empty() && cpu.is_empty() { Version::None } else { Version::One };
        Self { version, cpu, cpuacct, memory }
    }

    /// CPUs that the group may keep busy; `None`: no limit.
    pub(super) fn cpu_cores(&self) -> Option<f64> {
        self.cpu.iter().filter_map(|dir| self.quota(dir)).reduce(f64::min)
    }

    fn quota(&self, dir: &Path) -> Option<f64> {
        let (quota, period) = match self.version {
            Version::Two => {
                let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
            }
            // -1 is no limit.
            _ => (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?),
        };
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }

    /// CPU time that the group with the tightest limit has used.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let limited = self
            .cpu
            .iter()
            .position(|dir| self.quota(dir).is_some_and(|cores| Some(cores) == self.cpu_cores()))?;
        let dir = self.cpuacct.get(limited).or(self.cpuacct.first())?;
        match self.version {
            Version::Two => field(&dir.join("cpu.stat"), "usage_usec").map(Duration::from_micros),
            _ => number(&dir.join("cpuacct.usage")).map(Duration::from_nanos),
        }
    }

    /// The group that is nearest to its limit of those that have one.
    pub(super) fn memory(&self) -> Option<Memory> {
        let (limit, usage, stat, cached) = match self.version {
            Version::Two => ("memory.max", "memory.current", "memory.stat", "inactive_file"),
            _ => ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
        };
        let read = |dir: &PathBuf| {
            let limit_bytes = number(&dir.join(limit))?;
            let cached = field(&dir.join(stat), cached).unwrap_or(0);
            let used_bytes = number::<u64>(&dir.join(usage))?.saturating_sub(cached);
            Some(Memory { limit_bytes, used_bytes })
        };
        self.memory
            .iter()
            .filter_map(read)
            .min_by_key(|memory| memory.limit_bytes.saturating_sub(memory.used_bytes))
    }
}

/// The group's folder and those above it. In a container the path is often the host's and not to be seen: then the
/// mount itself is the container's group.
fn ancestors(mount: &Path, group: &str) -> Vec<PathBuf> {
    let own = mount.join(group);
    let start = if own.is_dir() { own } else { mount.to_owned() };
    start.ancestors().take_while(|dir| dir.starts_with(mount)).map(Path::to_owned).collect()
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cgroup tree of these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_takes_the_tightest_limit_on_the_way_up() {
        let root = tree(&[
            ("cgroup.controllers", "cpu memory"),
            ("a/cpu.max", "150000 100000\n"),
            ("a/cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
            ("a/memory.max", "max\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/memory.max", "1000\n"),
            ("a/b/memory.current", "700\n"),
            ("a/b/memory.stat", "anon 400\ninactive_file 300\n"),
        ]);
        let cgroup = Cgroup::find(root.path(), "0::/a/b\n");
        assert_eq!(cgroup.cpu_cores(), Some(1.5));
        assert_eq!(cgroup.cpu_time(), Some(Duration::from_millis(2500)));
        assert_eq!(cgroup.memory(), Some(Memory { limit_bytes: 1000, used_bytes: 400 }));
    }

    #[test]
    fn version_1_has_a_folder_a_controller() {
        let root = tree(&[
            ("cpu/g/cpu.cfs_quota_us", "50000"),
            ("cpu/g/cpu.cfs_period_us", "100000"),
            ("cpuacct/g/cpuacct.usage", "1500000000"),
            ("memory/g/memory.limit_in_bytes", "2000"),
            ("memory/g/memory.usage_in_bytes", "900"),
            ("memory/g/memory.stat", "total_inactive_file 100\n"),
        ]);
        let cgroup = Cgroup::find(root.path(), "4:memory:/g\n2:cpuacct,cpu:/g\n0::/\n");
        assert_eq!(cgroup.cpu_cores(), Some(0.5));
        assert_eq!(cgroup.cpu_time(), Some(Duration::from_millis(1500)));
        assert_eq!(cgroup.memory(), Some(Memory { limit_bytes: 2000, used_bytes: 800 }));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let root = tree(&[("cpu/cpu.cfs_quota_us", "-1"), ("cpu/cpu.cfs_period_us", "100000")]);
        assert_eq!(Cgroup::find(root.path(), "").cpu_cores(), None);
        assert_eq!(Cgroup::find(Path::new("/nonexistent"), "").memory(), None);
    }

    #[test]
    fn a_path_of_the_hosts_is_not_to_be_seen_in_a_container() {
        let root = tree(&[("cgroup.controllers", ""), ("cpu.max", "200000 100000")]);
        assert_eq!(Cgroup::find(root.path(), "0::/docker/abc").cpu_cores(), Some(2.0));
    }
}
