//! Videos of jobs that came to no result: kept for a while, so that the job can be done again. They have a budget of their own, and are the
//! first to go where the disk is full.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::folder::Reserve;
use super::kept::{blocking, input_path, remove};
use super::{DataDir, Store};
use crate::jobs::JobNumber;

/// What all of them may take: this part of what results may.
const PART_OF_RESULTS: u64 = 4;

/// The videos that are kept so, by their jobs: those of jobs that were accepted first go first.
#[derive(Debug)]
pub(super) struct Spares {
    dir: DataDir,
    bytes_max: u64,
    videos: Mutex<Videos>,
    /// What gives up more of the disk when these are gone.
    others: Arc<dyn Reserve>,
}

#[derive(Debug, Default)]
struct Videos {
    by_job: BTreeMap<JobNumber, Spare>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Spare {
    bytes: u64,
    until_ms: u64,
}

impl Videos {
    fn take(&mut self, job: JobNumber) -> Option<Spare> {
        let spare = self.by_job.remove(&job)?;
        self.bytes -= spare.bytes;
        Some(spare)
    }

    /// Takes out the first ones for as long as `more` says so of the bytes that are left and of those taken out.
    fn take_first(&mut self, more: impl Fn(u64, u64) -> bool) -> (Vec<JobNumber>, u64) {
        let (mut jobs, mut freed) = (Vec::new(), 0);
        while more(self.bytes, freed) {
            let Some(job) = self.by_job.keys().next().copied() else { break };
            freed += self.take(job).map_or(0, |spare| spare.bytes);
            jobs.push(job);
        }
        (jobs, freed)
    }
}

impl Spares {
    /// None yet, beside results that may take so many bytes.
    pub(super) fn new(dir: DataDir, results_bytes_max: u64, others: Arc<dyn Reserve>) -> Arc<Self> {
        let bytes_max = results_bytes_max / PART_OF_RESULTS;
        Arc::new(Self { dir, bytes_max, videos: Mutex::default(), others })
    }

    /// What they take.
    pub(super) fn bytes(&self) -> u64 {
        self.videos.lock().bytes
    }

    /// A job's video is none of these any more: whoever says so deletes it, or there is none.
    pub(super) fn let_go(&self, job: JobNumber) {
        self.videos.lock().take(job);
    }

    /// Counts a video that is there already, and deletes those that there is no room for beside it, or itself.
    fn enter(&self, job: JobNumber, until_ms: u64) -> io::Result<()> {
        let bytes = match fs::metadata(input_path(&self.dir, job)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            meta => meta?.len(),
        };
        let (over, _) = {
            let mut videos = self.videos.lock();
            videos.take(job);
            videos.by_job.insert(job, Spare { bytes, until_ms });
            videos.bytes += bytes;
            if bytes > self.bytes_max {
                videos.take(job);
                (vec![job], bytes)
            } else {
                videos.take_first(|left, _| left > self.bytes_max)
            }
        };
        self.delete(&over)
    }

    fn delete(&self, jobs: &[JobNumber]) -> io::Result<()> {
        jobs.iter().try_for_each(|job| remove(input_path(&self.dir, *job)))
    }

    fn sweep(&self, now_ms: u64) -> io::Result<usize> {
        let old: Vec<_> = {
            let mut videos = self.videos.lock();
            let old = videos.by_job.iter().filter(|(_, spare)| spare.until_ms <= now_ms);
            let old: Vec<_> = old.map(|(job, _)| *job).collect();
            for job in &old {
                videos.take(*job);
            }
            old
        };
        self.delete(&old)?;
        Ok(old.len())
    }
}

impl Reserve for Spares {
    fn give_up(self: Arc<Self>, bytes: u64) -> bool {
        let (jobs, freed) = self.videos.lock().take_first(|_, freed| freed < bytes);
        if let Err(error) = self.delete(&jobs) {
            tracing::warn!(%error, "a job's video can't be deleted: the next start does it");
        }
        if freed > 0 {
            tracing::info!(freed, "the disk is full: videos of jobs that came to no result made room");
        }
        let more = bytes.saturating_sub(freed);
        (more > 0 && Arc::clone(&self.others).give_up(more)) || freed > 0
    }
}

impl Store {
    /// Keeps the video of a job that came to no result, until then (in milliseconds since 1970), or until others need the room. One that is
    /// not there is none to keep.
    pub async fn spare_input(&self, job: JobNumber, until_ms: u64) -> io::Result<()> {
        let spares = Arc::clone(&self.spares);
        blocking(move || spares.enter(job, until_ms)).await
    }

    /// Deletes those whose time is over. How many.
    pub async fn sweep_spares(&self, now_ms: u64) -> io::Result<usize> {
        let spares = Arc::clone(&self.spares);
        blocking(move || spares.sweep(now_ms)).await
    }

    /// What such videos take.
    pub fn spare_bytes(&self) -> u64 {
        self.spares.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;

    /// A store whose results may take 40 bytes, with so long a video of each of these jobs.
    fn store(folder: &std::path::Path, videos: &[(u128, usize)]) -> Store {
        let data = DataDir::open(folder).unwrap();
        for (job, bytes) in videos {
            fs::write(input_path(&data, JobNumber(*job)), vec![0; *bytes]).unwrap();
        }
        Store::open(data, 40, "8.1", Events::default()).unwrap()
    }

    fn left(folder: &std::path::Path) -> Vec<u128> {
        let names = fs::read_dir(folder.join("jobs")).unwrap().map(|entry| entry.unwrap().file_name());
        let number =
            |name: std::ffi::OsString| u128::from_str_radix(name.to_str()?.split_once('.')?.0, 16).ok();
        let mut left: Vec<_> = names.filter_map(number).collect();
        left.sort_unstable();
        left
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_bytes_and_the_first_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &[(1, 4), (2, 4), (3, 4), (4, 11), (5, 1)]);
        for job in [2, 1, 3] {
            store.spare_input(JobNumber(job), 1_000).await.unwrap();
        }
        assert_eq!(
            (left(folder.path()), store.spare_bytes()),
            (vec![2, 3, 4, 5], 8),
            "10 bytes hold two of them"
        );
        // Said again, it counts once; one that is too big goes itself; one that is not there is none.
        for job in [3, 4, 9] {
            store.spare_input(JobNumber(job), 1_000).await.unwrap();
        }
        assert_eq!((left(folder.path()), store.spare_bytes()), (vec![2, 3, 5], 8));
        // Deleted with its job, it counts no more.
        store.drop_input(JobNumber(2)).await.unwrap();
        assert_eq!((left(folder.path()), store.spare_bytes()), (vec![3, 5], 4));
    }

    #[tokio::test]
    async fn they_go_when_their_time_is_over_and_first_of_all_when_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &[(1, 2), (2, 2), (3, 2)]);
        for (job, until_ms) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
            store.spare_input(JobNumber(job), until_ms).await.unwrap();
        }
        assert_eq!(store.sweep_spares(999).await.unwrap(), 0);
        assert_eq!(store.sweep_spares(1_000).await.unwrap(), 1);
        assert_eq!((left(folder.path()), store.spare_bytes()), (vec![1, 3], 4));
        let mut tries = 0;
        let done = store.folder().with_room(0, || {
            tries += 1;
            if tries == 1 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        });
        assert!(done.is_ok() && left(folder.path()).is_empty() && store.spare_bytes() == 0);
        // Nothing is left to give up.
        let full = || Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull));
        assert!(store.folder().with_room(0, full).is_err());
    }
}
