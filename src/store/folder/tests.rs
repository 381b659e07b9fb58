use super::*;

#[test]
fn a_data_folder_belongs_to_one_node_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let first = DataDir::open(&path).unwrap();
    std::fs::write(first.tmp().join("upload-a1B2c3"), "left by a killed run").unwrap();
    std::fs::write(first.tmp().join("thesis"), "of somebody else").unwrap();
    std::fs::write(first.objects().join("kept"), "").unwrap();
    let error = DataDir::open(&path).unwrap_err();
    assert!(matches!(error, DataDirError::InUse(_)), "{error}");
    assert!(first.tmp().join("upload-a1B2c3").exists());
    drop(first);
    let second = DataDir::open(&path).unwrap();
    assert!(!second.tmp().join("upload-a1B2c3").exists());
    assert!(second.tmp().join("thesis").exists());
    assert!(second.objects().join("kept").exists());
    let error = DataDir::open("/proc/no-such-folder").unwrap_err();
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

/// A folder with these files in it, each as its path; one that ends in a slash is a folder.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with('/') {
            std::fs::create_dir_all(&path).unwrap();
        } else {
            std::fs::write(&path, file).unwrap();
        }
    }
    folder
}

const ENTRY: &str = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7-360p-0123456789abcdef";

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_as_it_is() {
    let entry = |what: &str| what.replace("ENTRY", ENTRY);
    for foreign in [
        &["tmp/thesis/final.tex"][..],
        &["tmp/upload-a1B2c3", "tmp/upload-a1B2c3.mp4"],
        &["tmp/upload-draft1x"],
        &["objects/photos/me.jpg"],
        &["objects/list.txt"],
        &["objects/3a/ENTRY/data", "objects/3a/notes"],
        &["objects/3A/"],
        &["objects/version/"],
        &["etc/passwd", "tmp/"],
        &["uploads/holiday.part"],
        &["uploads/0123456789abcdef0123456789abcdef.plan/"],
        &["lock", "tmp/", "objects/", "members", "letter"],
        &["tmp"],
        &["lock/"],
    ] {
        let files: Vec<String> = foreign.iter().map(|file| entry(file)).collect();
        let folder = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::Foreign { .. }), "{foreign:?}: {error}");
        assert!(error.to_string().contains("--data-dir"), "{error}");
        assert!(files.iter().all(|file| folder.path().join(file).exists()), "{foreign:?}");
        assert!(!folder.path().join("starling-data-folder").exists());
    }
}

#[test]
fn a_folder_of_before_there_was_a_mark_is_taken_and_marked() {
    let shelved = format!("objects/3a/{ENTRY}/data");
    for own in [
        &[][..],
        &["lost+found/"],
        &["lock"],
        &["lock", "tmp/upload-a1B2c3", "tmp/job-a1B2c3/output.mp4", "objects/", "members", "members.new"],
        &[&shelved],
        &["uploads/0123456789abcdef0123456789abcdef.part", "uploads/0123456789abcdef0123456789abcdef.plan"],
        &[&shelved, "objects/version"],
        &["lock", "tmp/evicted-a1B2c3/entry/data", "members", &shelved],
    ] {
        let folder = folder(own);
        let dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.tmp()).unwrap().count(), 0, "{own:?}");
        assert_eq!(folder.path().join(&shelved).exists(), own.contains(&shelved.as_str()));
        drop(dir);
        // From now on it is known for a node's whatever is put there, and that is left alone.
        std::fs::write(folder.path().join("notes"), "").unwrap();
        DataDir::open(folder.path()).unwrap();
        assert!(folder.path().join("notes").exists());
    }
}

#[test]
fn no_link_is_followed() {
    use std::os::unix::fs::symlink;
    let precious = folder(&["upload-a1B2c3", "file"]);
    for (link, marked) in [("tmp", true), ("objects", true), ("tmp", false), ("objects", false)] {
        let folder = folder(if marked { &["starling-data-folder"] } else { &[] });
        symlink(&precious, folder.path().join(link)).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::Foreign { .. }), "{link}: {error}");
    }
    let folder = folder(&["starling-data-folder", "tmp/"]);
    symlink(&precious, folder.path().join("tmp/job-a1B2c3")).unwrap();
    let dir = DataDir::open(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.tmp()).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(&precious).unwrap().count(), 2);
}
