//! What `starling upload` is told to send: files, folders, standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use starling::client::FileSource;
use starling::client::load;

/// What stands for standard input.
const STDIN: &str = "-";
/// What the bytes of standard input are called, also in the result's name.
const STDIN_NAME: &str = "stdin";

/// One thing to send, or why it can't be sent. What is wrong with one keeps no other from being sent.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: FileSource,
    pub(super) wrong: Option<String>,
}

/// All of them. Standard input is kept in a file without a name for as long as this lives, so that it can be sent a second time.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    _stdin: Option<File>,
}

/// The files named, those in the folders named, and standard input. A file that is not there is told of when its turn comes.
/// Blocks until standard input ends, if that is named.
pub(super) fn expand(named: &[PathBuf]) -> Sources {
    let (mut all, mut stdin) = (Vec::new(), None);
    for path in named {
        if path.as_os_str() == STDIN {
            all.push(from_stdin(&mut stdin));
        } else if path.is_dir() {
            match load::find(std::slice::from_ref(path), false) {
                Ok(found) => all.extend(found.into_iter().map(|source| good(FileSource::at(source.path)))),
                Err(error) => all.push(bad(path, without_path(path, &error.to_string()))),
            }
        } else {
            all.push(good(FileSource::at(path.clone())));
        }
    }
    Sources { all, _stdin: stdin }
}

fn from_stdin(kept: &mut Option<File>) -> Source {
    let called = Path::new(STDIN);
    if kept.is_some() {
        return bad(called, "standard input is named twice: name it once".to_owned());
    }
    if io::stdin().is_terminal() {
        return bad(called, "standard input is a terminal: give it a file, as in - < clip.mp4".to_owned());
    }
    match spool(&mut io::stdin().lock()) {
        Ok(file) => {
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            *kept = Some(file);
            good(FileSource { path, called: STDIN_NAME.into() })
        }
        Err(error) => {
            let folder = std::env::temp_dir();
            let why = format!(
                "standard input can't be kept in {}: {error}; give TMPDIR a folder with room for it",
                folder.display()
            );
            bad(called, why)
        }
    }
}

/// All that can be read, in a file that is gone with the process, however that ends.
fn spool(from: &mut impl io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(from, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// What is said of a path is said behind it.
fn without_path(path: &Path, error: &str) -> String {
    error.strip_prefix(&format!("{}: ", path.display())).unwrap_or(error).to_owned()
}

const fn good(file: FileSource) -> Source {
    Source { file, wrong: None }
}

fn bad(path: &Path, why: String) -> Source {
    Source { file: FileSource::at(path.to_owned()), wrong: Some(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_folder_keeps_no_other_file_back() {
        let folder = tempfile::tempdir().unwrap();
        let (empty, clip) = (folder.path().join("empty"), folder.path().join("clip.mp4"));
        std::fs::create_dir(&empty).unwrap();
        let sources = expand(&[empty.clone(), clip.clone()]).all;
        assert_eq!(sources[0].wrong.as_deref(), Some("no video in this folder"));
        assert_eq!(sources[0].file.called, empty);
        assert_eq!((&sources[1].wrong, &sources[1].file.path), (&None, &clip));
    }

    #[test]
    fn what_was_read_is_read_again_under_its_path() {
        let file = spool(&mut &b"a video"[..]).unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        for _ in 0..2 {
            assert_eq!(std::fs::read(&path).unwrap(), b"a video");
        }
        assert!(std::fs::metadata(&path).unwrap().is_file());
    }
}
