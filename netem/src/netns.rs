//! Work inside a network namespace, from a process that lives in another.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Netns {
    /// The one of this process.
    Current,
    /// The one behind a path: `/run/netns/NAME` or `/proc/PID/ns/net`.
    Path(PathBuf),
}

impl Netns {
    /// A namespace made by `ip netns add`.
    pub fn named(name: &str) -> Self {
        Self::Path(Path::new("/run/netns").join(name))
    }

    /// Moves the calling thread there for good: for threads that were started for this only. What it then spawns or opens
    /// is in that namespace.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let Self::Path(path) = self else { return Ok(()) };
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("namespace {}: {error}", path.display()));
        let file = File::open(path).map_err(named)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|e| named(e.into()))
    }

    /// Runs `work` on a thread of its own inside the namespace, and waits for it. What it opens or spawns stays in
    /// that namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if *self == Self::Current {
            return work();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
