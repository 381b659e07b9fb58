use super::*;
use crate::api::JobState;
use crate::jobs::record::{Failure, Stage, tests::record};

fn opened() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::at(folder.path().join("journal"));
    (folder, journal)
}

fn everything(limit: u16) -> JobFilter {
    JobFilter { client: None, state: None, webhook: None, after: None, limit }
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
    assert_eq!(journal.unsettled().unwrap(), [first]);
}

#[test]
fn a_node_without_jobs_has_no_file() {
    let (folder, journal) = opened();
    assert_eq!((journal.count().unwrap(), journal.unsettled().unwrap()), (0, Vec::new()));
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
    strict.ask.wish.strict = true;
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
        record.ask.wish.idempotency_key = Some(key.to_owned());
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
        journal.list(filter, |_| true).unwrap().iter().map(|record| record.number.0).collect()
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
