//! The folder in which a node keeps its files.

pub(super) mod layout;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{FlockOperation, OFlags, flock, statvfs};
use tempfile::{TempDir, TempPath};
use tokio::runtime::Handle;

/// The folder in which a node keeps its files: `tmp/` for what is in the making, `objects/` for finished results, `jobs/` for the
/// journal of jobs and what they keep, `uploads/` for uploads that come in parts.
///
/// One node a folder: it is locked for as long as any clone lives. What a killed run left in `tmp/` is swept when the
/// folder is opened. It bears a mark; a folder without one is taken only if nothing in it is a stranger's.
#[derive(Clone, Debug)]
pub struct DataDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    tmp: PathBuf,
    objects: PathBuf,
    jobs: PathBuf,
    uploads: PathBuf,
    reserve: Mutex<Option<Weak<dyn Reserve>>>,
    /// Held for its lock alone.
    _lock: File,
}

/// What can give up some of the disk when it is full.
pub trait Reserve: fmt::Debug + Send + Sync {
    /// Gives up at least so many bytes, or what there is. False: there was nothing to give up.
    fn give_up(self: Arc<Self>, bytes: u64) -> bool;
}

/// Where the disk is full, at least as much is given up at once: the next one needs some, too.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// A data folder that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error("{0} is in use by another node: stop it, or give this one another --data-dir")]
    InUse(PathBuf),
    /// It has things in it that are no node's. Nothing was changed.
    #[error(
        "{root} is no node's data folder: {stranger} is none of the files that a node puts there; give a new or empty folder \
         with --data-dir, or, if it is a node's, move that out of it"
    )]
    Foreign {
        /// The folder.
        root: PathBuf,
        /// What was found.
        stranger: PathBuf,
    },
    /// The system refused.
    #[error("the data folder {path} can't be used: {source}; give a writable one with --data-dir")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens the folder, making what is missing. Blocks on the disk: call it before the runtime has work.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirError> {
        let path = path.as_ref();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirError::InUse(path.to_owned()),
            _ => DataDirError::Io { path: path.to_owned(), source },
        };
        let root = make(path).map_err(failed)?;
        if let Some(stranger) = layout::stranger(&root).map_err(failed)? {
            return Err(DataDirError::Foreign { root, stranger });
        }
        Self::take(root).map_err(failed)
    }

    /// Locks a folder that may be used, sweeps it, and marks it.
    fn take(root: PathBuf) -> io::Result<Self> {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(root.join(layout::LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let (tmp, objects) = (root.join(layout::TMP), root.join(layout::OBJECTS));
        let (jobs, uploads) = (root.join(layout::JOBS), root.join(layout::UPLOADS));
        fs::create_dir_all(&tmp)?;
        sweep(&tmp)?;
        fs::create_dir_all(&objects)?;
        fs::create_dir_all(&jobs)?;
        fs::create_dir_all(&uploads)?;
        mark(&root)?;
        let reserve = Mutex::default();
        Ok(Self(Arc::new(Inner { root, tmp, objects, jobs, uploads, reserve, _lock: lock })))
    }

    /// The folder itself, absolute.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Where files in the making live; on the same file system as `objects`, so that a rename is atomic.
    pub fn tmp(&self) -> &Path {
        &self.0.tmp
    }

    /// Where finished results live.
    pub fn objects(&self) -> &Path {
        &self.0.objects
    }

    /// Where the journal of jobs lies, and what they keep; on the same file system as `tmp`.
    pub fn jobs(&self) -> &Path {
        &self.0.jobs
    }

    /// Where uploads lie that come in parts; on the same file system as `tmp`.
    pub fn uploads(&self) -> &Path {
        &self.0.uploads
    }

    /// Bytes that are free on its disk, for this user, and bytes that the disk has in all. Asks the file system, which is quick.
    pub fn disk_bytes(&self) -> io::Result<(u64, u64)> {
        let disk = statvfs(&self.0.root)?;
        Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
    }

    /// What is asked to give up some of the disk when it is full.
    pub fn set_reserve(&self, reserve: Weak<dyn Reserve>) {
        *self.reserve() = Some(reserve);
    }

    fn reserve(&self) -> MutexGuard<'_, Option<Weak<dyn Reserve>>> {
        self.0.reserve.lock()
    }

    /// Does a step that needs about so many bytes of the disk. Where that is full, room is made and the step is tried again, until
    /// there is nothing left to give up. Blocks on the disk.
    pub fn with_room<T>(&self, bytes: u64, mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut room_left = true;
        loop {
            match step() {
                // Once more also when nothing was left: another step may have made room meanwhile.
                Err(error) if is_full(&error) && room_left => room_left = self.make_room(bytes),
                done => return done,
            }
        }
    }

    fn make_room(&self, bytes: u64) -> bool {
        // Not under the lock: it takes its time, and others of its own.
        let reserve = self.reserve().as_ref().and_then(Weak::upgrade);
        reserve.is_some_and(|reserve| reserve.give_up(bytes.max(ROOM_BYTES_MIN)))
    }

    /// A new empty file in `tmp/`, open for writing. `prefix`: one of those that are known to be the node's own, and so
    /// swept. Blocks on the disk.
    pub fn scratch_file(&self, prefix: &str) -> io::Result<(File, Scratch)> {
        debug_assert!(layout::is_scratch_prefix(prefix), "{prefix} would not be swept");
        let file = self.with_room(0, || tempfile::Builder::new().prefix(prefix).tempfile_in(self.tmp()))?;
        let (file, path) = file.into_parts();
        Ok((file, Scratch::new(path)))
    }

    /// A new empty folder in `tmp/`, deleted on drop; `prefix` as above. Makes no room: what makes room needs such folders itself.
    /// Blocks on the disk.
    pub fn scratch_folder(&self, prefix: &str) -> io::Result<TempDir> {
        debug_assert!(layout::is_scratch_prefix(prefix), "{prefix} would not be swept");
        tempfile::Builder::new().prefix(prefix).tempdir_in(self.tmp())
    }
}

/// Makes the folder if there is none. Absolute, so that children with another working directory find it too.
fn make(path: &Path) -> io::Result<PathBuf> {
    // What people upload is theirs: no other user of this machine is to read it.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.canonicalize()
}

/// Deletes what a killed run has left in `tmp/`.
fn sweep(tmp: &Path) -> io::Result<()> {
    for (name, path, meta) in layout::list(tmp)? {
        if layout::is_scratch(&name) {
            layout::remove(&path, &meta)?;
        } else {
            tracing::warn!(path = %path.display(), "not from a node: left alone");
        }
    }
    Ok(())
}

fn mark(root: &Path) -> io::Result<()> {
    let mark = root.join(layout::MARK);
    if fs::symlink_metadata(&mark).is_ok() {
        return Ok(());
    }
    match fs::write(&mark, layout::MARK_TEXT) {
        // Its name alone will do, and without it all names are the node's own yet: the next start marks it.
        Err(error) if is_full(&error) => {
            tracing::warn!(path = %mark.display(), "the disk is full: the data folder could not be marked");
            Ok(())
        }
        done => done,
    }
}

/// A file that is deleted when the last owner lets go of it.
///
/// To unlink a big file takes the kernel a while, so within a runtime this is done on a thread that may block.
#[derive(Debug)]
pub struct Scratch(Option<TempPath>);

impl Scratch {
    /// Takes over a temporary file.
    pub const fn new(path: TempPath) -> Self {
        Self(Some(path))
    }

    /// Gives up the deletion: the file is the caller's to keep or to delete.
    pub fn into_temp_path(mut self) -> TempPath {
        self.0.take().unwrap_or_else(|| unreachable!("only drop and this take it, and both end the value"))
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.as_deref().unwrap_or_else(|| unreachable!("taken only when the value ends"))
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            // Runs to its end or is dropped unrun by a runtime that shuts down; the path is deleted either way.
            drop(runtime.spawn_blocking(move || drop(path)));
        }
    }
}

/// Whether an error says that there is no room on the disk, or none for this user.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
