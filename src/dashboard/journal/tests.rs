use std::time::Duration;

use starling_placement::journey::Answer;
use starling_placement::policy::RouteKind;

use super::pages::{DECISIONS_MAX, JOBS_MAX};
use super::*;

const CLIP: ContentId = ContentId([7; 32]);

fn key(content: ContentId, profile: &str) -> Key {
    Key { content, profile: profile.parse().unwrap(), recipe: ContentId([0; 32]) }
}

fn journal() -> Journal {
    Journal::new("node1".parse().unwrap(), "score")
}

fn tell(journal: &Journal, what: &What) {
    journal.observe(&NodeEvent::Job { key: &key(CLIP, "360p"), what });
}

#[test]
fn a_job_is_followed_to_its_end_here() {
    let (journal, profile) = (journal(), "360p".parse().unwrap());
    tell(&journal, &What::Ranked { scores: "".into(), candidates: [].into() });
    journal.observe(&NodeEvent::Enqueued { content: &CLIP, profile: &profile });
    let progress = watch::Sender::new(Progress { fraction: Some(0.25), ..Progress::default() });
    journal.follow(&CLIP, "360p", progress.subscribe());
    let job = |journal: &Journal| journal.work().jobs.pop().unwrap();
    assert_eq!((&*job(&journal).state, job(&journal).progress), ("waiting", None));
    journal.observe(&NodeEvent::Begun {
        content: &CLIP,
        profile: &profile,
        waited: Duration::ZERO,
        predicted: None,
        threads: 1,
    });
    let running = job(&journal);
    assert_eq!((&*running.state, running.progress), ("running", Some(0.25)));
    assert_eq!(
        (running.route.as_deref(), running.by.as_deref(), running.profile.as_deref()),
        (Some("local"), Some("node1"), Some("360p"))
    );
    assert_eq!(journal.work().jobs.len(), 1);
    assert_eq!(journal.work().decisions[0].chosen.as_deref(), Some("node1"));
}

#[test]
fn a_peers_words_are_kept_with_the_decision() {
    let journal = journal();
    tell(&journal, &What::Ranked { scores: "".into(), candidates: [].into() });
    let (peer, route) = ("node2".parse::<NodeName>().unwrap(), RouteKind::CrossRegion);
    tell(&journal, &What::Offered { peer: peer.clone(), route, answer: Answer::Refused });
    let reason = "its queue is full".to_owned();
    tell(&journal, &What::Refused { peer: peer.clone(), reason, taken: false });
    let other: NodeName = "node3".parse().unwrap();
    tell(&journal, &What::Offered { peer: other, route, answer: Answer::Accepted });
    let work = journal.work();
    assert_eq!(work.decisions[0].chosen.as_deref(), Some("node3"));
    assert_eq!((&*work.jobs[0].state, work.jobs[0].by.as_deref()), ("sent", Some("node3")));
    assert_eq!(work.jobs[0].note.as_deref(), Some("node2: its queue is full"));
    let peer_3 = "node3".parse::<NodeName>().unwrap();
    tell(&journal, &What::HandedOver { peer: peer_3, route, done: false });
    assert_eq!((&*journal.work().jobs[0].state, &journal.work().jobs[0].by), ("placing", &None));
    let answers = &journal.pages.lock().decisions[0].answers;
    assert_eq!(answers[0], (peer, "its queue is full".to_owned()));
}

#[test]
fn what_nobody_waits_for_is_cancelled_and_its_time_does_not_go_on() {
    let (journal, profile) = (journal(), "360p".parse().unwrap());
    tell(&journal, &What::Ranked { scores: "".into(), candidates: [].into() });
    assert!(!journal.work().decisions[0].over);
    journal.observe(&NodeEvent::Enqueued { content: &CLIP, profile: &profile });
    let why = Departure::Cancelled;
    journal.observe(&NodeEvent::Withdrawn { content: &CLIP, profile: &profile, why });
    let work = journal.work();
    assert_eq!((&*work.jobs[0].state, work.jobs[0].took_ms.is_some()), ("cancelled", true));
    assert!(work.decisions[0].over && work.decisions[0].chosen.is_none());
}

#[test]
fn each_profile_of_an_upload_has_a_decision_of_its_own() {
    let journal = journal();
    let (poster, sprite) = (key(CLIP, "poster"), key(CLIP, "sprite"));
    let tell = |key: &Key, what: What| journal.observe(&NodeEvent::Job { key, what: &what });
    for key in [&poster, &sprite] {
        tell(key, What::Ranked { scores: "".into(), candidates: [].into() });
    }
    for (key, peer) in [(&poster, "node2"), (&sprite, "node3")] {
        let (peer, route) = (peer.parse().unwrap(), RouteKind::SameRegion);
        tell(key, What::Offered { peer, route, answer: Answer::Accepted });
    }
    let work = journal.work();
    let made: Vec<_> = work.jobs.iter().map(|job| (job.profile.as_deref(), job.by.as_deref())).collect();
    assert_eq!(made, [(Some("poster"), Some("node2")), (Some("sprite"), Some("node3"))]);
    let chosen: Vec<_> =
        work.decisions.iter().map(|one| (one.profile.as_deref(), one.chosen.as_deref())).collect();
    assert_eq!(chosen, made);
}

#[test]
fn no_load_makes_it_grow() {
    let (journal, profile) = (journal(), "360p".parse().unwrap());
    for n in 0..2 * JOBS_MAX {
        let content = ContentId([n as u8; 32]);
        journal.observe(&NodeEvent::Enqueued { content: &content, profile: &profile });
        let what = What::Ranked { scores: "".into(), candidates: [].into() };
        journal.observe(&NodeEvent::Job { key: &key(content, "360p"), what: &what });
    }
    let work = journal.work();
    assert_eq!((work.jobs.len(), work.decisions.len()), (JOBS_MAX, DECISIONS_MAX));
}
