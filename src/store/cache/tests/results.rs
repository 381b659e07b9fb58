use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;

pub(super) const PLENTY: u64 = 1 << 30;
/// What one small entry takes of the budget.
const SMALL: u64 = 4096 + 8192;

pub(super) struct Rig {
    pub(super) folder: tempfile::TempDir,
    pub(super) dir: DataDir,
}

pub(super) fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path()).unwrap();
    Rig { folder, dir }
}

impl Rig {
    pub(super) fn open(&self, budget: u64) -> Cache {
        Cache::open(&self.dir, budget, "5.1.9", Events::default()).unwrap()
    }

    pub(super) async fn put(&self, cache: &Cache, number: u64) -> Object {
        cache.insert(new_object(&self.dir, number, &result(number, 1000))).await.unwrap()
    }

    /// The folders of all entries on disk.
    pub(super) fn entries(&self) -> Vec<PathBuf> {
        let list = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let shelves = list(self.folder.path().join("objects")).filter(|path| path.is_dir());
        shelves.flat_map(list).collect()
    }
}

#[tokio::test]
async fn what_was_put_in_comes_out_also_after_a_restart() {
    let rig = rig();
    let cache = rig.open(PLENTY);
    assert!(cache.get(&key(1)).await.is_none());
    let put = rig.put(&cache, 1).await;
    assert!(put.is_cached() && cache.contains(&key(1)));
    assert_eq!(read(&put), result(1, 1000));
    drop((put, cache));
    let cache = rig.open(PLENTY);
    let got = cache.get(&key(1)).await.unwrap();
    assert_eq!(read(&got), result(1, 1000));
    assert_eq!((got.media_type(), got.extension()), ("video/mp4", "mp4"));
    assert_eq!(got.sha256(), ContentId::of(&result(1, 1000)));
    assert_eq!(cache.stats(), CacheStats { entries: 1, bytes: SMALL, budget_bytes: PLENTY });
}

#[tokio::test]
async fn another_profile_recipe_or_encoder_is_another_entry() {
    let rig = rig();
    let cache = rig.open(PLENTY);
    drop(rig.put(&cache, 1).await);
    let content = key(1).content;
    assert!(cache.get(&Key::new(content, &profile("720p"))).await.is_none());
    let mut changed = (*profile("360p")).clone();
    if let crate::profile::Recipe::Video { crf, .. } = &mut changed.recipe {
        *crf -= 1;
    }
    assert!(cache.get(&Key::new(content, &changed)).await.is_none());
    drop(cache);
    let upgraded = Cache::open(&rig.dir, PLENTY, "8.1", Events::default()).unwrap();
    assert!(upgraded.get(&key(1)).await.is_none());
    // A downgrade finds its own again.
    drop(upgraded);
    assert!(rig.open(PLENTY).get(&key(1)).await.is_some());
}

#[tokio::test]
async fn the_entry_used_longest_ago_goes_first_also_after_a_restart() {
    let rig = rig();
    let cache = rig.open(3 * SMALL);
    for number in 1..=3 {
        drop(rig.put(&cache, number).await);
    }
    assert!(cache.get(&key(1)).await.is_some());
    drop(rig.put(&cache, 4).await);
    assert_eq!([1, 2, 3, 4].map(|number| cache.contains(&key(number))), [true, false, true, true]);
    assert_eq!(rig.entries().len(), 3);
    drop(cache);
    // What the disk remembers is the time of each entry's last use.
    for (number, age) in [(1, 10), (3, 30), (4, 20)] {
        let name = key(number).content.to_string();
        let folder = rig.entries().into_iter().find(|path| path.to_string_lossy().contains(&name)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        std::fs::File::options()
            .write(true)
            .open(folder.join("meta.json"))
            .unwrap()
            .set_modified(then)
            .unwrap();
    }
    let cache = rig.open(2 * SMALL);
    assert_eq!([1, 3, 4].map(|number| cache.contains(&key(number))), [true, false, true]);
    drop(rig.put(&cache, 5).await);
    assert_eq!([1, 4, 5].map(|number| cache.contains(&key(number))), [true, false, true]);
}

#[tokio::test]
async fn what_is_in_use_stays_and_goes_when_it_is_let_go() {
    let rig = rig();
    let cache = rig.open(SMALL);
    let first = rig.put(&cache, 1).await;
    let second = rig.put(&cache, 2).await;
    assert!(cache.contains(&key(1)) && cache.contains(&key(2)), "both are in use");
    drop(first);
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while rig.entries().len() > 1 {
        assert!(std::time::Instant::now() < give_up);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!cache.contains(&key(1)));
    assert_eq!(read(&second), result(2, 1000));
}

#[tokio::test]
async fn damage_is_found_and_healed() {
    let rig = rig();
    let damage: [fn(PathBuf); 4] = [
        |entry| std::fs::write(entry.join("data"), "short").unwrap(),
        |entry| std::fs::write(entry.join("data"), result(9, 1000)).unwrap(),
        |entry| std::fs::remove_file(entry.join("data")).unwrap(),
        |entry| std::fs::remove_dir_all(entry).unwrap(),
    ];
    for (running, damage) in damage.into_iter().flat_map(|damage| [(true, damage), (false, damage)]) {
        let mut cache = rig.open(PLENTY);
        drop(rig.put(&cache, 1).await);
        // Not from memory, where it would be sound.
        damage(rig.entries().remove(0));
        if !running {
            drop(cache);
            cache = rig.open(PLENTY);
        }
        assert!(cache.get(&key(1)).await.is_none());
        assert_eq!(rig.entries().len(), 0);
        assert_eq!(read(&rig.put(&cache, 1).await), result(1, 1000));
        assert!(cache.get(&key(1)).await.is_some());
        cache.make_room(PLENTY).await;
        assert_eq!(cache.stats().entries, 0);
    }
}

#[tokio::test]
async fn what_is_no_entry_is_removed_at_the_start() {
    let rig = rig();
    drop(rig.put(&rig.open(PLENTY), 1).await);
    let entry = rig.entries().remove(0);
    let name = entry.file_name().unwrap().to_str().unwrap();
    std::fs::create_dir(entry.with_file_name(name.replace("360p", "240p"))).unwrap();
    std::fs::write(entry.with_file_name(name.replace("360p", "480p")), "").unwrap();
    let renamed = entry.with_file_name(name.replace("360p", "720p"));
    std::fs::create_dir(&renamed).unwrap();
    for file in ["data", "meta.json"] {
        std::fs::copy(entry.join(file), renamed.join(file)).unwrap();
    }
    let cache = rig.open(PLENTY);
    assert_eq!(rig.entries(), std::slice::from_ref(&entry));
    drop(cache);
    std::fs::write(entry.join("meta.json"), "{\"content\":").unwrap();
    assert_eq!(rig.open(PLENTY).stats().entries, 0);
    assert_eq!(rig.entries(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_has_no_name_of_an_entry_is_left_alone() {
    let rig = rig();
    drop(rig.put(&rig.open(PLENTY), 1).await);
    let objects = rig.folder.path().join("objects");
    let shelf = rig.entries().remove(0).parent().unwrap().to_owned();
    for path in [objects.join("photos"), objects.join("AA"), shelf.join("empty")] {
        std::fs::create_dir(path).unwrap();
    }
    let strays =
        [objects.join("stray"), objects.join("photos/me.jpg"), shelf.join("stray"), shelf.join("empty/x")];
    for path in &strays {
        std::fs::write(path, "").unwrap();
    }
    let cache = rig.open(PLENTY);
    assert_eq!(cache.stats().entries, 1);
    cache.make_room(PLENTY).await;
    assert!(strays.iter().all(|path| path.exists()));
}

#[tokio::test]
async fn links_are_removed_and_not_followed() {
    use std::os::unix::fs::symlink;
    let rig = rig();
    drop(rig.put(&rig.open(PLENTY), 1).await);
    let entry = rig.entries().remove(0);
    let name = entry.file_name().unwrap().to_str().unwrap();
    // Elsewhere, and with names such as an entry has.
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().join(name);
    std::fs::create_dir(&there).unwrap();
    for file in ["data", "meta.json"] {
        std::fs::copy(entry.join(file), there.join(file)).unwrap();
    }
    std::fs::create_dir(elsewhere.path().join(name.replace("360p", "720p"))).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(there.join("meta.json")).unwrap().set_modified(then).unwrap();
    let is_untouched = || {
        std::fs::read(there.join("data")).unwrap() == result(1, 1000)
            && there.join("meta.json").metadata().unwrap().modified().unwrap() == then
            && std::fs::read_dir(&elsewhere).unwrap().count() == 2
    };
    let shelf = entry.parent().unwrap();
    let put_link = |what: &std::path::Path, target: &std::path::Path| {
        if what.is_dir() {
            std::fs::remove_dir_all(what).unwrap();
        } else {
            std::fs::remove_file(what).unwrap();
        }
        symlink(target, what).unwrap();
    };
    for (what, target) in [
        (entry.join("data"), there.join("data")),
        (entry.join("meta.json"), there.join("meta.json")),
        (entry.clone(), there.clone()),
        (shelf.to_owned(), elsewhere.path().to_owned()),
    ] {
        put_link(&what, &target);
        let cache = rig.open(PLENTY);
        assert!(is_untouched() && cache.stats().entries == 0, "{}", what.display());
        assert!(std::fs::symlink_metadata(&what).is_err(), "{}: the link itself goes", what.display());
        drop(rig.put(&cache, 1).await);
        assert!(is_untouched() && entry.join("data").exists());
    }
    // Nor where it comes while the node runs.
    for file in ["data", "meta.json"] {
        let cache = rig.open(PLENTY);
        put_link(&entry.join(file), &there.join(file));
        assert_eq!(cache.get(&key(1)).await.is_some(), file == "meta.json");
        assert!(is_untouched(), "{file}");
        drop(rig.put(&cache, 1).await);
    }
}

#[test]
fn its_names_are_known_for_its_own() {
    for name in ["360p", "1080p", "audio-only", "a-b-"] {
        let profile = Profile { name: name.parse().unwrap(), ..Profile::clone(&profile("360p")) };
        let folder = crate::store::cache::key::folder(&Key::new(ContentId::of(b"video"), &profile), "5.1.9");
        assert!(crate::store::folder::layout::is_entry(&folder), "{folder}");
        assert!(crate::store::folder::layout::is_shelf(&folder[..2]));
        assert!(!crate::store::folder::layout::is_entry(&folder.to_uppercase()));
    }
}

#[tokio::test]
async fn one_key_put_in_many_times_at_once_is_one_entry() {
    let rig = rig();
    let cache = rig.open(PLENTY);
    let puts = (0..16).map(|_| rig.put(&cache, 1));
    let objects = futures_util::future::join_all(puts).await;
    assert!(objects.iter().all(|object| read(object) == result(1, 1000)));
    assert_eq!((cache.stats().entries, rig.entries().len()), (1, 1));
    drop(objects);
    assert_eq!(read(&cache.get(&key(1)).await.unwrap()), result(1, 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn puts_gets_and_evictions_at_once_never_give_a_wrong_result() {
    let rig = rig();
    let cache = rig.open(4 * SMALL);
    let tasks = (0..8u64).map(|task| {
        let (cache, dir) = (cache.clone(), rig.dir.clone());
        tokio::spawn(async move {
            for round in 0..60u64 {
                let number = (task * 7 + round * 5) % 10;
                let object = match cache.get(&key(number)).await {
                    Some(object) => object,
                    None => cache.insert(new_object(&dir, number, &result(number, 1000))).await.unwrap(),
                };
                assert_eq!(read(&object), result(number, 1000));
                assert!(object.is_cached());
            }
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.unwrap();
    }
    drop(cache);
    assert!(rig.open(PLENTY).stats().entries <= 10);
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_given_all_the_same() {
    let rig = rig();
    let cache = rig.open(PLENTY);
    let new = new_object(&rig.dir, 1, &result(1, 1000));
    let file = new.path().to_path_buf();
    // A file where the folder would have to be.
    let shelf = key(1).content.to_string()[..2].to_owned();
    std::fs::write(rig.dir.objects().join(shelf), "in the way").unwrap();
    let object = cache.insert(new).await.unwrap();
    assert!(!object.is_cached() && !cache.contains(&key(1)));
    assert_eq!(read(&object), result(1, 1000));
    assert!(file.exists());
}

#[tokio::test]
async fn a_small_result_asked_for_again_comes_from_memory() {
    let rig = rig();
    let cache = rig.open(2 * SMALL);
    drop(rig.put(&cache, 1).await);
    let first = cache.get(&key(1)).await.unwrap();
    assert_eq!(first.content().unwrap(), &result(1, 1000));
    // Whatever becomes of the disk meanwhile.
    std::fs::write(rig.entries().remove(0).join("data"), "damaged").unwrap();
    let second = cache.get(&key(1)).await.unwrap();
    assert_eq!(second.content().unwrap(), &result(1, 1000));
    drop((first, second));
    // Evicted, it is gone from memory too.
    cache.make_room(PLENTY).await;
    assert!(cache.get(&key(1)).await.is_none());
    let big = result(2, 2 << 20);
    let cache = Cache::open(&rig.dir, PLENTY, "5.1.9", Events::default()).unwrap();
    drop(cache.insert(new_object(&rig.dir, 2, &big)).await.unwrap());
    assert!(cache.get(&key(2)).await.unwrap().content().is_none());
}

/// Inserts a result while one step after the other fails: alone (`last` is 1), or with so many that follow it.
async fn insert_with_failures(is_there: bool, last: usize) {
    for first in 0..20 {
        let rig = rig();
        let cache = rig.open(PLENTY);
        drop(rig.put(&cache, 1).await);
        if is_there {
            drop(rig.put(&cache, 2).await);
            drop(cache.get(&key(2)).await.unwrap());
        }
        cache.steps().fail(first..first.saturating_add(last));
        let object = rig.put(&cache, 2).await;
        assert_eq!(read(&object), result(2, 1000), "given all the same");
        let is_whole = cache.steps().to_fail() == last;
        assert_eq!(object.is_cached(), is_whole, "step {first}");
        cache.steps().fail(0..0);
        drop(object);
        if last == 1 {
            let (stats, entries) = (cache.stats(), rig.entries().len());
            assert_eq!((stats.entries, stats.bytes), (entries, entries as u64 * SMALL), "step {first}");
            let got = cache.get(&key(2)).await;
            assert_eq!(
                got.map(|got| read(&got)),
                cache.contains(&key(2)).then(|| result(2, 1000)),
                "step {first}"
            );
        }
        // The next one puts all in order.
        assert!(rig.put(&cache, 2).await.is_cached());
        assert_eq!((cache.stats().entries, rig.entries().len()), (2, 2));
        if is_whole {
            assert!(first > 3, "it has some steps");
            return;
        }
    }
    panic!("an insert has no end");
}

#[tokio::test]
async fn whatever_step_of_an_insert_fails_index_and_disk_stay_one() {
    for is_there in [false, true] {
        insert_with_failures(is_there, 1).await;
    }
}

#[tokio::test]
async fn what_could_neither_be_put_in_nor_taken_out_is_in_order_with_the_next_insert() {
    for is_there in [false, true] {
        insert_with_failures(is_there, 1000).await;
    }
}
