//! Of which version a cache is. What another version has left there can't be read, or is of recipes that have changed since: it
//! would lie there unused for as long as there is room.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;

use rustix::fs::OFlags;

use super::results::CacheStats;
use crate::profile::RECIPE_VERSION;
use crate::store::folder::layout;
use crate::store::{DataDir, is_full};

/// How entries lie in the folder, and what their descriptions say. It goes up when that changes.
const LAYOUT_VERSION: u32 = 1;
/// More than this is no version.
const TEXT_BYTES_MAX: u64 = 100;

/// The version of a cache: its file says `layout 1, recipes 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    layout: u32,
    recipes: u32,
}

/// What was found when a cache was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: it is new.
    Nothing,
    /// What a node of this version has left there.
    Same,
    /// What a node of another version has left there: it is gone. None: of before caches had a version.
    Emptied {
        /// Its version.
        version: Option<Version>,
        /// How many entries it had.
        entries: usize,
        /// What their files held.
        bytes: u64,
    },
}

impl Version {
    /// The one that this program reads and writes.
    pub(super) const CURRENT: Self = Self { layout: LAYOUT_VERSION, recipes: RECIPE_VERSION };

    /// Says of which version a cache is from now on. Synced: entries may be put in when this is done.
    fn write(self, dir: &DataDir) -> io::Result<()> {
        let (file, scratch) = dir.scratch_file("object-")?;
        let text = format!("{self}\n");
        dir.with_room(text.len() as u64, || file.write_all_at(text.as_bytes(), 0))?;
        file.sync_all()?;
        scratch.into_temp_path().persist(dir.objects().join(layout::VERSION)).map_err(|error| error.error)?;
        File::open(dir.objects())?.sync_all()
    }
}

impl Found {
    /// Says so in the log; `stats`: what the cache has now.
    pub(super) fn tell(self, stats: &CacheStats) {
        match self {
            Self::Nothing => tracing::debug!(version = %Version::CURRENT, "a new cache"),
            Self::Same => {
                let CacheStats { entries, bytes, .. } = *stats;
                tracing::info!(entries, bytes, "the cache of the last run is kept");
            }
            Self::Emptied { version, entries, bytes } => {
                let was = version.map_or_else(|| "before versions".to_owned(), |version| version.to_string());
                let now = Version::CURRENT;
                tracing::info!(entries, bytes, was, %now, "the cache was of another version: it is emptied");
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layout {}, recipes {}", self.layout, self.recipes)
    }
}

impl FromStr for Version {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let numbers = || {
            let (layout, recipes) = text.trim_end().strip_prefix("layout ")?.split_once(", recipes ")?;
            Some(Self { layout: layout.parse().ok()?, recipes: recipes.parse().ok()? })
        };
        numbers().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Looks of which version a cache is, and empties it if that is another one. `InvalidData`: what lies there is no cache, and was left
/// as it is. Blocks on the disk.
pub(super) fn open(dir: &DataDir) -> io::Result<Found> {
    let version = read(&dir.objects().join(layout::VERSION))?;
    if version == Some(Version::CURRENT) {
        return Ok(Found::Same);
    }
    let (entries, bytes) = empty(dir.objects())?;
    // Last: where this ends half way, the next start goes on with it.
    match Version::CURRENT.write(dir) {
        Err(error) if is_full(&error) => {
            tracing::warn!(
                "the disk is full: of which version the cache is could not be noted, so the next start empties it"
            );
        }
        done => done?,
    }
    Ok(match (version, entries) {
        (None, 0) => Found::Nothing,
        _ => Found::Emptied { version, entries, bytes },
    })
}

/// None: there is no such file.
fn read(path: &Path) -> io::Result<Option<Version>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    text.parse().map(Some)
}

/// Removes all entries, and nothing that is none. Answers with how many they were, and what their files held.
fn empty(objects: &Path) -> io::Result<(usize, u64)> {
    let (mut entries, mut bytes) = (0, 0);
    for (_, shelf, _) in
        layout::list(objects)?.into_iter().filter(|(name, _, meta)| layout::is_shelf(name) && meta.is_dir())
    {
        for (_, path, meta) in layout::list(&shelf)?.into_iter().filter(|(name, ..)| layout::is_entry(name)) {
            if meta.is_dir() {
                bytes += layout::list(&path)?.iter().map(|(.., meta)| meta.len()).sum::<u64>();
            }
            layout::remove(&path, &meta)?;
            entries += 1;
        }
        // Its shelf goes with the last one; what has no name of an entry keeps it.
        match fs::remove_dir(&shelf) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(error),
            _ => {}
        }
    }
    Ok((entries, bytes))
}
