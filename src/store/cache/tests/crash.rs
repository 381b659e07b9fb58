//! kill -9 at any moment leaves a usable cache.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const FOLDER: &str = "STARLING_TEST_CRASH_FOLDER";
const BUDGET: u64 = 40 * (64 << 10);

/// The one that is killed: puts results in and takes some out, without end, and says which it has put in.
#[tokio::test]
#[ignore = "runs as a child of the test below"]
async fn victim() {
    let folder = std::env::var_os(FOLDER).expect("started by the test below");
    let dir = DataDir::open(folder).unwrap();
    let cache = Cache::open(&dir, BUDGET, "5.1.9", Events::default()).unwrap();
    let parent = rustix::process::getppid();
    for number in 0.. {
        // Its own end, should nobody kill it.
        if rustix::process::getppid() != parent {
            return;
        }
        let object = cache.insert(new_object(&dir, number % 50, &result(number % 50, 50_000))).await.unwrap();
        assert!(object.is_cached());
        drop(object);
        cache.get(&key(number / 2 % 50)).await;
        println!("\nput {}", number % 50);
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_leaves_a_usable_cache() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = 0;
    for round in 0..25u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::cache::tests::crash::victim", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Let it do a few, another number each round, and then some part of the next.
        let puts = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let seen = puts.filter(|line| line.starts_with("put ")).take(1 + (round as usize * 3) % 17).last();
        tokio::time::sleep(Duration::from_micros(round * 137 % 2000)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let last: u64 = seen.expect("it puts results in").trim_start_matches("put ").parse().unwrap();

        let dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.tmp()).unwrap().count(), 0);
        let cache = Cache::open(&dir, BUDGET, "5.1.9", Events::default()).unwrap();
        let stats = cache.stats();
        assert!(stats.bytes <= BUDGET, "{stats:?}");
        assert!(cache.get(&key(last)).await.is_some(), "round {round}: {last} was acknowledged and is gone");
        for number in 0..50 {
            if cache.contains(&key(number)) {
                let object = cache.get(&key(number)).await.expect("what the index has is whole");
                assert_eq!(read(&object), result(number, 50_000));
                whole += 1;
            }
        }
    }
    assert!(whole > 100, "the victim did next to nothing: {whole}");
}
