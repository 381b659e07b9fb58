//! The files of one entry.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::index::Stamp;
use super::key::Meta;
use crate::content::ContentId;

pub(super) const DATA: &str = "data";
pub(super) const META: &str = "meta.json";
/// A description is a few hundred bytes; more than this is not one.
const META_BYTES_MAX: u64 = 16 << 10;

impl Stamp {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { bytes: meta.len(), modified: meta.modified().ok(), inode: meta.ino() })
    }
}

/// Opens a result if it is what its description says.
pub(super) fn open_verified(
    folder: &Path,
    meta: &Meta,
    verified: Option<Stamp>,
) -> io::Result<(File, Stamp)> {
    let file = open(File::options().read(true), &folder.join(DATA))?;
    let stamp = Stamp::of(&file)?;
    if stamp.bytes != meta.bytes {
        return Err(damaged("its length is wrong"));
    }
    if verified != Some(stamp) {
        check_digest(&file, meta)?;
    }
    Ok((file, stamp))
}

/// Reads a result through: whether it is what its description says.
pub fn check(file: &File, meta: &Meta) -> io::Result<()> {
    if file.metadata()?.len() != meta.bytes {
        return Err(damaged("its length is wrong"));
    }
    check_digest(file, meta)
}

fn check_digest(file: &File, meta: &Meta) -> io::Result<()> {
    if digest_of(file)? == meta.sha256 { Ok(()) } else { Err(damaged("its SHA-256 is wrong")) }
}

/// The SHA-256 of what is left to read of a file.
pub fn digest_of(mut file: &File) -> io::Result<ContentId> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(ContentId(hash.finalize().into()))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The time of an entry's last use is its description's time on disk, so that it outlives the node.
pub(super) fn touch(folder: &Path) {
    let now = FileTimes::new().set_modified(SystemTime::now());
    let meta = open(File::options().write(true), &folder.join(META));
    if let Err(error) = meta.and_then(|file| file.set_times(now)) {
        tracing::debug!(%error, "the time of use of a cache entry can't be kept");
    }
}

/// Reads an entry back at start: its description, and when it was last used.
pub(super) fn read_entry(folder: &Path, name: &str) -> io::Result<(SystemTime, Meta)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let file = open(File::options().read(true), &folder.join(META))?;
    let used = file.metadata()?.modified()?;
    let mut text = Vec::new();
    file.take(META_BYTES_MAX).read_to_end(&mut text)?;
    let meta: Meta = serde_json::from_slice(&text)?;
    if !name.starts_with(&format!("{}-{}-", meta.content, meta.profile)) {
        return Err(bad("its description is of another"));
    }
    let data = fs::symlink_metadata(folder.join(DATA))?;
    if !data.is_file() || data.len() != meta.bytes {
        return Err(bad("its length is wrong"));
    }
    Ok((used, meta))
}

/// Opens a file of an entry: no link to a file elsewhere, and nothing that is no file.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // To open a pipe would wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"))
    }
}

/// The steps that bring entries into place and out of it. In a test, any of them can fail.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Which ones fail, counted from the next on.
    #[cfg(test)]
    failing: parking_lot::Mutex<std::ops::Range<usize>>,
}

#[cfg_attr(not(test), expect(clippy::unused_self, reason = "outside of tests there is nothing to fail"))]
impl Steps {
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.step()?;
        fs::create_dir_all(path)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.step()?;
        fs::rename(from, to)
    }

    pub(super) fn sync(&self, folder: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.step()?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.step()?;
        fs::remove_dir_all(folder)
    }

    #[cfg(test)]
    pub(super) fn fail(&self, steps: std::ops::Range<usize>) {
        *self.failing.lock() = steps;
    }

    /// How many of those are still to come.
    #[cfg(test)]
    pub(super) fn to_fail(&self) -> usize {
        self.failing.lock().len()
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        let mut failing = self.failing.lock();
        let fails = failing.contains(&0);
        *failing = failing.start.saturating_sub(1)..failing.end.saturating_sub(1);
        if fails { Err(io::Error::other("on purpose")) } else { Ok(()) }
    }
}
