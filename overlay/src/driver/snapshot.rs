//! The last known members on disk, and the id of their cluster: a node whose seeds are all gone still finds its cluster, and
//! no other one of the same name.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::pace::Pace;
use crate::{ClusterId, ClusterIdentity};

/// How often the last known members are written to disk, where they have changed, or where that failed.
const INTERVAL: Duration = Duration::from_secs(2);
/// That the members can't be kept is said so often.
const FAILED_INTERVAL: Duration = Duration::from_secs(600);
/// Most addresses kept.
pub(super) const CONTACTS_MAX: usize = 64;
/// No snapshot is larger.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 10;
/// The line of the cluster's id begins so.
const CLUSTER: &str = "cluster ";
/// What follows the id of a cluster that has settled.
const SETTLED: &str = " settled";

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    /// Members of before, or the last ones of now.
    contacts: Vec<SocketAddr>,
    /// Which version of the membership is in the file; none as long as none of this node's is.
    written: Option<u64>,
    /// The version that is being written. At most one is at a time; a node that stops does not wait for it.
    writing: JoinSet<(u64, io::Result<()>)>,
    next: Instant,
    failed: Option<Pace>,
}

impl Snapshot {
    pub fn new(path: PathBuf, contacts: Vec<SocketAddr>, start: Instant) -> Self {
        Self { path, contacts, written: None, writing: JoinSet::new(), next: start + INTERVAL, failed: None }
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

    /// Writes these contacts and this cluster, which are those of this version of the membership, unless they are in the file
    /// already. Alone, the old contacts are better than none.
    pub fn keep(&mut self, version: u64, cluster: Option<ClusterIdentity>, contacts: Vec<SocketAddr>) {
        self.next = Instant::now() + INTERVAL;
        if !contacts.is_empty() {
            self.contacts = contacts;
        } else if cluster.is_none() {
            return;
        }
        if self.written == Some(version) || !self.writing.is_empty() {
            return;
        }
        let (path, contacts) = (self.path.clone(), self.contacts.clone());
        self.writing.spawn_blocking(move || (version, write(&path, cluster, &contacts)));
    }
}

/// What was read from a snapshot.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Kept {
    pub contacts: Vec<SocketAddr>,
    /// None where there is none, or none that can be read.
    pub cluster: Option<ClusterIdentity>,
    /// The first line that is nothing of what a node writes.
    pub damaged: Option<String>,
}

/// Reads a snapshot; nothing, if there is no such file. Lines that are damaged are skipped, so that they cost no more than what
/// is in them.
pub(super) fn read(path: &Path) -> io::Result<Kept> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, SNAPSHOT_BYTES_MAX), &mut bytes)?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

fn parse(text: &str) -> Kept {
    let mut kept = Kept::default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Ok(contact) = line.parse() {
            kept.contacts.push(contact);
        } else if let Some(cluster) = line.strip_prefix(CLUSTER).and_then(parse_cluster) {
            kept.cluster = Some(cluster);
        } else {
            kept.damaged.get_or_insert_with(|| line.chars().take(80).collect());
        }
    }
    kept.contacts.truncate(CONTACTS_MAX);
    kept
}

fn parse_cluster(text: &str) -> Option<ClusterIdentity> {
    let id = text.strip_suffix(SETTLED);
    let settled = id.is_some();
    Some(ClusterIdentity { id: id.unwrap_or(text).parse::<ClusterId>().ok()?, settled })
}

/// Replaces a snapshot as a whole, or not at all.
fn write(path: &Path, cluster: Option<ClusterIdentity>, contacts: &[SocketAddr]) -> io::Result<()> {
    let mut text = String::from(
        "# The id of the cluster, and gossip addresses of the members last known; used to join again. Written by the node.\n",
    );
    if let Some(ClusterIdentity { id, settled }) = cluster {
        let settled = if settled { SETTLED } else { "" };
        writeln!(text, "{CLUSTER}{id}{settled}").map_err(io::Error::other)?;
    }
    for contact in contacts.iter().take(CONTACTS_MAX) {
        writeln!(text, "{contact}").map_err(io::Error::other)?;
    }
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_damage_costs_what_it_hits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("members");
        assert_eq!(read(&path).unwrap(), Kept::default());
        let contacts = vec!["10.0.0.1:5000".parse().unwrap(), "[2001:db8::1]:5000".parse().unwrap()];
        for settled in [false, true] {
            let cluster = Some(ClusterIdentity { id: ClusterId(0xfeed), settled });
            write(&path, cluster, &contacts).unwrap();
            assert_eq!(read(&path).unwrap(), Kept { contacts: contacts.clone(), cluster, damaged: None });
        }
        // As releases before wrote it.
        std::fs::write(&path, "# Gossip addresses.\n10.0.0.1:5000\n").unwrap();
        let old = Kept { contacts: contacts[..1].to_vec(), cluster: None, damaged: None };
        assert_eq!(read(&path).unwrap(), old);
        for damaged in ["cluster 00feed", "cluster 000000000000feed settle", "\u{fffd}\u{fffd}", "cluster"] {
            std::fs::write(&path, format!("{damaged}\n10.0.0.1:5000\n")).unwrap();
            let kept =
                Kept { contacts: contacts[..1].to_vec(), cluster: None, damaged: Some(damaged.into()) };
            assert_eq!(read(&path).unwrap(), kept);
        }
    }
}
