//! Locks that the kernel lets go of when their holder dies. No link is followed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::lab::LabError;

const POLL: Duration = Duration::from_millis(20);

/// The file of a lock, made if it is not there.
pub(super) fn create(path: &Path) -> Result<File, LabError> {
    options().create(true).mode(0o600).open(path).map_err(LabError::file("create", path))
}

/// None while another process holds it. The file has to be there.
pub(super) fn attempt(path: &Path) -> Result<Option<File>, LabError> {
    let file = options().open(path).map_err(LabError::file("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(LabError::file("lock", path)(errno.into())),
    }
}

/// None if another process holds it all the time.
pub(super) async fn within(path: &Path, limit: Duration) -> Result<Option<File>, LabError> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt(path)? {
            None if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            other => return Ok(other),
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Some network file systems lock for writing only what is open for writing.
    options.read(true).write(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
    options
}
