//! The journal: every job that was accepted, on disk before its client is told so; and the copies of other nodes' jobs.
//!
//! An embedded store (redb) with three tables: jobs by number, and the numbers by what they were asked for with. A call that changes
//! something returns when it is safe on the disk. Calls block: they belong on threads that may.

mod glimpse;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use sha2::{Digest, Sha256};
use starling_overlay::NodeName;

use self::glimpse::Glimpse;
use super::record::Ask;
use super::{JobNumber, Record};
use crate::api::JobFilter;
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

/// Opens the journal, or makes it: beside its place, and there only when it is whole. One that is half made is none, and could not be
/// opened any more.
fn made(path: &Path) -> Result<Database> {
    if !path.exists() {
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(redb::Error::Io(error).into());
            }
            _ => {}
        }
        drop(prepared(builder().create(&new)?)?);
        put(&new, path).map_err(redb::Error::Io)?;
    }
    prepared(builder().create(path)?)
}

/// Gives a file that is whole its name, for good.
fn put(new: &Path, path: &Path) -> io::Result<()> {
    File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn prepared(database: Database) -> Result<Database> {
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

    /// The journal on a disk of a test's own.
    #[cfg(test)]
    fn on(disk: impl redb::StorageBackend) -> Result<Self> {
        let database = prepared(builder().create_with_backend(disk)?)?;
        Ok(Self(Arc::new(Slot { path: PathBuf::new(), open: Mutex::new(Some(Arc::new(database))) })))
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

    /// Writes what has become of a job that is in the journal, unless that knows something newer. False: it is not there any more.
    pub fn put(&self, record: &Record) -> Result<bool> {
        let transaction = self.writable()?.begin_write()?;
        let known = {
            let mut jobs = transaction.open_table(JOBS)?;
            let before = jobs.get(record.number.0)?.map(|bytes| read(bytes.value()));
            let known = before.is_some();
            // Changes come from several tasks, in any order.
            let is_newest = before.flatten().is_none_or(|before| before.rank() <= record.rank());
            if known && is_newest {
                jobs.insert(record.number.0, &*bytes_of(record))?;
            }
            known
        };
        transaction.commit()?;
        Ok(known)
    }

    /// Enters what another node says of a job, whatever is known of it here.
    pub fn copy(&self, record: &Record) -> Result<()> {
        let transaction = self.writable()?.begin_write()?;
        {
            let mut jobs = transaction.open_table(JOBS)?;
            let mut keys = transaction.open_table(KEYS)?;
            let mut works = transaction.open_table(WORKS)?;
            let number = record.number.0;
            jobs.insert(number, &*bytes_of(record))?;
            // What this node's own jobs are found by stays with them, while they are of use.
            let work = work_of(record.client, &record.ask);
            let before = works.get(&work)?.map(|number| number.value());
            let before = before.map(|number| record_of(&jobs, number)).transpose()?.flatten();
            if before.is_none_or(|before| before.number < record.number && before.may_be_done_again()) {
                works.insert(&work, number)?;
            }
            if let Some(key) = key_of(record.client, &record.ask)
                && keys.get(&key)?.is_none()
            {
                keys.insert(&key, number)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// A job.
    pub fn get(&self, number: JobNumber) -> Result<Option<Record>> {
        let Some(database) = self.readable()? else { return Ok(None) };
        let transaction = database.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        Ok(jobs.get(number.0)?.and_then(|bytes| read(bytes.value())))
    }

    /// Jobs that are to be shown, the newest first.
    pub fn list(&self, filter: &JobFilter, shown: impl Fn(&Record) -> bool) -> Result<Vec<Record>> {
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
            if Glimpse::of(bytes.value()).is_some_and(|glimpse| !glimpse.fits(filter)) {
                continue;
            }
            found.extend(read(bytes.value()).filter(&shown));
        }
        Ok(found)
    }

    /// Those of which something may change yet, the oldest first: work, or word of its end.
    pub fn unsettled(&self) -> Result<Vec<Record>> {
        self.all(|record| !record.is_settled())
    }

    /// Those that came to their end before this time, in milliseconds since 1970.
    pub fn ended_before(&self, ms: u64) -> Result<Vec<Record>> {
        self.all(|record| record.stage.ended_ms().is_some_and(|ended| ended < ms))
    }

    /// Copies of other nodes' jobs that have come to their end, each told to `see`.
    pub fn ended_copies(&self, own: &NodeName, mut see: impl FnMut(&Record)) -> Result<()> {
        self.each(|record| {
            if record.keeping.holder != *own && record.stage.state().is_over() {
                see(&record);
            }
        })
    }

    fn all(&self, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        self.each(|record| found.extend(Some(record).filter(&wanted)))?;
        Ok(found)
    }

    fn each(&self, mut see: impl FnMut(Record)) -> Result<()> {
        let Some(database) = self.readable()? else { return Ok(()) };
        let transaction = database.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        for entry in jobs.iter()? {
            let (_, bytes) = entry?;
            if let Some(record) = read(bytes.value()) {
                see(record);
            }
        }
        Ok(())
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
        // Another node's job of the same name may have been copied here before.
        let is_this = keys.get(&key)?.is_some_and(|number| number.value() == record.number.0);
        if is_this {
            keys.remove(&key)?;
        }
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
    let job = |number| record_of(jobs, number);
    if let Some(key) = key_of(client, ask)
        && let Some(number) = keys.get(&key)?
        && let Some(record) = job(number.value())?
    {
        let same = record.ask.is_same_work(ask);
        return Ok(if same { Taken::Before(Box::new(record)) } else { Taken::KeyOfAnother });
    }
    if let Some(number) = works.get(&work_of(client, ask))?
        && let Some(record) = job(number.value())?
        && !record.may_be_done_again()
    {
        return Ok(Taken::Before(Box::new(record)));
    }
    Ok(Taken::New)
}

fn record_of(jobs: &impl ReadableTable<u128, &'static [u8]>, number: u128) -> Result<Option<Record>> {
    Ok(jobs.get(number)?.and_then(|bytes| read(bytes.value())))
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
    let key = ask.wish.idempotency_key.as_ref()?;
    Some(ContentId::of(format!("{client} {key}").as_bytes()).0)
}

fn work_of(client: ClientTag, ask: &Ask) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{client} {} {}", ask.content, ask.wish.strict));
    for profile in &ask.wish.profiles {
        hash.update(format!(" {profile}"));
    }
    if let Some(webhook) = &ask.wish.webhook {
        hash.update(format!(" webhook {webhook}"));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
