//! What is kept, who gets it, and what is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use starling_overlay::{BootEpoch, Convergence, Event, Identity, Incarnation, Subject, Versions};
use starling_placement::content::Key;
use starling_placement::journey::{Timings, What};

use super::*;
use crate::content::ContentId;

const CONTENT: ContentId = ContentId([0xab; 32]);

fn key() -> Key {
    Key { content: CONTENT, profile: "360p".parse().unwrap(), recipe: ContentId([0; 32]) }
}

/// Names of what was observed.
#[derive(Default)]
struct Seen(Mutex<Vec<&'static str>>);

impl Observer for Seen {
    fn observe(&self, event: &NodeEvent<'_>) {
        self.0.lock().push(told::told(event).name);
    }
}

fn events() -> Events {
    Events::new("node1".parse().unwrap(), BootEpoch(7), Arc::new(Seen::default()))
}

fn id(number: u64) -> EventId {
    EventId { boot: 7, number }
}

fn failed(name: &str) -> Event {
    Event::Failed(Subject {
        identity: Arc::new(Identity {
            name: name.parse().unwrap(),
            boot: BootEpoch(1),
            gossip: "10.77.1.3:5000".parse().unwrap(),
            http_port: 5000,
            zone: "IAD".parse().unwrap(),
            capacity_jobs: 1,
            versions: Versions::SPOKEN,
        }),
        incarnation: Incarnation(2),
        rtt: None,
    })
}

fn tell_failed(events: &Events, name: &str) {
    events.tell(&NodeEvent::Membership(&failed(name)));
}

fn tell_jobs(events: &Events, count: usize) {
    for _ in 0..count {
        events.tell(&NodeEvent::Job { key: &key(), what: &What::Joined });
    }
}

/// What a listener that does not follow gets: ids, or what is missing.
async fn all(mut listener: Listener) -> Vec<Result<u64, Gap>> {
    let mut got = Vec::new();
    while let Some(batch) = listener.next().await {
        match batch {
            Batch::Events(events) => got.extend(events.iter().map(|event| Ok(event.id.number))),
            Batch::Gap(gap) | Batch::TooSlow(gap) => got.push(Err(gap)),
        }
    }
    got
}

async fn kept(events: &Events, after: Option<EventId>, kinds: &str) -> Vec<Result<u64, Gap>> {
    all(events.listen(after, kinds.parse().unwrap(), false).unwrap()).await
}

const ANY: &str = "membership,job,work,cache,node";

#[tokio::test]
async fn who_comes_back_gets_what_came_meanwhile_and_nothing_twice() {
    let events = events();
    tell_failed(&events, "a");
    tell_jobs(&events, 2);
    tell_failed(&events, "b");
    assert_eq!(events.newest(), Some(id(4)));
    assert_eq!(kept(&events, None, ANY).await, [Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(kept(&events, Some(id(2)), ANY).await, [Ok(3), Ok(4)]);
    assert_eq!(kept(&events, Some(id(4)), ANY).await, []);
    assert_eq!(kept(&events, None, "membership").await, [Ok(1), Ok(4)]);
    assert_eq!(kept(&events, Some(id(1)), "job,cache").await, [Ok(2), Ok(3)]);
    let before = EventId { boot: 6, number: 99 };
    let restarted = kept(&events, Some(before), "membership").await;
    assert_eq!(restarted, [Err(Gap::Restarted { after: before }), Ok(1), Ok(4)]);
}

#[tokio::test]
async fn jobs_do_not_push_out_what_happened_to_the_membership_and_a_gap_is_told() {
    let events = events();
    tell_failed(&events, "a");
    tell_jobs(&events, 10_000);
    tell_failed(&events, "b");
    assert_eq!(kept(&events, Some(id(0)), "membership").await, [Ok(1), Ok(10_002)]);
    let got = kept(&events, Some(id(0)), ANY).await;
    let Err(Gap::Overwritten { after, until }) = got[0] else { panic!("{:?}", got[0]) };
    assert_eq!(after, id(0));
    assert_eq!(got[1], Ok(1), "what is still there is given");
    assert_eq!(got[2], Ok(until.number + 1));
    assert_eq!(got.last(), Some(&Ok(10_002)));
    assert_eq!(got.iter().filter(|one| one.is_err()).count(), 1);
    // Whoever asks for what there is misses nothing.
    assert!(kept(&events, None, ANY).await.iter().all(Result::is_ok));
    assert_eq!(kept(&events, Some(id(9_999)), ANY).await.len(), 3);
}

#[tokio::test]
async fn what_is_kept_is_bounded_in_bytes_too_and_texts_are_cut() {
    let events = events();
    let reason = "ä\u{1b}".repeat(1 << 16);
    for _ in 0..5_000 {
        let what = What::Lost { peer: "node2".parse().unwrap(), reason: reason.clone() };
        events.tell(&NodeEvent::Job { key: &key(), what: &what });
    }
    let mut listener = events.listen(None, Kinds::ALL, false).unwrap();
    let (mut count, mut bytes) = (0, 0);
    while let Some(Batch::Events(batch)) = listener.next().await {
        (count, bytes) =
            (count + batch.len(), bytes + batch.iter().map(|event| event.data.len()).sum::<usize>());
        let told: Value = serde_json::from_str(&batch[0].data).unwrap();
        assert_eq!(told["reason"].as_str().unwrap().chars().count(), 200);
        assert!(!batch[0].data.contains('\u{1b}') && !batch[0].data.contains('\n'));
    }
    assert!(count > 1_000 && bytes <= 2 << 20, "{count} events of {bytes} bytes");
}

#[tokio::test]
async fn a_listener_hears_of_what_happens_and_one_that_is_too_slow_is_cut_off() {
    let events = events();
    let mut listener = events.listen(events.newest(), Kinds::ALL, true).unwrap();
    let mut narrow = events.listen(events.newest(), "membership".parse().unwrap(), true).unwrap();
    let teller = events.clone();
    let (heard, ()) = tokio::join!(listener.next(), async move { tell_failed(&teller, "a") });
    assert!(matches!(heard, Some(Batch::Events(batch)) if batch[0].name == "failed"));
    tell_jobs(&events, 5_000);
    assert!(matches!(listener.next().await, Some(Batch::TooSlow(Gap::Overwritten { .. }))));
    assert!(listener.next().await.is_none(), "nothing follows");
    // What it does not listen to makes no listener slow.
    assert!(matches!(narrow.next().await, Some(Batch::Events(batch)) if batch.len() == 1));
    tell_failed(&events, "b");
    assert!(matches!(narrow.next().await, Some(Batch::Events(batch)) if batch[0].id == id(5_002)));
}

#[tokio::test]
async fn a_node_that_leaves_says_so_last() {
    let events = events();
    let mut listener = events.listen(events.newest(), Kinds::ALL, true).unwrap();
    events.tell(&NodeEvent::Leaving { bound: Duration::from_secs(30), running: 2 });
    events.close();
    assert!(matches!(listener.next().await, Some(Batch::Events(batch)) if batch[0].name == "leaving"));
    assert!(listener.next().await.is_none());
}

#[tokio::test]
async fn what_is_told_is_json_with_codes_and_no_key_to_a_result() {
    let seen = Arc::new(Seen::default());
    let events = Events::new("node1".parse().unwrap(), BootEpoch(7), Arc::clone(&seen) as _);
    let converged = Event::Converged(Convergence {
        members: 3,
        elapsed: Duration::from_millis(812),
        periods: 4.1,
        about: Some("node3".parse().unwrap()),
    });
    let timings = Timings::new(Instant::now());
    tell_failed(&events, "node3");
    events.tell(&NodeEvent::Membership(&converged));
    events.tell(&NodeEvent::UploadRefused {
        status: 422,
        problem: "unusable-video",
        error: &"private: holiday.mp4",
        policy: "score",
        timings: &timings,
    });
    let (peer, profile) = ("node2".parse().unwrap(), "360p".parse().unwrap());
    events.tell(&NodeEvent::OfferRefused {
        from: &peer,
        content: &CONTENT,
        profile: &profile,
        reason: "saturated",
    });
    let Some(Batch::Events(batch)) = events.listen(None, Kinds::ALL, false).unwrap().next().await else {
        panic!("nothing is kept")
    };
    let told: Vec<Value> = batch.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    let one = &told[0];
    assert_eq!(
        (&one["id"], &one["node"], &one["kind"]),
        (&"7-1".into(), &"node1".into(), &"membership".into())
    );
    assert_eq!(
        (&one["event"], &one["member"], &one["zone"]),
        (&"failed".into(), &"node3".into(), &"IAD".into())
    );
    assert!(humantime::parse_rfc3339(one["at"].as_str().unwrap()).is_ok(), "{one}");
    assert_eq!((&told[1]["members"], &told[1]["elapsed_ms"]), (&3.into(), &812.into()));
    assert_eq!((&told[2]["status"], &told[2]["problem"]), (&422.into(), &"unusable-video".into()));
    assert_eq!((&told[3]["reason"], &told[3]["content"]), (&"saturated".into(), &CONTENT.short().into()));
    assert!(
        batch.iter().all(|event| !event.data.contains(&CONTENT.to_string())),
        "whoever has it has the result"
    );
    assert!(batch.iter().all(|event| !event.data.contains("holiday")), "words are for the client");
    assert_eq!(*seen.0.lock(), ["failed", "converged", "upload_refused", "offer_refused"]);
}

#[test]
fn ids_are_read_as_they_are_written() {
    assert_eq!(id(42).to_string().parse(), Ok(id(42)));
    for text in ["", "7", "7-", "-7", "7-x", "a-1", "7-1-1", "99999999999999999999-1"] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}
