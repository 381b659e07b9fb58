use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::str::FromStr;

use super::entry::{BLOCK_BYTES, END_BYTES, header, padding};
use super::name::{FileName, FileNameError, MemberPath};

/// The most files that a set may have: an hour in four sizes, in segments of four seconds.
pub const FILES_MAX: usize = 4096;

/// The most files that several results may have together.
const SEVERAL_FILES_MAX: usize = 8 * FILES_MAX;

/// Which files are in a set, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index(Vec<Entry>);

/// A file of a set; or, by its path, one of several results that were put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<N = FileName> {
    /// Its name.
    pub name: N,
    /// Where in the set it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// A file that is no set as nodes make them. Nothing of it is to be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// It ends before a file of it does, or before its own end.
    #[error("it is cut off")]
    CutOff,
    /// What stands before a file is not what a node writes: a link, a folder, an owner, another kind of tar.
    #[error("the header at byte {0} is none that a node writes")]
    Header(u64),
    /// A file's name is not one of a set's.
    #[error("the name of the file at byte {at} is not allowed: {source}")]
    Name {
        /// Where its header stands.
        at: u64,
        /// Why.
        source: FileNameError,
    },
    /// Two files have one name.
    #[error("it has two files named {0}")]
    Twice(String),
    /// Something else than zeros fills a block.
    #[error("something is hidden at byte {0}")]
    Hidden(u64),
    /// There is no file in it.
    #[error("there is no file in it")]
    Empty,
    /// There are too many files in it.
    #[error("it has more than {0} files")]
    TooMany(usize),
}

impl Index {
    /// Reads where the files of a set are. Takes exactly what [`pack`](super::pack) writes, and else nothing. Blocks on the disk.
    pub fn read(file: &File) -> Result<Self, FilesError> {
        let total = file.metadata()?.len();
        Self::read_from(total, |buffer, at| file.read_exact_at(buffer, at))
    }

    /// The same of `total` bytes that are read through a function: a buffer to fill, and from which byte on.
    pub fn read_from(
        total: u64,
        read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<Self, FilesError> {
        entries(total, FILES_MAX, read).map(Self)
    }

    /// Reads where the files of several results are, which a node has put together, each in a folder of its own. As strict. Blocks on
    /// the disk.
    pub fn read_several(file: &File) -> Result<Vec<Entry<MemberPath>>, FilesError> {
        let total = file.metadata()?.len();
        entries(total, SEVERAL_FILES_MAX, |buffer, at| file.read_exact_at(buffer, at))
    }

    /// The files themselves.
    pub fn into_entries(self) -> Vec<Entry> {
        self.0
    }

    /// All files, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name.as_str() == name)
    }
}

impl<N> Entry<N> {
    /// The bytes of this file out of the set that it is of. Blocks on the disk.
    pub fn read(&self, set: &File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.bytes).map_err(io::Error::other)?];
        set.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes)
    }
}

/// All files of a tar, if it is of the one form: whatever it holds, writing it anew would give the same bytes.
fn entries<N: FromStr<Err = FileNameError> + Display + Clone + Ord>(
    total: u64,
    files_max: usize,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> Result<Vec<Entry<N>>, FilesError> {
    let mut entries: Vec<Entry<N>> = Vec::new();
    let mut names = BTreeSet::new();
    let mut at = 0u64;
    let mut block = [0; BLOCK_BYTES as usize];
    loop {
        let left = total.checked_sub(at).filter(|left| *left >= END_BYTES).ok_or(FilesError::CutOff)?;
        read(&mut block, at)?;
        if is_zero(&block) {
            // The end; nothing may stand behind it.
            read(&mut block, at + BLOCK_BYTES)?;
            return match (is_zero(&block) && left == END_BYTES, entries.is_empty()) {
                (false, _) => Err(FilesError::Hidden(at)),
                (true, true) => Err(FilesError::Empty),
                (true, false) => Ok(entries),
            };
        }
        if entries.len() == files_max {
            return Err(FilesError::TooMany(files_max));
        }
        let (name, bytes) = described::<N>(&block, at)?;
        let (offset, fill) = (at + BLOCK_BYTES, padding(bytes));
        let next = offset.checked_add(bytes).and_then(|end| end.checked_add(fill));
        let next = next.filter(|next| *next <= total).ok_or(FilesError::CutOff)?;
        let fill = &mut block[..fill as usize];
        read(fill, offset + bytes)?;
        if !is_zero(fill) {
            return Err(FilesError::Hidden(offset + bytes));
        }
        if !names.insert(name.clone()) {
            return Err(FilesError::Twice(name.to_string()));
        }
        entries.push(Entry { name, offset, bytes });
        at = next;
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Name and length in a header; whatever else is said in it is not what a node says.
fn described<N: FromStr<Err = FileNameError> + Display>(
    block: &[u8; BLOCK_BYTES as usize],
    at: u64,
) -> Result<(N, u64), FilesError> {
    let foreign = || FilesError::Header(at);
    let said = tar::Header::from_byte_slice(block);
    let bytes = said.entry_size().map_err(|_| foreign())?;
    let path = said.as_ustar().ok_or_else(foreign)?.name;
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = std::str::from_utf8(path).map_err(|_| foreign())?;
    let name: N = path.parse().map_err(|source| FilesError::Name { at, source })?;
    let ours = header(&name.to_string(), bytes).map_err(|_| foreign())?;
    if ours == *block { Ok((name, bytes)) } else { Err(foreign()) }
}
