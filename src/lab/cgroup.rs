//! CPU limits of nodes, by cgroup v2 or v1, where the lab may make cgroups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The period of a CPU quota, in microseconds.
const PERIOD_US: u64 = 100_000;
const PREFIX: &str = "starling-lab-";

/// The lab's cgroup; each node gets a child of it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The root below which this machine lets a lab make CPU cgroups.
fn root() -> Option<(PathBuf, Version)> {
    let v2 = Path::new("/sys/fs/cgroup");
    if fs::read_to_string(v2.join("cgroup.controllers"))
        .is_ok_and(|list| list.split_whitespace().any(|c| c == "cpu"))
    {
        return Some((v2.to_owned(), Version::V2));
    }
    let v1 = Path::new("/sys/fs/cgroup/cpu");
    v1.join("cpu.cfs_quota_us").is_file().then(|| (v1.to_owned(), Version::V1)).or_else(|| {
        // The root group of v1 has the file only on some kernels; its children always do.
        v1.join("cgroup.procs").is_file().then(|| (v1.to_owned(), Version::V1))
    })
}

impl Cgroup {
    /// Makes the lab's cgroup.
    pub(super) fn create(id: &str) -> io::Result<Self> {
        let (root, version) = root().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy with the cpu controller is mounted")
        })?;
        let path = root.join(format!("{PREFIX}{id}"));
        if version == Version::V2 {
            fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir(&path)?;
        let cgroup = Self { path, version };
        if version == Version::V2 {
            fs::write(cgroup.path.join("cgroup.subtree_control"), "+cpu")?;
        }
        Ok(cgroup)
    }

    /// Makes a node's cgroup with its limit; the file that a process writes its PID into to enter.
    pub(super) fn node(&self, name: &str, cpus: f64) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let quota = quota_us(cpus);
        match self.version {
            Version::V2 => fs::write(path.join("cpu.max"), format!("{quota} {PERIOD_US}"))?,
            Version::V1 => {
                fs::write(path.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                fs::write(path.join("cpu.cfs_quota_us"), quota.to_string())?;
            }
        }
        Ok(path.join("cgroup.procs"))
    }

    /// Removes it when no process is left in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// Removes what a killed lab left. Never an error: a cgroup without processes costs nothing.
pub(super) fn sweep(id: &str) {
    if let Some((root, _)) = root() {
        let path = root.join(format!("{PREFIX}{id}"));
        if let Err(error) = remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove the cgroup of a killed lab");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let children = match path.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for child in children {
        let child = child?;
        if child.file_type()?.is_dir() {
            fs::remove_dir(child.path())?;
        }
    }
    fs::remove_dir(path)
}

/// The kernel takes no quota below a millisecond.
fn quota_us(cpus: f64) -> u64 {
    ((cpus * PERIOD_US as f64).round() as u64).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_cores_times_the_period() {
        assert_eq!(
            [quota_us(1.0), quota_us(0.25), quota_us(4.0), quota_us(0.0001)],
            [100_000, 25_000, 400_000, 1000]
        );
    }
}
