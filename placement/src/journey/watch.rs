//! Watching work that another node does: as long as something moves it is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_overlay::{Identity, NodeName};

use super::{Job, Life, Ports, Progress, clock};
use crate::content::Key;

/// How often it is looked whether anything moved.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Work of which nothing has moved for so long, over so many looks, has stalled. The looks are for a node that was held up
/// itself: it has not seen anything move, and this is no peer's fault.
const STALLED_AFTER: Duration = Duration::from_secs(5);
const STALLED_LOOKS: u32 = 4;

/// Least time that work elsewhere which gets on is waited for, where there is as much: many times the longest that is usual.
const PATIENCE_MIN: Duration = Duration::from_secs(60);
/// And so many times what such work usually takes.
const PATIENCE_SERVICES: u32 = 10;

/// How long work elsewhere that gets on is waited for, however far it is: as long as there is time left then to do it here, half as long
/// again as that takes, and a third of the time in any case, since a job may be no usual one. Where it is not known what it takes, half of
/// the time is for the other node.
fn longest(left: Duration, takes: Option<Duration>) -> Duration {
    let last = takes.map_or(Duration::ZERO, |takes| left.saturating_sub(takes * 3 / 2).min(left * 2 / 3));
    last.max(left / 2)
}

/// How long it is waited for without a word on how far it is. To begin it once more sooner is to do it twice, since what was begun before
/// is likely to be done before.
fn patience(left: Duration, usual: Option<Duration>) -> Duration {
    (usual.unwrap_or_default() * PATIENCE_SERVICES).max(PATIENCE_MIN).min(longest(left, usual))
}

/// How long another node's work is waited for that gets on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until then in any case.
    pub(super) until: Instant,
    /// And until then while what is done of it says that it will be there sooner than if it were begun anew.
    at_most: Instant,
    /// What it would take here from now on, where that is known.
    anew: Option<Duration>,
}

/// What a wait for another node's work goes by: a job that had so much time `left` at `since`, and what is known here when it is asked.
pub(super) struct Wait<'a, P: Ports> {
    pub(super) ports: &'a P,
    pub(super) job: &'a Job<P>,
    pub(super) since: Instant,
    pub(super) left: Duration,
}

impl<P: Ports> Wait<'_, P> {
    pub(super) fn patience(&self) -> Patience {
        self.patience_from(self.until())
    }

    /// How long it lasts in any case.
    fn until(&self) -> Instant {
        let Self { ports, job, since, left } = *self;
        // As such jobs usually take here; before enough of them were done to tell, as any job does, here or at the slowest peer.
        let known = |ms: u32| Some(ms).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()));
        let usual = ports.usual_service(job.client, &job.key.profile);
        let here = || known(ports.own_load().service_ms);
        let there = || ports.view().peers.iter().filter_map(|peer| known(peer.load?.sample.service_ms)).max();
        since + patience(left, usual.or_else(here).or_else(there))
    }

    fn patience_from(&self, until: Instant) -> Patience {
        let Self { ports, job, since, left } = *self;
        let pixels = job.demand().work_pixels;
        let estimate = pixels.map(|pixels| ports.estimate(job.client, &job.key.profile, pixels));
        let anew = estimate.and_then(|estimate| Some(estimate.wait + estimate.service?));
        Patience { until, at_most: since + longest(left, anew), anew }
    }

    /// When it is over, if that is by this time. What the job would take here is worked out only where it is asked for.
    fn is_over_at(&self, at: Instant, watched: &Watched) -> Option<Instant> {
        let until = self.until();
        (at >= until && self.patience_from(until).is_over_at(at, watched)).then_some(until)
    }
}

impl Patience {
    /// Whether it is over at this time for work of which so much is seen.
    pub(super) fn is_over_at(&self, at: Instant, watched: &Watched) -> bool {
        at >= self.until && (at >= self.at_most || !watched.is_sooner_than(self.anew, self.at_most))
    }
}

/// Bytes that went to a peer or came from it.
#[derive(Clone, Debug, Default)]
pub struct Motion {
    bytes: Arc<AtomicU64>,
    /// All of it has come: what takes its time from now on is this node.
    over: Arc<AtomicBool>,
    /// The bodies that went by, in the order in which they began.
    transfers: Arc<Mutex<Vec<Transfer>>>,
}

/// A body on its way.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    /// What came after its first piece, which says nothing of the time that it took.
    bytes: u64,
    begun: Option<Instant>,
    took: Duration,
}

impl Motion {
    /// One more body is going to go by. Its number is for [`Self::moves`].
    pub fn begins(&self) -> usize {
        let mut transfers = self.transfers.lock();
        transfers.push(Transfer { bytes: 0, begun: None, took: Duration::ZERO });
        transfers.len() - 1
    }

    /// So many more bytes of that body went by.
    pub fn moves(&self, body: usize, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(transfer) = self.transfers.lock().get_mut(body) {
            transfer.goes_on(bytes as u64);
        }
    }

    /// Bytes and time of each body that went by, in the order in which they began.
    pub(super) fn transfers(&self) -> Vec<(u64, Duration)> {
        self.transfers.lock().iter().map(|transfer| (transfer.bytes, transfer.took)).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// All of it has come.
    pub fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Transfer {
    fn goes_on(&mut self, bytes: u64) {
        let now = clock::now();
        match self.begun {
            Some(begun) => (self.bytes, self.took) = (self.bytes + bytes, now - begun),
            None => self.begun = Some(now),
        }
    }
}

/// What was seen of work elsewhere, look by look.
#[derive(Debug)]
pub(super) struct Watched {
    bytes: u64,
    progress: Option<Progress>,
    moved: Instant,
    still: u32,
    idle: bool,
    /// The share of it that was done, in thousandths, when that was told first.
    first: Option<(Instant, u16)>,
    /// What the last look saw, in words.
    seen: String,
}

impl Watched {
    pub(super) fn new() -> Self {
        let (bytes, progress, first, seen) = (0, None, None, String::new());
        Self { bytes, progress, moved: clock::now(), still: 0, idle: false, first, seen }
    }

    /// The share of it that is done, in thousandths, where that is known.
    fn permille(&self) -> Option<u16> {
        self.progress?.part?.permille
    }

    /// How long it will take from now on at the pace so far, and how long all of it. None: nothing of it was seen done yet.
    fn pace(&self) -> Option<(Duration, Duration)> {
        let ((since, first), now) = (self.first?, self.permille()?);
        let done = u32::from(now.checked_sub(first).filter(|done| *done > 0)?);
        let took = clock::now().saturating_duration_since(since);
        let share = |permille: u32| took * permille / done;
        Some((share(1000 - u32::from(now.min(1000))), share(1000)))
    }

    /// Whether it will be done, at its pace so far, before `end`, and before what is begun anew, which takes so long; as long as this, where
    /// nothing else is known.
    fn is_sooner_than(&self, anew: Option<Duration>, end: Instant) -> bool {
        let Some((rest, whole)) = self.pace() else { return false };
        rest <= anew.unwrap_or(whole) && clock::now() + rest < end
    }

    fn moves(&mut self) {
        (self.moved, self.still) = (clock::now(), 0);
    }

    /// One look. `answer` is what the node said of it, if it was asked.
    fn look(&mut self, bytes: u64, answer: Result<Option<Progress>, String>) {
        self.idle = matches!(answer, Ok(None));
        let moved = match answer {
            Ok(Some(progress)) => {
                let moved = progress.waits || self.progress != Some(progress);
                let before = self.permille();
                self.progress = Some(progress);
                // Less than before: it was begun anew there.
                if let Some(permille) = self.permille()
                    && before.is_none_or(|before| permille < before)
                {
                    self.first = Some((clock::now(), permille));
                }
                "it says that it is at work, and gets no further".clone_into(&mut self.seen);
                moved
            }
            Ok(None) => {
                "it says that it has no such work".clone_into(&mut self.seen);
                false
            }
            Err(error) => {
                self.seen = format!("it does not say how far it is: {error}");
                false
            }
        };
        if moved || bytes != self.bytes {
            self.bytes = bytes;
            self.moves();
        } else {
            self.still += 1;
        }
    }

    /// Whether the last look found no such work there.
    pub(super) const fn is_idle(&self) -> bool {
        self.idle
    }

    fn rested(&self) -> Duration {
        clock::now().saturating_duration_since(self.moved)
    }

    /// Whether nothing has moved for too long.
    pub(super) fn has_stalled(&self) -> bool {
        self.still >= STALLED_LOOKS && self.rested() >= STALLED_AFTER
    }

    /// What speaks for that.
    pub(super) fn seen(&self) -> String {
        format!("nothing moved for {:.1?}: {}", self.rested(), self.seen)
    }
}

/// Watches a job that a peer was given. Ends when nothing of it moves any more, with what was seen; or when it has taken too long,
/// whatever moves: when the wait for it is over, which is asked anew each time.
pub(super) async fn until_stalled<P: Ports>(
    ports: &P,
    (peer, rtt): (&Identity, Option<Duration>),
    key: &Key,
    (motion, life): (&Motion, &Life),
    wait: &Wait<'_, P>,
) -> Stall {
    let mut watched = Watched::new();
    loop {
        let look = clock::now() + LOOK_INTERVAL;
        let over = wait.is_over_at(look, &watched);
        clock::sleep_until(over.map_or(look, |over| over.min(look))).await;
        if over.is_some() {
            return Stall::Slow;
        }
        if motion.is_over() {
            std::future::pending::<()>().await;
        }
        let bytes = motion.bytes();
        if bytes == watched.bytes {
            let answer = ports.ask_progress(peer, rtt, key).await;
            watched.look(bytes, answer.map_err(|error| error.to_string()));
        } else {
            watched.bytes = bytes;
            watched.moves();
        }
        if watched.still == 0 {
            life.moves();
        }
        if let Some(progress) = watched.progress {
            if progress.waits {
                life.waits();
            }
            if let Some(part) = progress.part {
                life.has_come_to(part);
            }
        }
        if watched.has_stalled() {
            return Stall::Still(watched.seen());
        }
    }
}

/// One look at work that the member of this name is said to be at.
pub(super) async fn look_at<P: Ports>(ports: &P, name: &NodeName, key: &Key, watched: &mut Watched) {
    let peer = {
        let view = ports.view();
        let live = view.peer(name).filter(|peer| peer.state.is_live());
        live.map(|peer| (Arc::clone(&peer.identity), peer.rtt.map(|rtt| rtt.mean)))
    };
    let answer = match peer {
        Some((peer, rtt)) => ports.ask_progress(&peer, rtt, key).await.map_err(|error| error.to_string()),
        None if *name == ports.identity().name => Ok(ports.journeys().lives.progress(key)),
        None => Err("it is no live member".to_owned()),
    };
    watched.look(0, answer);
}

/// Why a job that a peer has is begun elsewhere, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Nothing of it moves; what was seen.
    Still(String),
    /// It moves, and takes too long.
    Slow,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::Part;

    fn done(permille: u16) -> Progress {
        let part = Part { permille: Some(permille), frames: 0, encoded_ms: 0 };
        Progress { moved: u64::from(permille), waits: false, part: Some(part) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_gets_on_is_waited_for_while_it_is_sooner_there_than_begun_anew() {
        let seconds = Duration::from_secs;
        let (since, mut watched) = (clock::now(), Watched::new());
        let patience = |anew| Patience {
            until: since + seconds(60),
            at_most: since + longest(seconds(3600), anew),
            anew,
        };
        let is_over = |watched: &Watched, anew| patience(anew).is_over_at(clock::now(), watched);
        watched.look(0, Ok(Some(done(0))));
        tokio::time::advance(seconds(50)).await;
        assert!(!is_over(&watched, None), "there is time");
        tokio::time::advance(seconds(50)).await;
        assert!(is_over(&watched, None), "nothing of it is done");
        // A tenth in 100 s: 900 s are left.
        watched.look(0, Ok(Some(done(100))));
        assert!(!is_over(&watched, None) && !is_over(&watched, Some(seconds(900))));
        assert!(is_over(&watched, Some(seconds(899))), "here it is sooner");
        // It gets no further: by and by it would be sooner anew.
        tokio::time::advance(seconds(100)).await;
        watched.look(0, Ok(Some(done(100))));
        assert!(is_over(&watched, Some(seconds(900))));
        // It was begun anew there.
        watched.look(0, Ok(Some(done(1))));
        tokio::time::advance(seconds(10)).await;
        watched.look(0, Ok(Some(done(11))));
        assert!(!is_over(&watched, Some(seconds(990))) && is_over(&watched, Some(seconds(980))));
        // However far it says that it is, some of the time is for others.
        tokio::time::advance(seconds(1800)).await;
        watched.look(0, Ok(Some(done(999))));
        assert!(is_over(&watched, None));
    }

    #[test]
    fn work_elsewhere_is_waited_for_as_long_as_it_can_still_be_done_here() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(40), None), seconds(20));
        assert_eq!(patience(seconds(42), Some(seconds(4))), seconds(28));
        assert_eq!(patience(seconds(40), Some(seconds(10))), seconds(25));
        assert_eq!(patience(seconds(40), Some(seconds(20))), seconds(20), "never less than half of the time");
        assert_eq!(patience(seconds(24 * 3600), None), PATIENCE_MIN);
        assert_eq!(patience(seconds(24 * 3600), Some(seconds(1))), PATIENCE_MIN);
        assert_eq!(patience(seconds(24 * 3600), Some(seconds(60))), seconds(600));
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for_and_what_does_not_is_not() {
        type Answer = fn(u64) -> Result<Option<Progress>, String>;
        let cases: [(&str, Answer, bool); 5] = [
            ("gets on", |moved| Ok(Some(Progress { moved, waits: false, part: None })), false),
            ("waits in its queue", |_| Ok(Some(Progress { moved: 0, waits: true, part: None })), false),
            ("hangs", |_| Ok(Some(Progress { moved: 7, waits: false, part: None })), true),
            ("has no such work", |_| Ok(None), true),
            ("says nothing", |_| Err("no answer".to_owned()), true),
        ];
        for (what, answer, stalls) in cases {
            let mut watched = Watched::new();
            for look in 0..10 {
                tokio::time::advance(LOOK_INTERVAL).await;
                watched.look(0, answer(look));
            }
            assert_eq!(watched.has_stalled(), stalls, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_held_up_itself_blames_nobody() {
        let mut watched = Watched::new();
        tokio::time::advance(STALLED_AFTER * 10).await;
        watched.look(0, Err("no answer".to_owned()));
        assert!(!watched.has_stalled());
    }
}
