use super::*;

/// What it is, and how it comes into a folder.
type Thing = (&'static str, fn(&Path));

fn base() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let base = parent.path().join("labs");
    (parent, base)
}

/// All that lies under a folder, by path.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if base::is_folder(&path) {
            paths.extend(all(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// As a lab leaves it that was killed with all its processes.
async fn dead(base: &Path) -> PathBuf {
    let lab = Folder::create(base).await.unwrap();
    fs::create_dir(lab.data("node1")).unwrap();
    fs::write(lab.data("node1").join("file"), "x").unwrap();
    lab.path.clone()
}

#[tokio::test]
async fn what_a_dead_lab_left_is_swept_and_a_living_one_is_kept() {
    let (_parent, base) = base();
    let living = Folder::create(&base).await.unwrap();
    let dead = dead(&base).await;
    assert_ne!(dead, living.path, "ids differ, although both are of one process");
    assert_eq!(running_labs(&base).unwrap(), [(living.id().to_owned(), living.control_socket())]);
    assert_eq!(find(&base, None).unwrap(), living.control_socket());
    Folder::create(&base).await.unwrap().remove().unwrap();
    assert!(living.path.join("logs").is_dir());
    assert!(!dead.exists());
    living.remove().unwrap();
    living.remove().unwrap();
    assert_eq!(all(&base), [base.join(starling_netem::control::LABS_MARK)], "only the mark stays");
}

#[tokio::test]
async fn a_supervisor_on_its_way_out_is_waited_for() {
    let (_parent, base) = base();
    let path = dead(&base).await;
    let id = path.file_name().unwrap().to_str().unwrap();
    let supervisor = Folder::join(&base, id).unwrap();
    let create = Folder::create(&base);
    let die = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(path.exists(), "removed under a living supervisor");
        drop(supervisor);
    };
    let (created, ()) = tokio::join!(create, die);
    created.unwrap();
}

#[tokio::test]
async fn a_folder_with_anything_else_in_it_is_refused_and_left_as_it_is() {
    let things: [Thing; 7] = [
        ("a folder", |base| fs::create_dir_all(base.join("precious/deep")).unwrap()),
        ("a folder with the name of a lab's", |base| fs::create_dir_all(base.join("abc/data")).unwrap()),
        ("a marked folder in one that is not", |base| {
            fs::create_dir_all(base.join("abc")).unwrap();
            fs::write(base.join("abc").join(MARK), "").unwrap();
        }),
        ("a file", |base| fs::write(base.join("thesis.tex"), "x").unwrap()),
        ("a lock of something else", |base| fs::write(base.join("lock"), "pid 7").unwrap()),
        ("a link", |base| std::os::unix::fs::symlink("/etc", base.join("abc")).unwrap()),
        ("a mark that is a link", |base| {
            std::os::unix::fs::symlink("/etc/hostname", base.join(starling_netem::control::LABS_MARK))
                .unwrap();
        }),
    ];
    for (what, make) in things {
        let (_parent, base) = base();
        fs::create_dir(&base).unwrap();
        make(&base);
        let before = all(&base);
        let error = Folder::create(&base).await.unwrap_err();
        assert!(matches!(&error, LabError::NotLabs { .. }) && error.is_usage(), "{what}: {error}");
        assert!(matches!(find(&base, None), Err(LabError::NoMark(_))), "{what}");
        assert!(Folder::join(&base, "abc").is_err() || what.starts_with("a marked"), "{what}");
        assert_eq!(all(&base), before, "{what}");
    }
}

#[tokio::test]
async fn so_it_is_in_a_folder_where_labs_have_been() {
    let things: [Thing; 4] = [
        ("a folder", |base| fs::create_dir_all(base.join("precious/deep")).unwrap()),
        ("a folder with the name of a lab's", |base| fs::create_dir_all(base.join("abc/data")).unwrap()),
        ("a link to a lab's folder", |base| {
            let lab =
                fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
            std::os::unix::fs::symlink(lab.unwrap(), base.join("abc")).unwrap();
        }),
        ("a folder with a link for a mark", |base| {
            fs::create_dir(base.join("abc")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", base.join("abc").join(MARK)).unwrap();
        }),
    ];
    for (what, make) in things {
        let (_parent, base) = base();
        dead(&base).await;
        make(&base);
        let before = all(&base);
        let error = Folder::create(&base).await.unwrap_err();
        assert!(matches!(&error, LabError::NotLabs { .. }), "{what}: {error}");
        assert!(Folder::join(&base, "abc").is_err(), "{what}");
        assert!(running_labs(&base).unwrap().is_empty(), "{what}");
        assert_eq!(all(&base), before, "{what}");
    }
}

#[tokio::test]
async fn of_a_dead_lab_goes_what_it_made_and_no_more() {
    let (parent, base) = base();
    let path = dead(&base).await;
    let precious = parent.path().join("precious");
    fs::write(&precious, "x").unwrap();
    fs::remove_dir_all(path.join("logs")).unwrap();
    std::os::unix::fs::symlink(parent.path(), path.join("logs")).unwrap();
    std::os::unix::fs::symlink(parent.path(), path.join("data/node1/link")).unwrap();
    fs::write(path.join("notes"), "x").unwrap();
    Folder::create(&base).await.unwrap();
    assert!(precious.exists(), "a link was followed");
    assert_eq!(all(&path), [path.join("notes"), path.join(MARK)]);
    fs::remove_file(path.join("notes")).unwrap();
    Folder::create(&base).await.unwrap().remove().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn folders_that_are_taken() {
    for what in ["none", "an empty one", "one of before there was a mark", "one with an unfinished lab"] {
        let (_parent, base) = base();
        match what {
            "none" => {}
            "an empty one" => fs::create_dir(&base).unwrap(),
            "one of before there was a mark" => {
                fs::create_dir(&base).unwrap();
                fs::write(base.join("lock"), "").unwrap();
            }
            _ => {
                Folder::create(&base).await.unwrap().remove().unwrap();
                fs::create_dir(base.join("abc")).unwrap();
            }
        }
        let lab = Folder::create(&base).await.unwrap();
        assert!(is_marked(&lab.path) && !base.join("abc").exists(), "{what}");
    }
}

#[tokio::test]
async fn labs_that_start_at_once_on_one_folder_get_one_each() {
    let (_parent, base) = base();
    let labs = (0..8).map(|_| Folder::create(&base));
    let labs: Vec<_> = futures_util::future::join_all(labs).await.into_iter().map(Result::unwrap).collect();
    let mut ids: Vec<_> = labs.iter().map(Folder::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    assert_eq!(running_labs(&base).unwrap().len(), 8);
    assert!(Folder::join(&base, labs[0].id()).is_ok());
}

#[test]
fn looking_for_a_lab_makes_nothing() {
    let (parent, base) = base();
    assert!(matches!(find(&base, None), Err(LabError::WhichLab(_))));
    assert_eq!(all(parent.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_folder_that_is_someone_elses_is_not_used() {
    let (parent, base) = base();
    std::os::unix::fs::symlink("/etc", &base).unwrap();
    assert!(matches!(Folder::create(&base).await, Err(LabError::File { doing: "use", .. })));
    let open = parent.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(Folder::create(&open).await, Err(LabError::File { doing: "use", .. })));
    assert_eq!(all(&open), Vec::<PathBuf>::new());
}
