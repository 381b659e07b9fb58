//! The files to send.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::store::{Container, sniff};

/// More than this in a folder is a mistake.
const FILES_MAX: usize = 100_000;
/// What [`sniff`] needs to see at the most.
const HEAD_BYTES: u64 = 1024;

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its length when the run began.
    pub bytes: u64,
    /// What it is, by its first bytes; none if no node would take it.
    pub container: Option<Container>,
}

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder can't be read.
    #[error("{}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without a file that is a video by its first bytes.
    #[error("{}: no video in this folder", .0.display())]
    NoVideo(PathBuf),
    /// Too many.
    #[error("more than {FILES_MAX} files: name a smaller folder")]
    TooMany,
    /// `--unique` is asked for and this file has no room for it.
    #[error("{}: only MP4 and QuickTime files can be made unique; send it without --unique", .0.display())]
    NotUnique(PathBuf),
}

/// The files named, and of each folder named those that are videos by their first bytes; sorted within a folder. With
/// `unique` each has to be of a format that a box can be appended to.
pub fn find(paths: &[PathBuf], unique: bool) -> Result<Vec<Source>, SourceError> {
    let mut sources = Vec::new();
    for path in paths {
        if metadata(path)?.is_dir() {
            let before = sources.len();
            folder(path, &mut sources)?;
            if sources.len() == before {
                return Err(SourceError::NoVideo(path.clone()));
            }
        } else {
            sources.push(source(path)?);
        }
        if sources.len() > FILES_MAX {
            return Err(SourceError::TooMany);
        }
    }
    match sources.iter().find(|source| unique && source.container != Some(Container::Mp4)) {
        Some(source) => Err(SourceError::NotUnique(source.path.clone())),
        None => Ok(sources),
    }
}

fn folder(path: &Path, sources: &mut Vec<Source>) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if metadata(&file)?.is_file() {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            return Err(SourceError::TooMany);
        }
    }
    files.sort();
    for file in files {
        let source = source(&file)?;
        if source.container.is_some() {
            sources.push(source);
        }
    }
    Ok(())
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, SourceError> {
    path.metadata().map_err(|source| SourceError::Unreadable { path: path.to_owned(), source })
}

fn source(path: &Path) -> Result<Source, SourceError> {
    let read = || {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Source { path: path.to_owned(), bytes, container: sniff(&head).ok() })
    };
    read().map_err(|source| SourceError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";

    #[test]
    fn of_a_folder_the_videos_are_sent_and_a_named_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (b, a) = (file("b.mp4", MP4), file("a.mkv", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81"));
        let text = file("list.txt", b"clips of May");
        std::fs::create_dir(folder.path().join("older")).unwrap();
        let paths = |sources: Vec<Source>| sources.into_iter().map(|source| source.path).collect::<Vec<_>>();
        let all = || vec![folder.path().to_owned()];
        assert_eq!(paths(find(&all(), false).unwrap()), [a.clone(), b.clone()]);
        assert_eq!(paths(find(&[text.clone(), b], false).unwrap()), [text, folder.path().join("b.mp4")]);
        assert!(matches!(find(&all(), true), Err(SourceError::NotUnique(path)) if path == a));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(find(&[folder.path().to_owned()], false), Err(SourceError::NoVideo(_))));
        let error = find(&[folder.path().join("none.mp4")], false).unwrap_err().to_string();
        assert!(error.contains("none.mp4: No such file"), "{error}");
    }
}
