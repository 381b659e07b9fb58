//! Small results that were asked for lately, in memory: served without a look at the disk.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashlink::LinkedHashMap;

use super::key::Meta;

/// Bigger results come from the disk: the kernel keeps those in its own memory.
pub(super) const CONTENT_BYTES_MAX: u64 = 1 << 20;
/// All of them together.
const BYTES_MAX: u64 = 24 << 20;
/// Each keeps a descriptor open.
pub const ENTRIES_MAX: usize = 256;
/// How often the time of use is kept on disk while a result is served from memory.
const TOUCH_PERIOD: Duration = Duration::from_secs(60);

/// One result in memory.
#[derive(Clone, Debug)]
pub(super) struct Hot {
    pub(super) meta: Arc<Meta>,
    pub(super) file: Arc<File>,
    pub(super) content: Bytes,
}

/// The results in memory.
#[derive(Debug, Default)]
pub(super) struct HotSet {
    /// In the order of their last use: the one used longest ago is in front.
    entries: LinkedHashMap<String, Entry>,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    hot: Hot,
    touched: Instant,
}

impl HotSet {
    /// The result of this name, if it is the one described. True: its time of use is due to be kept on disk.
    pub(super) fn get(&mut self, name: &str, meta: &Arc<Meta>, now: Instant) -> Option<(Hot, bool)> {
        let entry = self.entries.to_back(name).filter(|entry| Arc::ptr_eq(&entry.hot.meta, meta))?;
        let due = now.duration_since(entry.touched) >= TOUCH_PERIOD;
        if due {
            entry.touched = now;
        }
        Some((entry.hot.clone(), due))
    }

    /// Takes a result in, and lets those go that were used longest ago.
    pub(super) fn put(&mut self, name: &str, hot: Hot, now: Instant) {
        self.remove(name);
        self.bytes += hot.content.len() as u64;
        self.entries.insert(name.to_owned(), Entry { hot, touched: now });
        while self.bytes > BYTES_MAX || self.entries.len() > ENTRIES_MAX {
            let Some((_, oldest)) = self.entries.pop_front() else { return };
            self.bytes -= oldest.hot.content.len() as u64;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.bytes -= entry.hot.content.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::meta;
    use super::*;

    fn hot(bytes: usize) -> Hot {
        let file = Arc::new(File::open("/dev/null").unwrap());
        Hot { meta: meta(bytes as u64), file, content: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn it_holds_what_was_used_last_within_its_bounds() {
        let (mut set, now) = (HotSet::default(), Instant::now());
        let kept = hot(1000);
        set.put("kept", kept.clone(), now);
        for number in 0..60 {
            set.put(&number.to_string(), hot(1 << 20), now);
            assert!(set.get("kept", &kept.meta, now).is_some());
            assert!(set.bytes <= BYTES_MAX);
        }
        assert!(!set.entries.contains_key("0") && set.entries.contains_key("59"));
        for number in 0..1000 {
            set.put(&number.to_string(), hot(1), now);
        }
        assert_eq!(set.entries.len(), ENTRIES_MAX);
    }

    #[test]
    fn another_result_of_the_same_name_is_not_given() {
        let (mut set, now) = (HotSet::default(), Instant::now());
        let old = hot(10);
        set.put("a", old.clone(), now);
        assert!(set.get("a", &hot(10).meta, now).is_none());
        set.put("a", hot(20), now);
        assert!(set.get("a", &old.meta, now).is_none());
        assert_eq!(set.bytes, 20);
        set.remove("a");
        assert_eq!((set.bytes, set.entries.len()), (0, 0));
    }

    #[test]
    fn the_time_of_use_is_due_now_and_then() {
        let (mut set, now) = (HotSet::default(), Instant::now());
        let entry = hot(10);
        set.put("a", entry.clone(), now);
        let due = |set: &mut HotSet, seconds| {
            set.get("a", &entry.meta, now + Duration::from_secs(seconds)).unwrap().1
        };
        assert!(!due(&mut set, 59));
        assert!(due(&mut set, 60));
        assert!(!due(&mut set, 61));
    }
}
