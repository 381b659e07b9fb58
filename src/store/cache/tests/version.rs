//! A cache of this version is kept, one of another is emptied, what is none is refused; and the log says which.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::super::version::{Found, Version, open};
use super::results::{PLENTY, Rig, rig};
use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the cache; the lines of the log meanwhile.
fn opened(rig: &Rig) -> (Result<Cache, CacheError>, Vec<String>) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let cache = tracing::subscriber::with_default(subscriber, || {
        Cache::open(&rig.dir, PLENTY, "5.1.9", Events::default())
    });
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    (cache, text.lines().map(str::to_owned).collect())
}

/// The one line.
fn line(lines: &[String]) -> &str {
    let [line] = lines else { panic!("{lines:?}") };
    line
}

fn version_file(rig: &Rig) -> std::path::PathBuf {
    rig.dir.objects().join("version")
}

fn held(entry: &Path) -> u64 {
    std::fs::read_dir(entry).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_cache_of_this_version_is_kept_and_the_log_says_so() {
    let rig = rig();
    assert_eq!(open(&rig.dir).unwrap(), Found::Nothing);
    drop(rig.put(&rig.open(PLENTY), 1).await);
    let (cache, lines) = opened(&rig);
    let cache = cache.unwrap();
    let line = line(&lines);
    assert!(
        line.contains("the cache of the last run is kept") && line.contains("entries=1 bytes=12288"),
        "{line}"
    );
    assert_eq!(read(&cache.get(&key(1)).await.unwrap()), result(1, 1000));
    let text = std::fs::read_to_string(version_file(&rig)).unwrap();
    assert_eq!(text, format!("layout 1, recipes {}\n", crate::profile::RECIPE_VERSION));
}

#[tokio::test]
async fn a_cache_of_another_version_is_emptied_and_the_log_says_how_much_that_was() {
    let recipes = crate::profile::RECIPE_VERSION;
    for (text, was) in [
        (Some(format!("layout 1, recipes {}\n", recipes - 1)), format!("layout 1, recipes {}", recipes - 1)),
        (Some(format!("layout 0, recipes {recipes}")), format!("layout 0, recipes {recipes}")),
        (Some(format!("layout 1, recipes {}\n", recipes + 1)), format!("layout 1, recipes {}", recipes + 1)),
        (None, "before versions".to_owned()),
    ] {
        let rig = rig();
        let cache = rig.open(PLENTY);
        for number in 0..3 {
            drop(rig.put(&cache, number).await);
        }
        drop(cache);
        match text {
            Some(text) => std::fs::write(version_file(&rig), text).unwrap(),
            None => std::fs::remove_file(version_file(&rig)).unwrap(),
        }
        // What is not the node's own is not removed with it.
        let stray = rig.entries()[0].parent().unwrap().join("stray");
        std::fs::write(&stray, "").unwrap();
        let bytes: u64 = rig.entries().iter().filter(|entry| entry.is_dir()).map(|entry| held(entry)).sum();
        let (cache, lines) = opened(&rig);
        let cache = cache.unwrap();
        let told: Vec<String> =
            lines.iter().filter(|line| line.contains("another version")).cloned().collect();
        let line = line(&told);
        assert!(line.contains(&format!("entries=3 bytes={bytes}")), "{line}");
        assert!(line.contains(&format!("was=\"{was}\"")), "{line}");
        assert_eq!((cache.stats().entries, rig.entries()), (0, vec![stray]));
        assert!(cache.get(&key(1)).await.is_none());
        // From now on it is one of this version.
        drop(rig.put(&cache, 1).await);
        drop(cache);
        assert_eq!(open(&rig.dir).unwrap(), Found::Same);
        assert_eq!(rig.open(PLENTY).stats().entries, 1);
    }
}

#[tokio::test]
async fn what_is_no_cache_is_refused_and_not_emptied() {
    for text in [
        "",
        "12\n",
        "the version of my thesis",
        "layout 1",
        "layout 1, recipes -3",
        "layout 1, recipes 3, signed",
    ] {
        let rig = rig();
        drop(rig.put(&rig.open(PLENTY), 1).await);
        std::fs::write(version_file(&rig), text).unwrap();
        let (cache, lines) = opened(&rig);
        let error = cache.unwrap_err();
        assert!(
            matches!(error, CacheError::Foreign { .. }) && error.to_string().contains("--data-dir"),
            "{error}"
        );
        assert_eq!(lines, Vec::<String>::new());
        assert_eq!(rig.entries().len(), 1, "{text:?}");
        assert_eq!(std::fs::read_to_string(version_file(&rig)).unwrap(), text);
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_version_is_not_followed() {
    let rig = rig();
    drop(rig.put(&rig.open(PLENTY), 1).await);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&elsewhere, "layout 1, recipes 1\n").unwrap();
    std::fs::remove_file(version_file(&rig)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, version_file(&rig)).unwrap();
    assert!(matches!(opened(&rig).0, Err(CacheError::Io { .. })));
    assert_eq!(rig.entries().len(), 1);
}

proptest! {
    #[test]
    fn a_version_is_read_as_it_is_written(text in "(layout [0-9+-]{1,11}, recipes [0-9+-]{1,11}\n?|.{0,40})") {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        }
    }
}
