//! The jobs that a node has and had lately, and how it decided where they go: made of its events, as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_overlay::NodeName;
use starling_placement::content::Key;
use starling_placement::journey::What;
use starling_placement::policy::Candidate;
use tokio::sync::watch;

use super::explain;
use super::state::{Decision, JobState, Work};
use crate::content::ContentId;
use crate::events::{Departure, NodeEvent, Observer};
use crate::workers::Progress;

/// Jobs and decisions that are remembered, and candidates of each decision.
const JOBS_MAX: usize = 100;
const DECISIONS_MAX: usize = 20;
const CANDIDATES_MAX: usize = 9;
/// A job that nothing is heard of for so long is told of no more; one that has no place yet, for so long: an upload that is refused is
/// not told of by its content.
const SILENT_MAX: Duration = Duration::from_secs(600);
const UNPLACED_MAX: Duration = Duration::from_secs(60);
/// Longest note.
const NOTE_CHARS_MAX: usize = 160;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Placing,
    Waiting,
    Running,
    Sent,
    Done,
    Failed,
    /// Nobody waits for it any more.
    Cancelled,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Placing => "placing",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug)]
struct Entry {
    content: ContentId,
    profile: String,
    stage: Stage,
    from: Option<NodeName>,
    by: Option<NodeName>,
    route: Option<&'static str>,
    cache: Option<&'static str>,
    progress: Option<watch::Receiver<Progress>>,
    since: Instant,
    heard: Instant,
    took: Option<Duration>,
    note: Option<String>,
}

/// A decision, and what the candidates answered.
#[derive(Debug)]
pub(super) struct Decided {
    pub content: ContentId,
    pub profile: String,
    pub policy: &'static str,
    pub at: Instant,
    pub candidates: Arc<[Candidate]>,
    /// Name, answer, and its words.
    pub answers: Vec<(NodeName, String)>,
    pub chosen: Option<NodeName>,
}

#[derive(Debug, Default)]
struct Pages {
    jobs: VecDeque<Entry>,
    decisions: VecDeque<Decided>,
}

/// The jobs and decisions of one node.
#[derive(Debug)]
pub struct Journal {
    node: NodeName,
    /// By which policy it decides now.
    policy: Mutex<&'static str>,
    pages: Mutex<Pages>,
}

impl Journal {
    /// Of this node, with nothing in it.
    pub fn new(node: NodeName, policy: &'static str) -> Self {
        Self { node, policy: Mutex::new(policy), pages: Mutex::default() }
    }

    /// A worker here is to make this; how far it is is heard from `progress`.
    pub fn follow(&self, content: &ContentId, profile: &str, progress: watch::Receiver<Progress>) {
        let mut pages = self.pages.lock();
        pages.job(content, profile).progress = Some(progress);
    }

    /// All that is known.
    pub fn work(&self) -> Work {
        let now = Instant::now();
        let mut pages = self.pages.lock();
        pages.jobs.retain(|job| job.is_told(now));
        Work {
            jobs: pages.jobs.iter().map(|job| job.told(&self.node, now)).collect(),
            decisions: pages.decisions.iter().map(|one| self.decision(one, &pages.jobs, now)).collect(),
        }
    }

    fn decision(&self, one: &Decided, jobs: &VecDeque<Entry>, now: Instant) -> Decision {
        let open =
            |job: &Entry| job.content == one.content && job.profile == one.profile && !job.stage.is_over();
        let over = one.chosen.is_none() && !jobs.iter().any(open);
        Decision {
            over,
            node: self.node.to_string(),
            content: one.content.short(),
            profile: Some(one.profile.clone()),
            policy: one.policy.to_owned(),
            age_ms: now.saturating_duration_since(one.at).as_millis() as u64,
            chosen: one.chosen.as_ref().map(ToString::to_string),
            candidates: explain::candidates(one, over),
        }
    }

    fn observe_job(&self, key: &Key, what: &What) {
        let mut pages = self.pages.lock();
        if let What::Ranked { candidates, .. } = what {
            let policy = *self.policy.lock();
            pages.decided(key, policy, candidates);
            return;
        }
        let here = &self.node;
        let job = pages.job(&key.content, key.profile.as_str());
        match what {
            What::Joined => job.cache = Some("joined"),
            What::Offered { peer, route, answer } => {
                if answer.as_str() == "accepted" {
                    job.stage = Stage::Sent;
                    job.by = Some(peer.clone());
                    job.route = Some(route.as_str());
                }
                pages.answered(key, peer, answer.as_str());
            }
            What::HandedOver { peer, done: false, .. } => {
                job.note = Some(format!("{peer} took it and did not do it"));
                if job.stage == Stage::Sent && job.by.as_ref() == Some(peer) {
                    (job.stage, job.by, job.route) = (Stage::Placing, None, None);
                }
            }
            What::Refused { peer, reason, .. } | What::Lost { peer, reason } => {
                let words = short(reason);
                job.note = Some(format!("{peer}: {words}"));
                pages.answered(key, peer, &words);
            }
            What::HedgedHere { by, .. } => job.note = Some(format!("{by} takes long: done here, too")),
            What::Stalled { peer, .. } | What::Slow { peer } => {
                job.note = Some(format!("{peer} takes long: tried elsewhere, too"));
            }
            What::FailedHere { error } => job.note = Some(format!("{here}: {}", error.code())),
            What::Crashed { on: node, error } | What::Doubted { peer: node, error } => {
                job.note = Some(format!("{node}: {}", error.code()));
            }
            _ => {}
        }
    }

    fn observe_work(&self, event: &NodeEvent<'_>) {
        let mut pages = self.pages.lock();
        let here = self.node.clone();
        match event {
            NodeEvent::Enqueued { content, profile } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.by) = (Stage::Waiting, Some(here));
            }
            NodeEvent::Begun { content, profile, .. } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.by) = (Stage::Running, Some(here.clone()));
                job.route.get_or_insert("local");
                pages.chosen((content, profile.as_str()), &here);
            }
            NodeEvent::Made { content, profile, took, .. } => {
                let job = pages.job(content, profile.as_str());
                job.progress = None;
                // An upload's own is done when it is answered.
                if job.from.is_some() {
                    (job.stage, job.took) = (Stage::Done, Some(*took));
                }
            }
            NodeEvent::NotMade { content, profile, error, .. } => {
                let job = pages.job(content, profile.as_str());
                job.fail(short(error.code()));
            }
            NodeEvent::Withdrawn { content, profile, why } => {
                let job = pages.job(content, profile.as_str());
                match why {
                    Departure::Cancelled => job.ends(Stage::Cancelled),
                    // Another node is to do it.
                    Departure::Displaced | Departure::HandedOver if job.from.is_none() => {
                        (job.stage, job.by, job.progress) = (Stage::Placing, None, None);
                    }
                    Departure::Displaced | Departure::HandedOver | Departure::Late => {
                        job.fail(why.as_str().replace('_', " "));
                    }
                }
            }
            NodeEvent::OfferAccepted { from, content, profile } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.from, job.by) = (Stage::Waiting, Some((*from).clone()), Some(here));
            }
            NodeEvent::OfferExpired { content, profile, .. } => {
                let job = pages.job(content, profile.as_str());
                job.fail("its video never came".to_owned());
            }
            _ => {}
        }
    }

    fn observe_answer(&self, event: &NodeEvent<'_>) {
        let mut pages = self.pages.lock();
        match event {
            NodeEvent::UploadServed { content, served, profile, timings, .. } => {
                let job = pages.job(content, profile.as_str());
                job.stage = Stage::Done;
                job.took = Some(timings.elapsed());
                job.by = Some(served.by.name.clone());
                job.route = Some(served.route.as_str());
                job.cache = Some(served.cache.as_str());
                if served.cache.as_str() != "hit" {
                    pages.chosen((content, profile.as_str()), &served.by.name);
                }
            }
            NodeEvent::PeersJobDone { from, content, profile, route, served } => {
                let job = pages.job(content, profile.as_str());
                job.stage = Stage::Done;
                job.from = Some((*from).clone());
                job.by = Some(served.by.name.clone());
                job.route = Some(route.as_str());
                job.cache = Some(served.cache.as_str());
                job.took.get_or_insert(job.heard - job.since);
            }
            _ => {}
        }
    }
}

impl Observer for Journal {
    fn observe(&self, event: &NodeEvent<'_>) {
        match event {
            NodeEvent::Job { key, what } => self.observe_job(key, what),
            NodeEvent::UploadServed { .. } | NodeEvent::PeersJobDone { .. } => self.observe_answer(event),
            NodeEvent::PolicyChanged { policy, .. } => *self.policy.lock() = policy.kind.as_str(),
            _ => self.observe_work(event),
        }
    }
}

impl Pages {
    /// The newest job of this content in this profile, or a new one: one upload may be for several.
    fn job(&mut self, content: &ContentId, profile: &str) -> &mut Entry {
        let now = Instant::now();
        let is = |job: &Entry| job.content == *content && !job.stage.is_over() && job.profile == profile;
        let place = if let Some(place) = self.jobs.iter().rposition(is) {
            place
        } else {
            if self.jobs.len() >= JOBS_MAX {
                // The oldest of those that are over, or the oldest.
                let place = self.jobs.iter().position(|job| job.stage.is_over()).unwrap_or_default();
                self.jobs.remove(place);
            }
            self.jobs.push_back(Entry::new(*content, profile, now));
            self.jobs.len() - 1
        };
        let job = &mut self.jobs[place];
        job.heard = now;
        job
    }

    fn decided(&mut self, key: &Key, policy: &'static str, candidates: &Arc<[Candidate]>) {
        let Key { content, profile, .. } = key.clone();
        // It has no place yet.
        self.job(&content, profile.as_str());
        let profile = profile.to_string();
        if self.decisions.len() >= DECISIONS_MAX {
            self.decisions.pop_front();
        }
        let candidates: Arc<[Candidate]> = candidates.iter().take(CANDIDATES_MAX).cloned().collect();
        let (at, answers, chosen) = (Instant::now(), Vec::new(), None);
        self.decisions.push_back(Decided { content, profile, policy, at, candidates, answers, chosen });
    }

    /// The newest decision about this content in this profile.
    fn decision(&mut self, (content, profile): (&ContentId, &str)) -> Option<&mut Decided> {
        self.decisions.iter_mut().rev().find(|one| one.content == *content && one.profile == profile)
    }

    fn answered(&mut self, key: &Key, peer: &NodeName, words: &str) {
        let Some(one) = self.decision((&key.content, key.profile.as_str())) else { return };
        if words == "accepted" {
            one.chosen = Some(peer.clone());
        }
        // The words say more than the code that came before them.
        if let Some((_, before)) = one.answers.iter_mut().find(|(name, _)| name == peer) {
            words.clone_into(before);
        } else if one.answers.len() < CANDIDATES_MAX {
            one.answers.push((peer.clone(), words.to_owned()));
        }
    }

    fn chosen(&mut self, of: (&ContentId, &str), node: &NodeName) {
        if let Some(one) = self.decision(of) {
            one.chosen = Some(node.clone());
        }
    }
}

impl Entry {
    fn new(content: ContentId, profile: &str, now: Instant) -> Self {
        Self {
            content,
            profile: profile.to_owned(),
            stage: Stage::Placing,
            from: None,
            by: None,
            route: None,
            cache: None,
            progress: None,
            since: now,
            heard: now,
            took: None,
            note: None,
        }
    }

    /// It came to an end without a result.
    fn fail(&mut self, why: String) {
        self.ends(Stage::Failed);
        self.note = Some(why);
    }

    /// Its time counts no longer.
    fn ends(&mut self, stage: Stage) {
        (self.stage, self.progress) = (stage, None);
        self.took.get_or_insert(self.heard - self.since);
    }

    /// A job whose worker is gone without a word, or of which nothing is heard, is over in a way that was not told of.
    fn is_told(&self, now: Instant) -> bool {
        let works = self.progress.as_ref().is_some_and(|progress| progress.has_changed().is_ok());
        let silent_max = if self.stage == Stage::Placing { UNPLACED_MAX } else { SILENT_MAX };
        works || now.saturating_duration_since(self.heard) < silent_max
    }

    fn told(&self, node: &NodeName, now: Instant) -> JobState {
        let fraction = self.progress.as_ref().and_then(|progress| progress.borrow().fraction);
        JobState {
            node: node.to_string(),
            content: self.content.short(),
            profile: Some(self.profile.clone()),
            state: self.stage.as_str().to_owned(),
            from: self.from.as_ref().map(ToString::to_string),
            by: self.by.as_ref().map(ToString::to_string),
            route: self.route.map(str::to_owned),
            cache: self.cache.map(str::to_owned),
            progress: fraction.filter(|_| self.stage == Stage::Running),
            age_ms: now.saturating_duration_since(self.since).as_millis() as u64,
            took_ms: self.took.map(|took| took.as_millis() as u64),
            note: self.note.clone(),
        }
    }
}

fn short(words: &str) -> String {
    crate::printable::line(&words.chars().take(NOTE_CHARS_MAX).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use starling_placement::journey::Answer;
    use starling_placement::policy::RouteKind;

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
}
