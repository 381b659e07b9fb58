//! The last known members on disk: a node whose seeds are all gone still finds its cluster.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::pace::Pace;

/// How often the last known members are written to disk, where they have changed, or where that failed.
const INTERVAL: Duration = Duration::from_secs(2);
/// That the members can't be kept is said so often.
const FAILED_INTERVAL: Duration = Duration::from_secs(600);
/// Most addresses kept.
pub(super) const CONTACTS_MAX: usize = 64;
/// No snapshot is larger.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 10;

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    /// Which version of the membership is in the file; none as long as none of this node's is.
    written: Option<u64>,
    /// The version that is being written. At most one is at a time; a node that stops does not wait for it.
    writing: JoinSet<(u64, io::Result<()>)>,
    next: Instant,
    failed: Option<Pace>,
}

impl Snapshot {
    pub fn new(path: PathBuf, start: Instant) -> Self {
        Self { path, written: None, writing: JoinSet::new(), next: start + INTERVAL, failed: None }
    }

    /// Ends when it is time to look whether there is something new to keep; never without a file.
    pub async fn due(this: Option<&mut Self>) {
        let Some(this) = this else { return std::future::pending().await };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(this.next) => return,
                Some(Ok((version, written))) = this.writing.join_next() => this.note(version, written),
            }
        }
    }

    fn note(&mut self, version: u64, written: io::Result<()>) {
        match written {
            Ok(()) => {
                self.written = Some(version);
                if self.failed.take().is_some() {
                    tracing::info!(target: "starling::overlay", file = %self.path.display(), "members kept again");
                }
            }
            // A full disk has room again some day: it is tried again, whether the members change or not.
            Err(error) => {
                let pace = self.failed.get_or_insert_with(|| Pace::new(FAILED_INTERVAL));
                if let Some(times) = pace.happened(Instant::now()) {
                    tracing::warn!(
                        target: "starling::overlay",
                        file = %self.path.display(),
                        %error,
                        times,
                        "cannot keep the members last known; it is tried again every {} s",
                        INTERVAL.as_secs()
                    );
                }
            }
        }
    }

    /// Writes these contacts, which are those of this version of the membership, unless it is in the file already.
    pub fn keep(&mut self, version: u64, contacts: Vec<SocketAddr>) {
        self.next = Instant::now() + INTERVAL;
        if self.written == Some(version) || !self.writing.is_empty() {
            return;
        }
        let path = self.path.clone();
        self.writing.spawn_blocking(move || (version, write(&path, &contacts)));
    }
}

/// Reads the addresses in a snapshot; none if there is no such file. Lines that are no address are skipped, so that a
/// damaged file costs no more than what is damaged in it.
pub(super) fn read(path: &Path) -> io::Result<Vec<SocketAddr>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, SNAPSHOT_BYTES_MAX), &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(|line| line.parse().ok()).take(CONTACTS_MAX).collect())
}

/// Replaces a snapshot as a whole, or not at all.
fn write(path: &Path, contacts: &[SocketAddr]) -> io::Result<()> {
    let mut text = String::from(
        "# Gossip addresses of the members last known; used to join again. Written by the node.\n",
    );
    for contact in contacts.iter().take(CONTACTS_MAX) {
        writeln!(text, "{contact}").map_err(io::Error::other)?;
    }
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
