//! The folder that labs make their folders in: whether it is one at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use starling_netem::control::LABS_MARK;

use super::{DYING_MAX, is_marked, lock};
use crate::lab::LabError;

const MARK_TEXT: &str = "A folder of `starling lab`: labs make their folders here, and delete those that killed labs left. \
                         Keep nothing else in it.\n";
/// What was there in place of the mark before there was one.
const OLD_LOCK: &str = "lock";
/// What `mkfs` puts into a new volume.
const LOST_AND_FOUND: &str = "lost+found";
const ID_DIGITS_MAX: usize = 8;

/// A folder of labs, and of nothing else.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    /// Held by the lab that is being made.
    _gate: Option<File>,
}

/// What is found under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A folder that bears a lab's mark.
    Lab,
    /// An empty folder.
    Empty,
}

impl Base {
    /// Takes a folder for labs, for as long as the lab is being made: one that is new, empty, or has been one before. Any
    /// other is an error, and nothing is made in it.
    pub(super) async fn claim(path: &Path) -> Result<Self, LabError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(LabError::file("create", path))?;
        private(path)?;
        refuse_strangers(path)?;
        let mark = path.join(LABS_MARK);
        let mut file = lock::create(&mark)?;
        if file.metadata().map_err(LabError::file("read", &mark))?.len() == 0 {
            file.write_all(MARK_TEXT.as_bytes()).map_err(LabError::file("write", &mark))?;
        }
        let gate = lock::within(&mark, DYING_MAX).await?.ok_or(LabError::StillStopping(mark))?;
        // What was put there meanwhile.
        refuse_strangers(path)?;
        Ok(Self { path: path.to_owned(), _gate: Some(gate) })
    }

    /// Looks without changing anything. None: there is no such folder, so no lab runs.
    pub(super) fn look(path: &Path) -> Result<Option<Self>, LabError> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LabError::file("read", path)(error)),
            Ok(_) => {}
        }
        if !is_folder(path) || !is_file(&path.join(LABS_MARK)) {
            return Err(LabError::NoMark(path.to_owned()));
        }
        Ok(Some(Self { path: path.to_owned(), _gate: None }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All that looks like a lab's folder, by id.
    pub(super) fn labs(&self) -> Result<Vec<(String, Found)>, LabError> {
        let labs = names(&self.path)?.into_iter().filter_map(|name| {
            let found = found(&self.path, &name)?;
            Some((name, found))
        });
        Ok(labs.collect())
    }
}

/// Whether a lab may have this id: a process's number in hex.
pub(super) fn is_id(name: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&name.len())
        && name.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

/// A folder itself, no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// A file itself, no link to one.
pub(super) fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

/// What a lab has made, or is making or removing right now. None: no lab has made it.
fn found(base: &Path, name: &str) -> Option<Found> {
    let folder = base.join(name);
    if !is_id(name) {
        return None;
    }
    if is_marked(&folder) {
        return Some(Found::Lab);
    }
    match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Found::Empty),
        Ok(mut entries) if is_folder(&folder) => match entries.next() {
            None => Some(Found::Empty),
            // Marked since the first look, or never.
            Some(_) => is_marked(&folder).then_some(Found::Lab),
        },
        Ok(_) | Err(_) => None,
    }
}

/// The first thing that no lab has made is an error. A folder that bears no mark may hold nothing at all.
fn refuse_strangers(base: &Path) -> Result<(), LabError> {
    let names = names(base)?;
    // After the names: another lab may have marked it meanwhile.
    let marked = is_file(&base.join(LABS_MARK));
    let own = |name: &str| {
        let is_old_lock =
            || base.join(name).symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        match name {
            LABS_MARK => marked,
            LOST_AND_FOUND => true,
            OLD_LOCK => is_old_lock(),
            _ => marked && found(base, name).is_some(),
        }
    };
    match names.into_iter().find(|name| !own(name)) {
        None => Ok(()),
        Some(name) => Err(LabError::NotLabs { base: base.to_owned(), stranger: base.join(name) }),
    }
}

fn names(folder: &Path) -> Result<Vec<String>, LabError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(LabError::file("read", folder))? {
        let entry = entry.map_err(LabError::file("read", folder))?;
        // A name that is no text is no name of ours, and stays none.
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Another user's folder of that name (in a shared /var/tmp), or one that others may write in, is an error: they could swap
/// anything in it.
fn private(path: &Path) -> Result<(), LabError> {
    let meta = path.symlink_metadata().map_err(LabError::file("read", path))?;
    let refuse = |why: &str| {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
        Err(LabError::File { doing: "use", path: path.to_owned(), source })
    };
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it is no folder of yours");
    }
    // Not the group: many users have one of their own, and folders that it may write in.
    if meta.mode() & 0o002 != 0 {
        return refuse(
            "everybody may write in it; take that from them (chmod o-w), or give another folder with --dir",
        );
    }
    Ok(())
}
