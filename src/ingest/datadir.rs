use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempPath;
use tokio::runtime::Handle;

/// The folder in which a node keeps its files: `tmp/` for what is in the making, `objects/` for finished results.
///
/// One node a folder: it is locked for as long as any clone lives. What a killed run left in `tmp/` is swept when the
/// folder is opened.
#[derive(Clone, Debug)]
pub struct DataDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    tmp: PathBuf,
    objects: PathBuf,
    /// Held for its lock alone.
    _lock: File,
}

/// A data folder that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error("{0} is in use by another node: stop it, or give this one another --data-dir")]
    InUse(PathBuf),
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
        Self::open_inner(path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirError::InUse(path.to_owned()),
            _ => DataDirError::Io { path: path.to_owned(), source },
        })
    }

    fn open_inner(path: &Path) -> io::Result<Self> {
        // What people upload is theirs: nobody else on this machine is to read it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // Absolute, so that children with another working directory find it too.
        let root = path.canonicalize()?;
        let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let (tmp, objects) = (root.join("tmp"), root.join("objects"));
        if tmp.exists() {
            fs::remove_dir_all(&tmp)?;
        }
        fs::create_dir(&tmp)?;
        fs::create_dir_all(&objects)?;
        Ok(Self(Arc::new(Inner { root, tmp, objects, _lock: lock })))
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

    /// A new empty file in `tmp/`, open for writing. Blocks on the disk.
    pub fn scratch_file(&self, prefix: &str) -> io::Result<(File, Scratch)> {
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(self.tmp())?;
        let (file, path) = file.into_parts();
        Ok((file, Scratch::new(path)))
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
