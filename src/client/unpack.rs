//! Results of more than one file onto the disk, out of the tar in which they come.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::store::files::{FilesError, Index};

/// Why a tar is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    /// It is none that a node makes; nothing was written.
    #[error("{0}")]
    Tar(FilesError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Unpacks a result into `folder`; `several`: one of several profiles, each with a folder of its own. What is there of the same name is
/// replaced, when all of it has come; what else is there stays. Blocks on the disk.
pub(super) fn unpack(tar: &File, folder: &Path, several: bool) -> Result<(), UnpackError> {
    let files = listed(tar, several)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // Deleted with whatever is in it, unless all of it found its place.
    let whole = tempfile::Builder::new()
        .prefix(".starling-")
        .suffix(".part")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(parent)?;
    for (path, offset, bytes) in &files {
        let path = whole.path().join(path);
        if let Some(inner) = path.parent() {
            fs::create_dir_all(inner)?;
        }
        let mut from = tar;
        from.seek(SeekFrom::Start(*offset))?;
        io::copy(&mut from.take(*bytes), &mut File::create_new(&path)?)?;
    }
    for (path, ..) in &files {
        let place = folder.join(path);
        if let Some(inner) = place.parent() {
            fs::create_dir_all(inner)?;
        }
        fs::rename(whole.path().join(path), place)?;
    }
    Ok(())
}

/// The files in a tar: where they belong, from which byte on, and how many.
fn listed(tar: &File, several: bool) -> Result<Vec<(PathBuf, u64, u64)>, UnpackError> {
    let failed = |error| match error {
        FilesError::Io(error) => UnpackError::Write(error),
        error => UnpackError::Tar(error),
    };
    if several {
        let entries = Index::read_several(tar).map_err(failed)?.into_iter();
        return Ok(entries
            .map(|entry| {
                let path = Path::new(entry.name.folder()).join(entry.name.name().as_str());
                (path, entry.offset, entry.bytes)
            })
            .collect());
    }
    let index = Index::read(tar).map_err(failed)?;
    let one = |entry: &crate::store::files::Entry| (entry.name.as_str().into(), entry.offset, entry.bytes);
    Ok(index.entries().iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::files::header;

    fn tar(files: &[(&str, &[u8])]) -> File {
        let mut tar = tempfile::tempfile().unwrap();
        for (path, bytes) in files {
            tar.write_all(&header(path, bytes.len() as u64).unwrap()).unwrap();
            tar.write_all(bytes).unwrap();
            tar.write_all(&vec![0; crate::store::files::padding(bytes.len() as u64) as usize]).unwrap();
        }
        tar.write_all(&[0; 1024]).unwrap();
        tar
    }

    #[test]
    fn files_replace_those_of_the_same_name_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out/clip.sprite");
        unpack(&tar(&[("sprite.vtt", b"old"), ("sprite-1.jpg", b"one")]), &folder, false).unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        unpack(&tar(&[("sprite.vtt", b"new")]), &folder, false).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(
            (read("sprite.vtt"), read("sprite-1.jpg"), read("notes.txt")),
            ("new".into(), "one".into(), "mine".into())
        );
        unpack(
            &tar(&[("360p/360p.mp4", b"a"), ("poster/poster.jpg", b"b")]),
            &dir.path().join("out/b"),
            true,
        )
        .unwrap();
        assert_eq!(fs::read(dir.path().join("out/b/poster/poster.jpg")).unwrap(), b"b");
        let left: Vec<_> =
            fs::read_dir(dir.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn nothing_is_written_of_what_leads_outside() {
        let dir = tempfile::tempdir().unwrap();
        for (path, several) in [
            ("../a.jpg", false),
            ("/tmp/a.jpg", false),
            ("b/a.jpg", false),
            (".bashrc", false),
            ("../b/a.jpg", true),
            ("a.jpg", true),
            ("b/../a.jpg", true),
            ("b/c/a.jpg", true),
        ] {
            let refused = unpack(
                &tar(&[("360p/a.jpg", &b"x"[..]), (path, b"x")][usize::from(!several)..]),
                &dir.path().join("out"),
                several,
            );
            assert!(matches!(refused, Err(UnpackError::Tar(_))), "{path}: {refused:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
