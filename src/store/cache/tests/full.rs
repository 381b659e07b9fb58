//! A disk that is full, in earnest: the tests run again, as children, on a file system of two megabytes.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

const BUDGET: u64 = 1 << 30;

/// Runs one of the ignored tests below where the temporary folder is a small disk, which goes with the process.
fn on_a_small_disk(test: &str) {
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI can mount");
        println!("SKIPPED: needs root, to mount a small disk");
        return;
    }
    let script = "mount -t tmpfs -o size=2m none \"$1\" && TMPDIR=\"$1\" exec \"$0\" \"$2\" --exact --ignored --nocapture";
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .arg(format!("store::cache::tests::full::{test}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

/// Leaves no byte of the disk free; what it wrote goes with it.
fn fill(folder: &tempfile::TempDir) -> tempfile::NamedTempFile {
    let filling = tempfile::NamedTempFile::new_in(folder).unwrap();
    let mut file: &File = filling.as_file();
    while file.write_all(&[1; 4096]).is_ok() {}
    filling
}

async fn put(cache: &Cache, dir: &DataDir, number: u64) -> Object {
    cache.insert(new_object(dir, number, &result(number, 100_000))).await.unwrap()
}

#[tokio::test]
#[ignore = "runs as a child of the test below"]
async fn a_result_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path().join("data")).unwrap();
    let cache = Cache::open(&dir, BUDGET, "5.1.9", Events::default()).unwrap();
    for number in 0..4 {
        drop(put(&cache, &dir, number).await);
    }
    let new = new_object(&dir, 9, &result(9, 100_000));
    let filling = fill(&folder);
    let object = cache.insert(new).await.unwrap();
    assert!(object.is_cached(), "others went for it");
    assert_eq!(read(&object), result(9, 100_000));
    assert!(cache.stats().entries < 5, "{:?}", cache.stats());
    // Nothing else is left that could go: it is given, and not kept.
    let new = new_object(&dir, 10, &[]);
    cache.make_room(BUDGET).await;
    let _more = fill(&folder);
    let uncached = cache.insert(new).await.unwrap();
    assert!(!uncached.is_cached() && cache.contains(&key(9)));
    drop(filling);
    assert!(put(&cache, &dir, 11).await.is_cached(), "and it goes on");
}

#[test]
fn a_result_is_given_on_a_full_disk_and_the_cache_goes_on() {
    on_a_small_disk("a_result_on_a_full_disk");
}
