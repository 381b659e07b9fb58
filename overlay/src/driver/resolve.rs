//! Seeds' names to addresses, again on each attempt.
//!
//! A name server may drop what it is asked, and then the system's resolver takes half a minute to say so, with no way to
//! stop it. So each name is looked up on a thread of its own, which nothing waits for: all names side by side, the answers
//! as they come, and a node that stops leaves the threads behind.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Answers that come within this time are tried together, and nothing is said of the wait.
const TOGETHER: Duration = Duration::from_millis(200);
/// A name that is not answered within this time does not resolve for now. Its lookup goes on.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Lookups at once.
const LOOKUPS_MAX: usize = 32;
/// What has changed is not said sooner after what was said before.
const CHANGED_MIN: Duration = Duration::from_secs(60);
/// What has not changed is said again after so long.
const AGAIN: Duration = Duration::from_secs(600);

/// Asks the system's resolver, and blocks until it has answered.
type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The addresses of one seed, or why there are none.
type Found = Result<Vec<SocketAddr>, String>;

struct Seed {
    name: String,
    /// It needs no lookup.
    literal: Option<SocketAddr>,
    /// Since when a lookup is under way.
    asked: Option<Instant>,
    /// The last answer; none before the first.
    found: Option<Found>,
    /// The answer is new, and not yet told to the state machine.
    fresh: bool,
    said: Said,
}

/// The seeds, and the lookups of their names.
pub(super) struct Seeds {
    all: Vec<Seed>,
    lookup: Lookup,
    answer_time_max: Duration,
    /// Names that wait until fewer lookups are under way.
    queue: VecDeque<usize>,
    answer: mpsc::Sender<(usize, Found)>,
    answers: mpsc::Receiver<(usize, Found)>,
    /// When the attempt began whose first answers are still to be told.
    begun: Option<Instant>,
    /// Whether it was said of this attempt that it waits.
    waiting_told: Option<Instant>,
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeds").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Seeds {
    pub fn new(names: Vec<String>) -> Self {
        Self::with_lookup(names, Arc::new(|name| Ok(name.to_socket_addrs()?.collect())), ANSWER_TIME_MAX)
    }

    fn with_lookup(names: Vec<String>, lookup: Lookup, answer_time_max: Duration) -> Self {
        let seed = |name: String| Seed {
            literal: name.parse().ok(),
            name,
            asked: None,
            found: None,
            fresh: false,
            said: Said::default(),
        };
        // Each seed has one lookup at most, so that the channel is never full.
        let (answer, answers) = mpsc::channel(names.len().max(1));
        Self {
            all: names.into_iter().map(seed).collect(),
            lookup,
            answer_time_max,
            queue: VecDeque::new(),
            answer,
            answers,
            begun: None,
            waiting_told: None,
        }
    }

    pub fn names(&self) -> Vec<&str> {
        self.all.iter().map(|seed| seed.name.as_str()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether all names resolved when they were last looked up.
    pub fn all_resolve(&self) -> bool {
        self.all.iter().all(|seed| matches!(seed.found, Some(Ok(_))))
    }

    /// All addresses that are known of the seeds.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        unique(self.all.iter())
    }

    /// Begins an attempt: looks up every name that is not being looked up yet.
    pub fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        for index in 0..self.all.len() {
            let seed = &mut self.all[index];
            if let Some(address) = seed.literal {
                seed.found = Some(Ok(vec![address]));
                seed.fresh = true;
            } else if seed.asked.is_none() && !self.queue.contains(&index) {
                self.queue.push_back(index);
            } else if let Some(Ok(_)) = seed.found {
                // Its lookup hangs: the addresses that it had are better than none.
                seed.fresh = true;
            }
        }
        self.look_up(now);
    }

    fn look_up(&mut self, now: Instant) {
        while self.under_way() < LOOKUPS_MAX
            && let Some(index) = self.queue.pop_front()
        {
            let seed = &mut self.all[index];
            seed.asked = Some(now);
            let (name, lookup, answers) = (seed.name.clone(), self.lookup.clone(), self.answer.clone());
            let ask = move || {
                let found = lookup(&name).map_err(|error| error.to_string());
                // Nobody is there to hear it once the node has stopped.
                drop(answers.blocking_send((index, found)));
            };
            if let Err(error) = std::thread::Builder::new().name("lookup".into()).spawn(ask) {
                self.note(index, Err(error.to_string()));
            }
        }
    }

    fn under_way(&self) -> usize {
        self.all.iter().filter(|seed| seed.asked.is_some()).count()
    }

    fn note(&mut self, index: usize, found: Found) {
        let seed = &mut self.all[index];
        seed.asked = None;
        seed.fresh |= found.is_ok();
        seed.found = Some(found);
    }

    /// Waits until there are addresses to try: those of all seeds, or of those that have been answered while others let
    /// wait for them. Loses nothing when it is dropped. Never ends while no attempt is under way.
    pub async fn next(&mut self) -> Vec<SocketAddr> {
        loop {
            let now = Instant::now();
            self.tell(now);
            if let Some(addresses) = self.take(now) {
                return addresses;
            }
            let wake = self.wake(now);
            tokio::select! {
                Some((index, found)) = self.answers.recv() => {
                    self.note(index, found);
                    self.look_up(Instant::now());
                }
                () = super::task::sleep_until(wake) => {}
            }
        }
    }

    /// What is to be tried now.
    fn take(&mut self, now: Instant) -> Option<Vec<SocketAddr>> {
        let all = self.under_way() == 0 && self.queue.is_empty();
        let fresh = self.all.iter().any(|seed| seed.fresh);
        let together = self.begun.is_none_or(|begun| now - begun >= TOGETHER);
        // An attempt that found nothing is told as well: what follows from it is up to the caller.
        let told = if all { self.begun.is_some() || fresh } else { fresh && together };
        if !told {
            return None;
        }
        if all {
            self.waiting_told = None;
        }
        self.begun = None;
        let addresses = unique(self.all.iter().filter(|seed| seed.fresh));
        self.all.iter_mut().for_each(|seed| seed.fresh = false);
        Some(addresses)
    }

    /// When to look again, if no answer comes before.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let patience = self.answer_time_max;
        let together = self.begun.map(|begun| begun + TOGETHER);
        let late = self
            .all
            .iter()
            .filter_map(|seed| seed.asked)
            .flat_map(move |asked| [asked + TOGETHER, asked + patience]);
        together.into_iter().chain(late).filter(|at| *at > now).min()
    }

    /// Says what is being waited for, and which names do not resolve.
    fn tell(&mut self, now: Instant) {
        let late = |seed: &&Seed| seed.asked.is_some_and(|asked| now - asked >= TOGETHER);
        let waiting: Vec<_> = self.all.iter().filter(late).map(|seed| seed.name.as_str()).collect();
        if !waiting.is_empty() && self.waiting_told.is_none() {
            tracing::warn!(
                target: "starling::overlay",
                seeds = waiting.join(","),
                "waiting for the name server: the seeds' names are looked up; all else goes on"
            );
            self.waiting_told = Some(now);
        }
        let patience = self.answer_time_max;
        for seed in &mut self.all {
            if seed.asked.is_some_and(|asked| now - asked >= patience) {
                seed.said.tell(now, &seed.name, Some(&format!("no answer within {patience:?}")));
            } else if let (None, Some(found)) = (seed.asked, &seed.found) {
                seed.said.tell(now, &seed.name, found.as_ref().err().map(String::as_str));
            }
        }
    }
}

fn unique<'a>(seeds: impl Iterator<Item = &'a Seed>) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    let found = seeds.filter_map(|seed| seed.found.as_ref()?.as_ref().ok()).flatten();
    found.copied().filter(|address| seen.insert(*address)).collect()
}

/// What was last said of a seed's name; nothing, as long as it has always resolved.
#[derive(Clone, Debug, Default)]
struct Said {
    error: Option<String>,
    at: Option<Instant>,
}

impl Said {
    /// Whether to say how it is now.
    fn is_due(&self, now: Instant, error: Option<&str>) -> bool {
        let changed = self.error.as_deref() != error;
        let interval = if changed { CHANGED_MIN } else { AGAIN };
        (changed || error.is_some()) && self.at.is_none_or(|at| now - at >= interval)
    }

    /// Says that a name does not resolve, or does again: the first time, when that changes, and now and then.
    fn tell(&mut self, now: Instant, seed: &str, error: Option<&str>) {
        if !self.is_due(now, error) {
            return;
        }
        *self = Self { error: error.map(str::to_owned), at: Some(now) };
        if let Some(error) = error {
            tracing::warn!(
                target: "starling::overlay",
                %seed,
                %error,
                "the seed's name does not resolve; it is tried again. Check --join and the resolver"
            );
        } else {
            tracing::info!(target: "starling::overlay", %seed, "the seed's name resolves again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    use parking_lot::{Condvar, Mutex};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn names_that_do_not_resolve_are_told_beside_those_that_do() {
        // No port: that is refused without asking any resolver.
        let mut seeds = Seeds::new(["127.0.0.1:7000", "nowhere", "[::1]:7000"].map(String::from).into());
        seeds.begin(Instant::now());
        assert_eq!(seeds.next().await, [address("127.0.0.1:7000"), address("[::1]:7000")]);
        assert!(!seeds.all_resolve());
        let found: Vec<_> = seeds.all.iter().map(|seed| matches!(seed.found, Some(Ok(_)))).collect();
        assert_eq!(found, [true, false, true]);
    }

    /// A name server that drops what it is asked holds up nobody: not the other seeds, not the node's end.
    #[tokio::test]
    async fn a_name_server_that_never_answers_holds_up_no_other_seed() {
        let dropped = Arc::new((Mutex::new(false), Condvar::new(), AtomicUsize::new(0)));
        let server = Arc::clone(&dropped);
        let lookup = move |name: &str| {
            if name.starts_with("good") {
                return Ok(vec![address("10.0.0.2:5000")]);
            }
            server.2.fetch_add(1, Ordering::SeqCst);
            server.1.wait_while(&mut server.0.lock(), |over| !*over);
            Ok(vec![address("10.0.0.3:5000")])
        };
        let names = ["dropped:1", "good:1", "10.0.0.1:5000", "dropped:2"].map(String::from);
        let mut seeds = Seeds::with_lookup(names.into(), Arc::new(lookup), Duration::from_millis(300));
        let mut tried = BTreeSet::new();
        let asked = || dropped.2.load(Ordering::SeqCst);
        while tried.len() < 2 || seeds.all[0].said.error.is_none() || asked() < 2 {
            seeds.begin(Instant::now());
            tried.extend(seeds.next().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(tried, BTreeSet::from([address("10.0.0.1:5000"), address("10.0.0.2:5000")]));
        assert!(seeds.waiting_told.is_some(), "it is said what is waited for");
        assert_eq!(seeds.all[0].said.error.as_deref(), Some("no answer within 300ms"));
        assert_eq!(asked(), 2, "a name is looked up once at a time");
        // The answer comes after all, and is tried at once.
        *dropped.0.lock() = true;
        dropped.1.notify_all();
        while !tried.contains(&address("10.0.0.3:5000")) {
            tried.extend(seeds.next().await);
        }
    }

    #[test]
    fn an_error_is_said_at_once_then_rarely_and_when_it_changes() {
        let mut said = Said::default();
        let begin = Instant::now();
        let mut told = |seconds: std::ops::Range<u64>, error: Option<&str>| -> Vec<u64> {
            let mut told = Vec::new();
            for second in seconds {
                let now = begin + Duration::from_secs(second);
                if said.is_due(now, error) {
                    said = Said { error: error.map(str::to_owned), at: Some(now) };
                    told.push(second);
                }
            }
            told
        };
        assert!(told(0..10, None).is_empty(), "a name that resolves is nothing to speak of");
        assert_eq!(told(10..1000, Some("unknown")), [10, 610]);
        assert_eq!(told(1000..1010, Some("no server")), [1000]);
        assert!(told(1010..1020, Some("unknown")).is_empty(), "not more than once a minute");
        assert_eq!(told(1020..1100, None), [1060], "that it resolves again is said once");
        assert!(told(1100..1110, None).is_empty());
        assert_eq!(told(1110..1200, Some("unknown")), [1120]);
    }
}
