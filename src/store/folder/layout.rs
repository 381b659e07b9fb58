//! The names in a data folder: which are the node's own, and whether a folder is one at all.
//!
//! What a node sweeps away at its start is what it may have left there itself. So it works only in a folder that bears its
//! mark, that is empty, or in which all names are such as it gives itself (a folder of before there was a mark).

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::content::ContentId;
use crate::jobs::JobNumber;
use crate::profile::ProfileName;

/// The mark: a file of this name, whatever it says.
pub(super) const MARK: &str = "starling-data-folder";
/// What the file says, to people.
pub(super) const MARK_TEXT: &str = "The data folder of a Starling node: while this file is here, the node deletes what is \
                                    its own in tmp/, objects/, jobs/ and uploads/. See docs/OPERATIONS.md.\n";
pub(super) const LOCK: &str = "lock";
pub(super) const TMP: &str = "tmp";
pub(super) const OBJECTS: &str = "objects";
pub(super) const JOBS: &str = "jobs";
pub(super) const UPLOADS: &str = "uploads";
/// In `uploads/`: what the names of what has come, of what is to become of it, and of what becomes that file end with.
pub const PART_SUFFIX: &str = ".part";
pub const PLAN_SUFFIX: &str = ".plan";
pub const NEW_PLAN_SUFFIX: &str = ".plan.new";
/// In `jobs/`: the journal, and what the names of jobs' videos and results end with.
pub const JOURNAL: &str = "journal.redb";
pub const INPUT_SUFFIX: &str = ".input";
pub const OUTPUT_SUFFIX: &str = ".output";
/// In `objects/`, beside the shelves: of which version the entries are.
pub const VERSION: &str = "version";
/// The addresses of the members last known, and what becomes that file; the overlay writes them.
const MEMBERS: [&str; 2] = ["members", "members.new"];
/// What `mkfs` puts into a new volume.
const LOST_AND_FOUND: &str = "lost+found";
/// What the names of files and folders in the making begin with; random letters follow.
const SCRATCH_PREFIXES: [&str; 5] = ["upload-", "result-", "job-", "object-", "evicted-"];
const RANDOM_LETTERS: usize = 6;
/// The tag of an entry's name: 64 bits in hex.
const TAG_DIGITS: usize = 16;

/// Whether something in the making may have this name.
pub(super) fn is_scratch(name: &str) -> bool {
    SCRATCH_PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).any(|random| {
        random.len() == RANDOM_LETTERS && random.bytes().all(|letter| letter.is_ascii_alphanumeric())
    })
}

/// Whether names in the making begin so.
pub(super) fn is_scratch_prefix(prefix: &str) -> bool {
    SCRATCH_PREFIXES.contains(&prefix)
}

/// The job that a file in `jobs/` is kept for, if its name is such a file's: `NUMBER.input` or `NUMBER.0.output`.
pub fn job_of(name: &str) -> Option<JobNumber> {
    let number = name.strip_suffix(INPUT_SUFFIX).or_else(|| {
        let (number, at) = name.strip_suffix(OUTPUT_SUFFIX)?.split_once('.')?;
        (!at.is_empty() && at.bytes().all(|digit| digit.is_ascii_digit())).then_some(number)
    })?;
    number.parse().ok().filter(|_| number.bytes().all(is_digit))
}

/// The upload that a file in `uploads/` is of, if its name is such a file's.
pub fn upload_of(name: &str) -> Option<JobNumber> {
    let number = [NEW_PLAN_SUFFIX, PLAN_SUFFIX, PART_SUFFIX].iter().find_map(|end| name.strip_suffix(end))?;
    number.parse().ok().filter(|_| number.bytes().all(is_digit))
}

/// Whether a folder with entries may have this name: two hex digits.
pub fn is_shelf(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(is_digit)
}

/// Whether a result's folder may have this name: content, profile, tag.
pub fn is_entry(name: &str) -> bool {
    let parts = || {
        let (content, rest) = name.split_once('-')?;
        let (profile, tag) = rest.rsplit_once('-')?;
        Some((content, profile, tag))
    };
    parts().is_some_and(|(content, profile, tag)| {
        content.parse::<ContentId>().is_ok()
            && profile.parse::<ProfileName>().is_ok()
            && tag.len() == TAG_DIGITS
            && content.bytes().chain(tag.bytes()).all(is_digit)
    })
}

fn is_digit(letter: u8) -> bool {
    letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter)
}

/// Something in `root` that speaks against its being a node's data folder, if there is anything. Symbolic links do: a node
/// makes none. Nothing is changed.
pub(super) fn stranger(root: &Path) -> io::Result<Option<PathBuf>> {
    if fs::symlink_metadata(root.join(MARK)).is_ok_and(|mark| mark.is_file()) {
        // Its own, whatever else lies in it; but what it works in has to be in it.
        let linked = |name: &&&str| fs::symlink_metadata(root.join(name)).is_ok_and(|meta| !meta.is_dir());
        return Ok([TMP, OBJECTS, JOBS, UPLOADS].iter().find(linked).map(|name| root.join(name)));
    }
    let top = find(root, |name, meta| match name {
        TMP | OBJECTS | JOBS | UPLOADS => meta.is_dir(),
        LOST_AND_FOUND => true,
        _ => meta.is_file() && (name == LOCK || MEMBERS.contains(&name)),
    })?;
    if top.is_some() {
        return Ok(top);
    }
    let tmp = find(&root.join(TMP), |name, meta| is_scratch(name) && !meta.is_symlink())?;
    if tmp.is_some() {
        return Ok(tmp);
    }
    let jobs =
        find(&root.join(JOBS), |name, meta| (name == JOURNAL || job_of(name).is_some()) && meta.is_file())?;
    if jobs.is_some() {
        return Ok(jobs);
    }
    let uploads = find(&root.join(UPLOADS), |name, meta| upload_of(name).is_some() && meta.is_file())?;
    if uploads.is_some() {
        return Ok(uploads);
    }
    let objects = root.join(OBJECTS);
    let shelf = find(&objects, |name, meta| match name {
        VERSION => meta.is_file(),
        _ => is_shelf(name) && meta.is_dir(),
    })?;
    if shelf.is_some() {
        return Ok(shelf);
    }
    for (_, shelf, _) in list(&objects)?.into_iter().filter(|(name, ..)| name != VERSION) {
        let entry = find(&shelf, |name, meta| is_entry(name) && meta.is_dir())?;
        if entry.is_some() {
            return Ok(entry);
        }
    }
    Ok(None)
}

/// The first of a folder's members that `is_own` does not take.
fn find(folder: &Path, is_own: impl Fn(&str, &Metadata) -> bool) -> io::Result<Option<PathBuf>> {
    let mut listed = list(folder)?.into_iter();
    Ok(listed.find(|(name, _, meta)| !is_own(name, meta)).map(|(_, path, _)| path))
}

/// What lies in a folder: name, path, and what it is itself, not what it may point to. Nothing if there is no such folder, or
/// what is listed goes meanwhile.
pub fn list(folder: &Path) -> io::Result<Vec<(String, PathBuf, Metadata)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) => {
                listed.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), meta));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    listed.sort_by(|(name, ..), (other, ..)| name.cmp(other));
    Ok(listed)
}

/// Deletes a file, a link (not what it points to) or a folder with what is in it.
pub fn remove(path: &Path, meta: &Metadata) -> io::Result<()> {
    if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
