//! The last known members on disk: a node whose seeds are all gone still finds its cluster.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

/// Most addresses kept.
pub(super) const CONTACTS_MAX: usize = 64;
/// No snapshot is larger.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 10;

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
pub(super) fn write(path: &Path, contacts: &[SocketAddr]) -> io::Result<()> {
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
