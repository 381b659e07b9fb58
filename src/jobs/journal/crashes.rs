//! The journal on a disk that loses and tears what was not synced when the power goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::StorageBackend;

use super::*;
use crate::jobs::record::{Failure, Stage, tests::record};

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Runs, each with a seed of its own.
const SEEDS: u64 = 200;
/// Changes that are tried in a run, at the most; the power goes before that, mostly.
const CHANGES_MAX: usize = 12;

/// A disk whose power goes after so many calls. Clones are the same disk.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What is safe.
    safe: Vec<u8>,
    /// What whoever reads sees.
    seen: Vec<u8>,
    /// What came since the last sync.
    unsynced: Vec<Call>,
    calls_left: u32,
}

#[derive(Clone, Debug)]
enum Call {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Call {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(at, data) => {
                let end = at + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }

    /// What is left of it where the power went meanwhile: all, nothing, or some of its sectors.
    fn survive(&self, bytes: &mut Vec<u8>, random: &mut StdRng) {
        match (self, random.random_range(0..3)) {
            (_, 0) => {}
            (Self::Write(at, data), 1) => {
                for (number, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                    if random.random() {
                        Self::Write(at + number * SECTOR_BYTES, sector.to_vec()).apply(bytes);
                    }
                }
            }
            _ => self.apply(bytes),
        }
    }
}

impl Disk {
    fn of(safe: Vec<u8>, calls_left: u32) -> Self {
        let state = State { seen: safe.clone(), safe, unsynced: Vec::new(), calls_left };
        Self(Arc::new(Mutex::new(state)))
    }

    fn call(&self, call: Call) -> io::Result<()> {
        let mut state = self.powered()?;
        call.apply(&mut state.seen);
        state.unsynced.push(call);
        Ok(())
    }

    fn powered(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.0.lock();
        match state.calls_left.checked_sub(1) {
            Some(left) => state.calls_left = left,
            None => return Err(io::Error::other("the power is gone")),
        }
        Ok(state)
    }

    /// What is on it when the power is back: what was synced, and parts of what came later.
    fn after_crash(&self, random: &mut StdRng) -> Vec<u8> {
        let state = self.0.lock();
        let mut bytes = state.safe.clone();
        state.unsynced.iter().for_each(|call| call.survive(&mut bytes, random));
        bytes
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock();
        let part = state.seen.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::Length(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered()?;
        let State { safe, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|call| call.apply(safe));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.call(Call::Write(offset as usize, data.to_vec()))
    }
}

/// What a change makes of a job: none, it is forgotten.
type Change = (JobNumber, Option<Record>);

/// A change of a random kind, of a new job or one that there is.
fn change(jobs: &BTreeMap<JobNumber, Record>, random: &mut StdRng) -> Change {
    let there = jobs.values().nth(random.random_range(0..=jobs.len())).cloned();
    let Some(mut job) = there else {
        let mut new = record(&random.random::<u64>().to_string());
        new.number = JobNumber(random.random());
        new.ask.wish.idempotency_key = random.random::<bool>().then(|| random.random::<u64>().to_string());
        return (new.number, Some(new));
    };
    if random.random_ratio(1, 4) {
        return (job.number, None);
    }
    job.keeping.version += 1;
    if job.stage.state().is_over() {
        // It stays so: what comes later is who was told of it.
        return (job.number, Some(job));
    }
    job.stage = match random.random_range(0..3) {
        0 => Stage::Running { since_ms: random.random() },
        1 => {
            Stage::Failed { at_ms: 5, why: Failure::Lost { what: "x".repeat(random.random_range(0..9000)) } }
        }
        _ => Stage::Queued,
    };
    (job.number, Some(job))
}

fn made_to(journal: &Journal, known: Option<&Record>, change: &Change) -> Result<()> {
    match (&change.1, known) {
        (Some(new), None) => assert_eq!(journal.take(new)?, Taken::New),
        (Some(newer), Some(_)) => assert!(journal.put(newer)?),
        (None, Some(known)) => journal.forget(std::slice::from_ref(known))?,
        (None, None) => unreachable!("what is forgotten was there"),
    }
    Ok(())
}

/// Changes a journal until the power goes. The disk's bytes after that, and whether a change was lost that was not said to be safe.
fn run(seed: u64) -> (bool, usize) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut bytes = Vec::new();
    let mut safe: BTreeMap<JobNumber, Record> = BTreeMap::new();
    let (mut lost, mut crashes) = (false, 0);
    // The power goes while a journal is made, too, and while it is mended after the last time.
    for _ in 0..3 {
        if bytes.is_empty() {
            // It is made beside its place, and put there when it is whole: see `made`.
            let disk = Disk::of(bytes, random.random_range(1..160));
            let made = Journal::on(disk.clone()).map(drop);
            let state = disk.0.lock();
            let is_whole = made.is_ok() && state.calls_left > 0;
            bytes = if is_whole { state.seen.clone() } else { Vec::new() };
            if !is_whole {
                crashes += 1;
                continue;
            }
        }
        let disk = Disk::of(bytes, random.random_range(1..160));
        let mut under_way: Option<Change> = None;
        if let Ok(journal) = Journal::on(disk.clone()) {
            for _ in 0..CHANGES_MAX {
                let change = change(&safe, random);
                if made_to(&journal, safe.get(&change.0), &change).is_err() {
                    under_way = Some(change);
                    break;
                }
                match change {
                    (_, Some(record)) => drop(safe.insert(record.number, record)),
                    (number, None) => drop(safe.remove(&number)),
                }
            }
            disk.0.lock().calls_left = 0;
        }
        crashes += 1;
        bytes = disk.after_crash(random);
        let journal = Journal::on(Disk::of(bytes.clone(), u32::MAX));
        let journal = journal.unwrap_or_else(|error| panic!("seed {seed}: it opens again: {error}"));
        if let Some((number, wanted)) = under_way {
            let found = journal.get(number).unwrap();
            let known = safe.get(&number).cloned();
            assert!(
                found == wanted || found == known,
                "seed {seed}: a change is whole or not there: {found:?}"
            );
            lost |= found != wanted;
            match found {
                Some(record) => drop(safe.insert(number, record)),
                None => drop(safe.remove(&number)),
            }
        }
        for (number, job) in &safe {
            assert_eq!(
                journal.get(*number).unwrap().as_ref(),
                Some(job),
                "seed {seed}: what was safe is there"
            );
            if !job.stage.state().is_over() {
                let before = journal.before(job.client, &job.ask).unwrap();
                assert_eq!(
                    before,
                    Taken::Before(Box::new(job.clone())),
                    "seed {seed}: it is found by its work"
                );
            }
        }
        assert_eq!(journal.count().unwrap(), safe.len() as u64, "seed {seed}: nothing else is there");
    }
    (lost, crashes)
}

#[test]
fn what_was_said_to_be_safe_is_there_after_torn_and_lost_writes() {
    let runs: Vec<_> = (0..SEEDS).map(run).collect();
    let lost = runs.iter().filter(|(lost, _)| *lost).count();
    // The test tests something: changes that were under way are lost now and then, and now and then they are not.
    assert!((10..SEEDS as usize).contains(&lost), "{lost} of {SEEDS}");
}
