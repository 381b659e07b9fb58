//! The journal: every job that was accepted, on disk before its client is told so.
//!
//! An embedded store (redb) with three tables: jobs by number, and the numbers by what they were asked for with. A call that changes
//! something returns when it is safe on the disk. Calls block: they belong on threads that may.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

use super::record::Ask;
use super::{JobNumber, Record};
use crate::api::{JobFilter, JobState};
use crate::content::{ClientTag, ContentId};
use crate::store::is_full;

/// Jobs, as JSON.
const JOBS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("jobs");
/// Of whose request of which name (`Idempotency-Key`) a job is.
const KEYS: TableDefinition<'_, &[u8; 32], u128> = TableDefinition::new("keys");
/// The newest job of a client, by what is made of what.
const WORKS: TableDefinition<'_, &[u8; 32], u128> = TableDefinition::new("works");
/// What of the store is kept in memory.
const CACHE_BYTES: usize = 4 << 20;

/// The journal of one node. Clones are the same journal.
///
/// It is made when there is a first job to enter, so that a node without jobs needs no room for it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    path: PathBuf,
    open: Mutex<Option<Arc<Database>>>,
}

/// The journal can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal of jobs can't be used: {0}")]
pub struct JournalError(#[source] Box<redb::Error>);

/// What became of a job that was to be accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is in the journal.
    New,
    /// It is not: this one is the same, of before.
    Before(Box<Record>),
    /// It is not: its client has given the same name to another request.
    KeyOfAnother,
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

type Result<T> = std::result::Result<T, JournalError>;

impl JournalError {
    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        matches!(&*self.0, redb::Error::Io(error) if is_full(error))
    }
}

fn made(path: &Path) -> Result<Database> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
    let begun = database.begin_write()?;
    // Made here, so that reading never finds them missing.
    drop((begun.open_table(JOBS)?, begun.open_table(KEYS)?, begun.open_table(WORKS)?));
    begun.commit()?;
    Ok(database)
}

impl Journal {
    /// The journal in this file, which may not be there yet. After a crash it is what it was when the last change was safe.
    pub fn at(path: PathBuf) -> Self {
        Self(Arc::new(Slot { path, open: Mutex::default() }))
    }

    /// The journal to write to.
    fn writable(&self) -> Result<Arc<Database>> {
        let mut open = self.0.open.lock();
        if let Some(database) = &*open {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new(made(&self.0.path)?);
        *open = Some(Arc::clone(&database));
        Ok(database)
    }

    /// The journal to read, if there is one.
    fn readable(&self) -> Result<Option<Arc<Database>>> {
        let is_there = self.0.open.lock().is_some() || self.0.path.exists();
        if is_there { self.writable().map(Some) } else { Ok(None) }
    }

    /// A job that was accepted before and is the same, or whose request has the same name.
    pub fn before(&self, client: ClientTag, ask: &Ask) -> Result<Taken> {
        let Some(database) = self.readable()? else { return Ok(Taken::New) };
        let transaction = database.begin_read()?;
        let (jobs, keys) = (transaction.open_table(JOBS)?, transaction.open_table(KEYS)?);
        found_before(&jobs, &keys, &transaction.open_table(WORKS)?, client, ask)
    }

    /// Enters a job that is new.
    pub fn take(&self, record: &Record) -> Result<Taken> {
        let transaction = self.writable()?.begin_write()?;
        {
            let mut jobs = transaction.open_table(JOBS)?;
            let mut keys = transaction.open_table(KEYS)?;
            let mut works = transaction.open_table(WORKS)?;
            let (client, ask) = (record.client, &record.ask);
            match found_before(&jobs, &keys, &works, client, ask)? {
                Taken::New => {}
                before => return Ok(before),
            }
            jobs.insert(record.number.0, &*bytes_of(record))?;
            works.insert(&work_of(client, ask), record.number.0)?;
            if let Some(key) = key_of(client, ask) {
                keys.insert(&key, record.number.0)?;
            }
        }
        transaction.commit()?;
        Ok(Taken::New)
    }

    /// Writes what has become of a job that is in the journal. False: it is not, any more.
    pub fn put(&self, record: &Record) -> Result<bool> {
        let transaction = self.writable()?.begin_write()?;
        let known = {
            let mut jobs = transaction.open_table(JOBS)?;
            let known = jobs.get(record.number.0)?.is_some();
            if known {
                jobs.insert(record.number.0, &*bytes_of(record))?;
            }
            known
        };
        transaction.commit()?;
        Ok(known)
    }

    /// A job.
    pub fn get(&self, number: JobNumber) -> Result<Option<Record>> {
        let Some(database) = self.readable()? else { return Ok(None) };
        let transaction = database.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        Ok(jobs.get(number.0)?.and_then(|bytes| read(bytes.value())))
    }

    /// Jobs, the newest first.
    pub fn list(&self, filter: &JobFilter) -> Result<Vec<Record>> {
        let Some(database) = self.readable()? else { return Ok(Vec::new()) };
        let transaction = database.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        let end = filter.after.as_ref().map_or(u128::MAX, |id| id.number.0);
        let mut found = Vec::new();
        for entry in jobs.range(..end)?.rev() {
            if found.len() >= usize::from(filter.limit) {
                break;
            }
            let (_, bytes) = entry?;
            let Some(record) = read(bytes.value()) else { continue };
            let wanted = filter.client.is_none_or(|client| client == record.client)
                && filter.state.is_none_or(|state| state == record.stage.state());
            if wanted {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// Those that have not come to their end, the oldest first.
    pub fn unfinished(&self) -> Result<Vec<Record>> {
        self.all(|record| !record.stage.state().is_over())
    }

    /// Those that came to their end before this time, in milliseconds since 1970.
    pub fn ended_before(&self, ms: u64) -> Result<Vec<Record>> {
        self.all(|record| record.stage.ended_ms().is_some_and(|ended| ended < ms))
    }

    fn all(&self, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>> {
        let Some(database) = self.readable()? else { return Ok(Vec::new()) };
        let transaction = database.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        let mut found = Vec::new();
        for entry in jobs.iter()? {
            let (_, bytes) = entry?;
            found.extend(read(bytes.value()).filter(&wanted));
        }
        Ok(found)
    }

    /// How many there are.
    pub fn count(&self) -> Result<u64> {
        let Some(database) = self.readable()? else { return Ok(0) };
        Ok(database.begin_read()?.open_table(JOBS)?.len()?)
    }

    /// Forgets these.
    pub fn forget(&self, records: &[Record]) -> Result<()> {
        let transaction = self.writable()?.begin_write()?;
        for record in records {
            forget(&transaction, record)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn forget(transaction: &WriteTransaction, record: &Record) -> Result<()> {
    let mut jobs = transaction.open_table(JOBS)?;
    let mut keys = transaction.open_table(KEYS)?;
    let mut works = transaction.open_table(WORKS)?;
    jobs.remove(record.number.0)?;
    let work = work_of(record.client, &record.ask);
    // A later job of the same may have taken the place.
    let is_this = works.get(&work)?.is_some_and(|number| number.value() == record.number.0);
    if is_this {
        works.remove(&work)?;
    }
    if let Some(key) = key_of(record.client, &record.ask) {
        keys.remove(&key)?;
    }
    Ok(())
}

fn found_before(
    jobs: &impl ReadableTable<u128, &'static [u8]>,
    keys: &impl ReadableTable<&'static [u8; 32], u128>,
    works: &impl ReadableTable<&'static [u8; 32], u128>,
    client: ClientTag,
    ask: &Ask,
) -> Result<Taken> {
    let job = |number: u128| -> Result<Option<Record>> {
        Ok(jobs.get(number)?.and_then(|bytes| read(bytes.value())))
    };
    if let Some(key) = key_of(client, ask)
        && let Some(number) = keys.get(&key)?
        && let Some(record) = job(number.value())?
    {
        let same = record.ask.is_same_work(ask);
        return Ok(if same { Taken::Before(Box::new(record)) } else { Taken::KeyOfAnother });
    }
    if let Some(number) = works.get(&work_of(client, ask))?
        && let Some(record) = job(number.value())?
        && !matches!(record.stage.state(), JobState::Failed | JobState::Cancelled)
    {
        return Ok(Taken::Before(Box::new(record)));
    }
    Ok(Taken::New)
}

/// A record that can't be read is of a newer version: it is left as it is, and not shown.
fn read(bytes: &[u8]) -> Option<Record> {
    match serde_json::from_slice(bytes) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(%error, "a job in the journal can't be read: left alone");
            None
        }
    }
}

fn bytes_of(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("plain data has its form in JSON")
}

fn key_of(client: ClientTag, ask: &Ask) -> Option<[u8; 32]> {
    let key = ask.idempotency_key.as_ref()?;
    Some(ContentId::of(format!("{client} {key}").as_bytes()).0)
}

fn work_of(client: ClientTag, ask: &Ask) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{client} {} {}", ask.content, ask.strict));
    for profile in &ask.profiles {
        hash.update(format!(" {profile}"));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::record::{Failure, Stage, tests::record};

    fn opened() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::at(folder.path().join("journal"));
        (folder, journal)
    }

    fn everything(limit: u16) -> JobFilter {
        JobFilter { client: None, state: None, after: None, limit }
    }

    fn failed() -> Stage {
        Stage::Failed { at_ms: 5, why: Failure::Interrupted { times: 3 } }
    }

    #[test]
    fn a_job_is_there_after_the_journal_was_closed() {
        let (folder, journal) = opened();
        let mut first = record("a");
        assert_eq!(journal.take(&first).unwrap(), Taken::New);
        first.stage = Stage::Running { since_ms: 3 };
        assert!(journal.put(&first).unwrap());
        drop(journal);
        let journal = Journal::at(folder.path().join("journal"));
        assert_eq!(journal.get(first.number).unwrap(), Some(first.clone()));
        assert_eq!(journal.unfinished().unwrap(), [first]);
    }

    #[test]
    fn a_node_without_jobs_has_no_file() {
        let (folder, journal) = opened();
        assert_eq!((journal.count().unwrap(), journal.unfinished().unwrap()), (0, Vec::new()));
        assert_eq!(journal.get(JobNumber(1)).unwrap(), None);
        assert!(!folder.path().join("journal").exists());
    }

    #[test]
    fn the_same_work_of_the_same_client_is_taken_once_unless_it_failed() {
        let (_folder, journal) = opened();
        let mut first = record("a");
        journal.take(&first).unwrap();
        let again = record("a");
        assert_eq!(journal.take(&again).unwrap(), Taken::Before(Box::new(first.clone())));
        assert_eq!(journal.count().unwrap(), 1);
        let mut strict = record("a");
        strict.ask.strict = true;
        assert_eq!(journal.take(&strict).unwrap(), Taken::New, "other work");
        let mut others = record("a");
        others.client = ClientTag(9);
        assert_eq!(journal.take(&others).unwrap(), Taken::New, "another client's");
        first.stage = failed();
        journal.put(&first).unwrap();
        assert_eq!(journal.take(&again).unwrap(), Taken::New, "what failed may be tried again");
        // The older one is forgotten; the newer one is still found.
        journal.forget(&[first]).unwrap();
        assert_eq!(journal.take(&record("a")).unwrap(), Taken::Before(Box::new(again)));
    }

    #[test]
    fn a_requests_name_is_good_for_one_piece_of_work() {
        let (_folder, journal) = opened();
        let named = |content: &str, key: &str| {
            let mut record = record(content);
            record.ask.idempotency_key = Some(key.to_owned());
            record
        };
        let mut first = named("a", "k1");
        journal.take(&first).unwrap();
        first.stage = failed();
        journal.put(&first).unwrap();
        // The name stands for the request, however it went.
        assert_eq!(journal.take(&named("a", "k1")).unwrap(), Taken::Before(Box::new(first.clone())));
        assert_eq!(journal.take(&named("b", "k1")).unwrap(), Taken::KeyOfAnother);
        assert_eq!(journal.take(&named("a", "k2")).unwrap(), Taken::New);
        journal.forget(&[first]).unwrap();
        assert_eq!(journal.take(&named("b", "k1")).unwrap(), Taken::New, "forgotten with its job");
    }

    #[test]
    fn lists_are_the_newest_first_in_pages_and_by_state_and_client() {
        let (_folder, journal) = opened();
        let mut records: Vec<_> = (0..5).map(|n| record(&n.to_string())).collect();
        for (at, record) in records.iter_mut().enumerate() {
            record.number = JobNumber(at as u128 + 1);
            journal.take(record).unwrap();
        }
        records[1].stage = Stage::Cancelled { at_ms: 7 };
        journal.put(&records[1]).unwrap();
        let numbers = |filter: &JobFilter| -> Vec<u128> {
            journal.list(filter).unwrap().iter().map(|record| record.number.0).collect()
        };
        assert_eq!(numbers(&everything(2)), [5, 4]);
        let id = |number| crate::jobs::JobId { number: JobNumber(number), node: "n".parse().unwrap() };
        assert_eq!(numbers(&JobFilter { after: Some(id(4)), ..everything(9) }), [3, 2, 1]);
        assert_eq!(numbers(&JobFilter { state: Some(JobState::Cancelled), ..everything(9) }), [2]);
        assert_eq!(numbers(&JobFilter { client: Some(ClientTag(77)), ..everything(9) }), []);
        assert_eq!(journal.ended_before(8).unwrap().len(), 1);
        assert_eq!(journal.ended_before(7).unwrap().len(), 0);
    }

    #[test]
    fn what_is_forgotten_is_not_written_again() {
        let (_folder, journal) = opened();
        let first = record("a");
        journal.take(&first).unwrap();
        journal.forget(std::slice::from_ref(&first)).unwrap();
        assert!(!journal.put(&first).unwrap());
        assert_eq!(journal.count().unwrap(), 0);
    }
}
