//! What the sandbox holds on this machine, found out by trying it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, dumpable_behavior};
use serde::Serialize;

use super::acts::Found;
use super::{Allowed, Sandbox, landlock};
use crate::workers::cancel::Cancel;
use crate::workers::child::{self, Ended, Listener};

/// A test takes milliseconds; a machine that is starting many nodes is slow.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What ffmpeg is kept from, as tried out at the node's start.
#[derive(Clone, Debug, Serialize)]
pub struct Guarantees {
    /// All that the sandbox promises was tried, and holds.
    pub whole: bool,
    /// Version of landlock, up to the newest one that is made use of; 0: none.
    pub landlock_abi: u8,
    /// System calls are filtered.
    pub seccomp: bool,
    /// No capability is left, whoever the node's user is.
    pub capabilities_dropped: bool,
    /// Processes of the same user can't read the node's memory and open files.
    pub node_is_closed: bool,
    /// What code in ffmpeg's place can do all the same.
    pub possible: Vec<String>,
}

/// What a child has written, as far as it is of use.
#[derive(Default)]
struct Said(Vec<u8>);

impl Listener for Said {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= LINE_BYTES_MAX
    }
}

impl Sandbox {
    /// Has a confined child try what it should not be able to do. Blocks for milliseconds.
    pub fn check(&self) -> io::Result<Guarantees> {
        let allowed = Allowed {
            input: Path::new("/dev/null"),
            output_dir: None,
            file_bytes_max: 1 << 20,
            cpu_seconds_max: CHECK_TIME_MAX.as_secs(),
            device: None,
        };
        let mut said = Said::default();
        let mut command = self.checking(&allowed)?;
        let deadline = Instant::now() + CHECK_TIME_MAX;
        let outcome = child::run_to_end(&mut command, deadline, &Cancel::new()?, &mut said)?;
        let line = said.0.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Found { capabilities_dropped, possible } = serde_json::from_slice(line)
            .map_err(|_| io::Error::other(format!("{:?}: {}", outcome.ended, outcome.stderr)))?;
        let seccomp = matches!(outcome.ended, Ended::Exited(status) if status.signal() == Some(libc::SIGSYS));
        let landlock_abi = landlock::abi();
        let node_is_closed = matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        Ok(Guarantees {
            whole: possible.is_empty()
                && capabilities_dropped
                && seccomp
                && landlock_abi > 0
                && node_is_closed,
            landlock_abi,
            seccomp,
            capabilities_dropped,
            node_is_closed,
            possible,
        })
    }
}

impl Guarantees {
    /// What is missing, in words.
    pub fn lacks(&self) -> String {
        let parts = [
            (self.landlock_abi == 0, "no landlock"),
            (!self.seccomp, "no filter of system calls"),
            (!self.capabilities_dropped, "capabilities are left"),
            (!self.node_is_closed, "the node's memory is open to its user's other processes"),
        ];
        let parts = parts.into_iter().filter(|(missing, _)| *missing).map(|(_, what)| what.to_owned());
        let possible = self.possible.iter().map(|act| format!("ffmpeg could {act}"));
        parts.chain(possible).collect::<Vec<_>>().join("; ")
    }

    /// One line of log.
    pub fn tell(&self) {
        let Self { whole, landlock_abi, seccomp, capabilities_dropped, node_is_closed, .. } = self;
        if *whole {
            tracing::info!(
                landlock_abi,
                seccomp,
                capabilities_dropped,
                node_is_closed,
                "ffmpeg's sandbox holds"
            );
        } else {
            tracing::warn!(
                landlock_abi,
                seccomp,
                capabilities_dropped,
                node_is_closed,
                lacks = self.lacks(),
                hint = "see \"Media from strangers\" in docs/OPERATIONS.md",
                "ffmpeg's sandbox is not whole on this machine"
            );
        }
    }
}
