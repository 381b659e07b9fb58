use std::io::{Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir, tempfile};

use super::*;
use crate::content::ContentId;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn packed(files: &[(&str, &[u8])]) -> (std::fs::File, Vec<u8>) {
    let folder = tempdir().unwrap();
    let files: Vec<(FileName, PathBuf)> = files
        .iter()
        .map(|(text, bytes)| {
            let path = folder.path().join(text);
            std::fs::write(&path, bytes).unwrap();
            (name(text), path)
        })
        .collect();
    let mut out = tempfile().unwrap();
    pack(&files, &out).unwrap();
    out.rewind().unwrap();
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    (out, bytes)
}

fn read(bytes: &[u8]) -> Result<Index, FilesError> {
    Index::read_from(bytes.len() as u64, |buffer, at| {
        let at = usize::try_from(at).unwrap();
        buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
        Ok(())
    })
}

/// A tar as strangers write them.
fn foreign(write: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    write(&mut builder);
    builder.into_inner().unwrap()
}

fn one(path: &str, bytes: u64, change: impl FnOnce(&mut tar::Header)) -> Vec<u8> {
    let block = header("a.jpg", bytes).unwrap();
    let mut header = tar::Header::from_byte_slice(&block).clone();
    let field = &mut header.as_ustar_mut().unwrap().name;
    field.fill(0);
    field[..path.len()].copy_from_slice(path.as_bytes());
    change(&mut header);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.resize(512 + 4096 + 1024, 0);
    tar
}

#[test]
fn a_set_is_a_tar_that_any_tar_reads_with_its_first_file_first() {
    let files: [(&str, &[u8]); 3] = [("b.vtt", b"WEBVTT\n"), ("a-0.jpg", &[7; 512]), ("a-1.jpg", &[])];
    let (set, bytes) = packed(&files);
    let index = Index::read(&set).unwrap();
    let names: Vec<_> = index.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["b.vtt", "a-0.jpg", "a-1.jpg"]);
    for (name, content) in files {
        assert_eq!(index.get(name).unwrap().read(&set).unwrap(), content);
    }
    assert_eq!(index.get("b.vtt").unwrap().name.media_type(), "text/vtt");
    assert!(index.get("c.vtt").is_none());
    let mut archive = tar::Archive::new(&bytes[..]);
    for (entry, (name, content)) in archive.entries().unwrap().zip(files) {
        let mut entry = entry.unwrap();
        let mut got = Vec::new();
        entry.read_to_end(&mut got).unwrap();
        assert_eq!((entry.path().unwrap().to_str().unwrap(), got.as_slice()), (name, content));
    }
}

#[test]
fn the_bytes_of_a_set_are_the_same_on_every_node_for_ever() {
    let (_, bytes) = packed(&[("b.vtt", b"WEBVTT\n"), ("a.jpg", &[7; 513])]);
    assert_eq!(bytes.len(), 512 + 512 + 512 + 1024 + 1024);
    assert_eq!(
        ContentId::of(&bytes).to_string(),
        "7606e364f6133cc789d5c2bf179472d43e929cb00090f403aec495f98868506a"
    );
}

#[test]
fn names_lead_nowhere_and_say_what_the_file_is() {
    for good in ["a.jpg", "sprite-0.jpg", "A_b.C.m3u8", &format!("{}.vtt", "n".repeat(60))] {
        assert!(good.parse::<FileName>().is_ok(), "{good}");
    }
    let letters =
        ["", ".", "..", "../a.jpg", "/a.jpg", "b/a.jpg", ".a.jpg", "a b.jpg", "a\\b.jpg", "ä.jpg", "a.jpg\0"];
    for bad in letters.into_iter().chain([format!("{}.vtt", "n".repeat(61)).as_str()]) {
        assert_eq!(bad.parse::<FileName>(), Err(FileNameError::Letters), "{bad}");
    }
    for bad in ["a", "a.exe", "a.JPG", "a.html", "jpg", "a.jpg.", "a.jpg.svg"] {
        assert_eq!(bad.parse::<FileName>(), Err(FileNameError::Ending), "{bad}");
    }
}

#[test]
fn what_a_stranger_puts_into_a_tar_is_refused() {
    let same = |_: &mut tar::Header| {};
    assert!(matches!(read(&one("a.jpg", 4096, same)), Ok(index) if index.entries().len() == 1));
    for path in ["../a.jpg", "/etc/a.jpg", "b/a.jpg", ".a.jpg", "a.sh", ""] {
        assert!(matches!(read(&one(path, 4096, same)), Err(FilesError::Name { at: 0, .. })), "{path}");
    }
    let kinds = [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Directory,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
        tar::EntryType::GNULongName,
        tar::EntryType::GNUSparse,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
        tar::EntryType::Continuous,
    ];
    for kind in kinds {
        let tar = one("a.jpg", 4096, |header| header.set_entry_type(kind));
        assert!(matches!(read(&tar), Err(FilesError::Header(0))), "{kind:?}");
    }
    let changes: [fn(&mut tar::Header); 6] = [
        |header| header.set_mode(0o4755),
        |header| header.set_uid(1000),
        |header| header.set_mtime(1),
        |header| header.set_username("root").unwrap(),
        |header| header.as_ustar_mut().unwrap().prefix[0] = b'x',
        |header| header.as_ustar_mut().unwrap().name[50] = b'x',
    ];
    for change in changes {
        assert!(matches!(read(&one("a.jpg", 4096, change)), Err(FilesError::Header(0))));
    }
}

#[test]
fn a_file_is_within_its_set_and_nothing_is_hidden_in_it() {
    for bytes in [4097, 4608, 5120, 1 << 32, (1 << 33) - 1] {
        assert!(matches!(read(&one("a.jpg", bytes, |_| {})), Err(FilesError::CutOff)), "{bytes}");
    }
    // Sizes beyond octal digits, as GNU tar writes them.
    let huge = one("a.jpg", 0, |header| header.as_ustar_mut().unwrap().size = [0xff; 12]);
    assert!(matches!(read(&huge), Err(FilesError::Header(0) | FilesError::CutOff)));
    let (_, good) = packed(&[("a.jpg", &[7; 100]), ("b.jpg", &[7; 100])]);
    for cut in [0, 511, 512, 1024, 2048, good.len() - 512, good.len() - 1] {
        assert!(matches!(read(&good[..cut]), Err(FilesError::CutOff | FilesError::Hidden(_))), "{cut}");
    }
    for longer in [1, 512, 10_240] {
        let mut longer_one = good.clone();
        longer_one.resize(good.len() + longer, 0);
        assert!(matches!(read(&longer_one), Err(FilesError::Hidden(_))), "{longer}");
    }
    for hidden in [512 + 100, 1023, good.len() - 1] {
        let mut bad = good.clone();
        bad[hidden] = 1;
        assert!(matches!(read(&bad), Err(FilesError::Hidden(_))), "{hidden}");
    }
    let (_, twice) = packed(&[("a.jpg", b"1")]);
    let twice = [&twice[..1024], &twice[..]].concat();
    assert!(matches!(read(&twice), Err(FilesError::Twice(_))));
    assert!(matches!(read(&[0; 1024]), Err(FilesError::Empty)));
    let many = (0..=FILES_MAX).flat_map(|n| header(&format!("{n}.jpg"), 0).unwrap()).chain([0; 1024]);
    assert!(matches!(read(&many.collect::<Vec<_>>()), Err(FilesError::TooMany(FILES_MAX))));
    // A tar of the usual kind: an owner, a time.
    let usual = foreign(|builder| {
        let folder = tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), "x").unwrap();
        builder.append_path_with_name(folder.path().join("a.jpg"), "a.jpg").unwrap();
    });
    assert!(matches!(read(&usual), Err(FilesError::Header(0))));
}

#[test]
fn several_results_stand_in_folders_of_their_own() {
    let mut file = tempfile().unwrap();
    for path in ["hls/a.m3u8", "360p/360p.mp4"] {
        file.write_all(&header(path, 3).unwrap()).unwrap();
        file.write_all(b"abc").unwrap();
        file.write_all(&[0; 509]).unwrap();
    }
    file.write_all(&[0; 1024]).unwrap();
    let entries = Index::read_several(&file).unwrap();
    let paths: Vec<_> = entries.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(paths, ["hls/a.m3u8", "360p/360p.mp4"]);
    assert_eq!((entries[1].name.folder(), entries[1].name.name().as_str()), ("360p", "360p.mp4"));
    assert_eq!(entries[1].read(&file).unwrap(), b"abc");
    assert!(matches!(Index::read(&file), Err(FilesError::Name { at: 0, .. })));
    for bad in [
        "a.jpg",
        "/a.jpg",
        "../a.jpg",
        "./a.jpg",
        "a/../a.jpg",
        "a/b/c.jpg",
        "A/a.jpg",
        "a b/a.jpg",
        "a/.a.jpg",
    ] {
        assert!(bad.parse::<MemberPath>().is_err(), "{bad}");
    }
}

#[test]
fn only_files_are_packed_and_no_links() {
    let folder: TempDir = tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let link = folder.path().join("link");
    symlink(&secret, &link).unwrap();
    let out = tempfile().unwrap();
    for bad in [link.as_path(), folder.path(), &folder.path().join("none")] {
        assert!(pack(&[(name("a.jpg"), bad)], &out).is_err(), "{}", bad.display());
    }
    assert!(pack(&[(name("a.jpg"), &secret), (name("a.jpg"), &secret)], &out).is_err());
    assert!(pack::<PathBuf>(&[], &out).is_err());
}

#[test]
fn what_a_tar_cannot_hold_is_not_written() {
    assert!(header(&"n".repeat(100), 0).is_ok());
    assert!(header(&"n".repeat(101), 0).is_err());
    assert!(header("a.jpg", 1 << 33).is_err());
    assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
}

/// Bytes that are nearly a set.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let file = ("[a-c]{1,2}\\.(jpg|vtt)", prop::collection::vec(any::<u8>(), 0..700));
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (prop::collection::vec(file, 0..4), prop::collection::vec(change, 0..3), any::<prop::sample::Index>())
        .prop_map(|(files, changes, cut)| {
            let mut tar = Vec::new();
            for (name, bytes) in files {
                tar.extend(header(&name, bytes.len() as u64).unwrap());
                tar.extend(&bytes);
                tar.resize(tar.len().next_multiple_of(512), 0);
            }
            tar.extend([0; 1024]);
            for (at, byte) in changes {
                let at = at.index(tar.len());
                tar[at] = byte;
            }
            let cut = cut.index(tar.len() * 8);
            tar.truncate(cut.max(tar.len() / 2));
            tar
        })
}

proptest! {
    #[test]
    fn what_is_packed_is_read_back(contents in prop::collection::btree_map("[a-z0-9_-]{1,9}\\.(jpg|mp4)", prop::collection::vec(any::<u8>(), 0..1500), 1..6)) {
        let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let (set, _) = packed(&files);
        let index = Index::read(&set).unwrap();
        prop_assert_eq!(index.entries().len(), files.len());
        for (entry, (name, bytes)) in index.entries().iter().zip(files) {
            prop_assert_eq!(entry.name.as_str(), name);
            prop_assert_eq!(entry.read(&set).unwrap(), bytes);
        }
    }

    /// The one form: whatever is taken, packing what is in it again gives the same bytes.
    #[test]
    fn what_is_taken_is_byte_for_byte_what_a_node_writes(tar in nearly()) {
        let Ok(index) = read(&tar) else { return Ok(()) };
        let mut again = Vec::new();
        for entry in index.entries() {
            let at = usize::try_from(entry.offset).unwrap();
            again.write_all(&header(entry.name.as_str(), entry.bytes).unwrap()).unwrap();
            again.write_all(&tar[at..at + usize::try_from(entry.bytes).unwrap()]).unwrap();
            again.resize(again.len().next_multiple_of(512), 0);
        }
        again.extend([0; 1024]);
        prop_assert_eq!(again, tar);
    }

    #[test]
    fn any_bytes_are_borne(tar in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(read(&tar).is_err());
    }
}
