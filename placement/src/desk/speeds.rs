//! What jobs cost here, learned of each client apart: what one sends makes nobody else's jobs look longer or shorter.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::belief::Speed;
use super::speed::Book;
use crate::content::ClientTag;
use crate::profile::ProfileName;

/// Clients that are learned of; beyond, the one that was heard of longest ago is forgotten.
const CLIENTS_MAX: usize = 64;
/// What so many others have taught counts for a client of which nothing was learned; what one alone has taught does not.
const OTHERS_MIN: usize = 2;
/// So many clients tell by their differences how far their median is to be believed.
const CLIENTS_TELLING: usize = 3;
/// How much greater the error of a median is than that of a mean, of values that are normal: the root of half of pi.
const MEDIAN_BESIDE_MEAN: f64 = 1.2533;

/// What was learned, by client.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    by_client: BTreeMap<ClientTag, Learned>,
    /// That of most clients, worked out with each job that ends: it is asked for far more often.
    speed: Option<Speed>,
    /// The same of a mean job's time, and how many clients tell one; while that does not change by itself.
    steady: Option<(Option<Duration>, usize)>,
    /// Jobs that were learned of.
    learned: u64,
}

/// What was last said of one job's time, and after how many jobs that were learned of: a line of jobs is looked at far more often than
/// one of them ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo(Cell<Option<(u64, Option<Duration>)>>);

#[derive(Debug)]
struct Learned {
    book: Book,
    at: Instant,
}

/// A learned time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) time: Duration,
    /// Learned of this client's own jobs, all of which were done: what it says may be final.
    pub(super) sure: bool,
}

impl Speeds {
    /// Takes in one finished job: see [`Book::learn`].
    pub(super) fn learn(
        &mut self,
        client: ClientTag,
        profile: &ProfileName,
        work_pixels: u64,
        took: Duration,
        now: Instant,
    ) {
        self.book(client, now).learn(profile, work_pixels, took, now);
        self.has_learned(now);
    }

    /// Takes in a job that was ended at its deadline: see [`Book::learn_unfinished`].
    pub(super) fn learn_unfinished(
        &mut self,
        client: ClientTag,
        (profile, work_pixels): (&ProfileName, u64),
        ran: Duration,
        part: Option<f64>,
        now: Instant,
    ) {
        self.book(client, now).learn_unfinished(profile, work_pixels, ran, part, now);
        self.has_learned(now);
    }

    fn has_learned(&mut self, now: Instant) {
        self.learned += 1;
        self.speed = self.speed_of_most();
        let is_steady = self.by_client.values().all(|learned| learned.book.is_steady());
        self.steady = is_steady.then(|| {
            let times: Vec<_> = self.services(now).collect();
            let telling = times.len();
            (median(times), telling)
        });
    }

    /// What each client's jobs take that tells.
    fn services(&self, now: Instant) -> impl Iterator<Item = Duration> {
        self.by_client.values().filter_map(move |learned| learned.book.service(now))
    }

    fn book(&mut self, client: ClientTag, now: Instant) -> &mut Book {
        if self.by_client.len() >= CLIENTS_MAX && !self.by_client.contains_key(&client) {
            let oldest =
                self.by_client.iter().min_by_key(|(_, learned)| learned.at).map(|(client, _)| *client);
            oldest.map(|client| self.by_client.remove(&client));
        }
        let learned =
            self.by_client.entry(client).or_insert_with(|| Learned { book: Book::default(), at: now });
        learned.at = now;
        &mut learned.book
    }

    /// How long this job would keep a worker, once enough was learned to tell.
    pub(super) fn estimate(
        &self,
        client: ClientTag,
        profile: &ProfileName,
        work_pixels: u64,
        now: Instant,
    ) -> Option<Known> {
        let time = self.time(client, profile, work_pixels, now)?;
        let own = self.by_client.get(&client);
        let sure = work_pixels > 0 && own.is_some_and(|own| own.book.is_sure(profile, now));
        Some(Known { time, sure })
    }

    /// The same without its being sure.
    pub(super) fn time(
        &self,
        client: ClientTag,
        profile: &ProfileName,
        work_pixels: u64,
        now: Instant,
    ) -> Option<Duration> {
        self.ask(client, |book| book.estimate(profile, work_pixels, now))
    }

    /// The same for a job that keeps in mind what was said.
    pub(super) fn time_by(
        &self,
        memo: &Memo,
        (client, profile, work_pixels): (ClientTag, &ProfileName, u64),
        now: Instant,
    ) -> Option<Duration> {
        if self.steady.is_none() {
            return self.time(client, profile, work_pixels, now);
        }
        if let Some((learned, time)) = memo.0.get()
            && learned == self.learned
        {
            return time;
        }
        let time = self.time(client, profile, work_pixels, now);
        memo.0.set(Some((self.learned, time)));
        time
    }

    /// The standard error of what such jobs of this client take, as a part of it; none where too few of its own were done to tell.
    pub(super) fn error(&self, client: ClientTag, profile: &ProfileName) -> Option<f64> {
        self.by_client.get(&client)?.book.error(profile)
    }

    /// Mean time of one job of this profile, once enough of them were done.
    pub(super) fn usual(&self, client: ClientTag, profile: &ProfileName, now: Instant) -> Option<Duration> {
        self.ask(client, |book| book.usual(profile, now))
    }

    /// Mean time of one of this client's jobs.
    pub(super) fn mean(&self, client: ClientTag, now: Instant) -> Option<Duration> {
        let Some((most, telling)) = self.steady else { return self.ask(client, |book| book.service(now)) };
        let own = self.by_client.get(&client).and_then(|learned| learned.book.service(now));
        own.or_else(|| most.filter(|_| telling >= OTHERS_MIN))
    }

    /// Mean time of one job, as jobs go now: that of most clients.
    pub(super) fn service(&self, now: Instant) -> Option<Duration> {
        self.steady.map_or_else(|| median(self.services(now).collect()), |(most, _)| most)
    }

    /// Pixels of work a second, over all profiles: that of most clients.
    pub(super) const fn speed(&self) -> Option<Speed> {
        self.speed
    }

    fn speed_of_most(&self) -> Option<Speed> {
        let mut speeds: Vec<Speed> =
            self.by_client.values().filter_map(|learned| learned.book.speed()).collect();
        speeds.sort_by(|a, b| a.pixels_per_s.total_cmp(&b.pixels_per_s));
        let middle = *middle(&speeds)?;
        // How far clients lie from each other says more than how far one client's jobs do.
        let error =
            if speeds.len() < CLIENTS_TELLING { middle.error } else { Some(error_of_median(&speeds)) };
        Some(Speed { error, ..middle })
    }

    /// What was learned of this client, else what most others have taught.
    fn ask<T: PartialOrd + Copy>(
        &self,
        client: ClientTag,
        question: impl Fn(&Book) -> Option<T>,
    ) -> Option<T> {
        let own = self.by_client.get(&client).and_then(|learned| question(&learned.book));
        own.or_else(|| {
            let others: Vec<T> =
                self.by_client.values().filter_map(|learned| question(&learned.book)).collect();
            (others.len() >= OTHERS_MIN).then(|| median(others)).flatten()
        })
    }
}

/// The one in the middle; of two the smaller, so that in doubt a job is tried.
fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    middle(&values).copied()
}

fn middle<T>(sorted: &[T]) -> Option<&T> {
    sorted.get(sorted.len().saturating_sub(1) / 2)
}

/// The standard error of the median of these, as a part of it.
fn error_of_median(speeds: &[Speed]) -> f64 {
    let count = speeds.len() as f64;
    let logs = || speeds.iter().map(|speed| speed.pixels_per_s.ln());
    let mean = logs().sum::<f64>() / count;
    let variance = logs().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (variance / count).sqrt() * MEDIAN_BESIDE_MEAN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::start;

    const SECOND: Duration = Duration::from_secs(1);

    fn profile() -> ProfileName {
        "p".parse().unwrap()
    }

    /// Ten jobs of `client`, each of 1,000 pixels in `took`.
    fn ten(speeds: &mut Speeds, client: u64, took: Duration) {
        for _ in 0..10 {
            speeds.learn(ClientTag(client), &profile(), 1_000, took, start());
        }
    }

    fn estimate(speeds: &Speeds, client: u64) -> Option<Known> {
        speeds.estimate(ClientTag(client), &profile(), 1_000, start())
    }

    #[test]
    fn one_client_alone_moves_no_speed_of_another() {
        let mut speeds = Speeds::default();
        ten(&mut speeds, 1, 3_000 * SECOND);
        assert_eq!(estimate(&speeds, 2), None);
        assert_eq!(speeds.mean(ClientTag(2), start()), None);
        ten(&mut speeds, 2, SECOND);
        assert_eq!(estimate(&speeds, 2), Some(Known { time: SECOND, sure: true }));
        ten(&mut speeds, 1, 3_000 * SECOND);
        assert_eq!(estimate(&speeds, 2), Some(Known { time: SECOND, sure: true }));
        assert_eq!(estimate(&speeds, 1), Some(Known { time: 3_000 * SECOND, sure: true }));
        let unfinished = |speeds: &mut Speeds, client| {
            let work = (&profile(), 1_000);
            speeds.learn_unfinished(ClientTag(client), work, 10 * SECOND, None, start());
        };
        unfinished(&mut speeds, 1);
        assert_eq!(estimate(&speeds, 2), Some(Known { time: SECOND, sure: true }));
        // What its own jobs did not end in time says is in doubt.
        unfinished(&mut speeds, 2);
        assert!(estimate(&speeds, 2).is_some_and(|known| known.time > SECOND && !known.sure));
    }

    #[test]
    fn most_others_teach_what_a_newcomers_jobs_take_and_never_for_sure() {
        let mut speeds = Speeds::default();
        ten(&mut speeds, 1, 3_000 * SECOND);
        ten(&mut speeds, 2, 2 * SECOND);
        assert_eq!(
            estimate(&speeds, 9),
            Some(Known { time: 2 * SECOND, sure: false }),
            "in doubt it is tried"
        );
        ten(&mut speeds, 3, SECOND);
        assert_eq!(estimate(&speeds, 9), Some(Known { time: 2 * SECOND, sure: false }));
        assert_eq!(speeds.service(start()), Some(2 * SECOND));
        assert!(speeds.speed().is_some_and(|speed| (speed.pixels_per_s - 500.0).abs() < 1e-6));
    }

    #[test]
    fn clients_whose_jobs_differ_tell_how_far_their_median_is_to_be_believed() {
        let error = |seconds: &[u32]| {
            let mut speeds = Speeds::default();
            for (client, seconds) in (0..).zip(seconds) {
                ten(&mut speeds, client, *seconds * SECOND);
            }
            speeds.speed().map(|speed| speed.error)
        };
        assert_eq!(error(&[]), None);
        assert_eq!(error(&[5]), Some(Some(0.0)), "one client's jobs were all alike");
        assert_eq!(error(&[5, 5, 5]), Some(Some(0.0)));
        let [few, many] = [error(&[4, 5, 6]), error(&[4, 5, 6].repeat(10))].map(|of| of.unwrap().unwrap());
        assert!(few > 0.1 && many < few / 3.0, "{few} {many}");
        let mut speeds = Speeds::default();
        speeds.learn(ClientTag(1), &profile(), 1_000, SECOND, start());
        assert!(speeds.speed().is_some_and(|speed| speed.error.is_none()), "one job");
        assert_eq!(speeds.error(ClientTag(2), &profile()), None);
    }

    #[test]
    fn clients_that_were_not_heard_of_for_long_are_forgotten() {
        let mut speeds = Speeds::default();
        for client in 0..1_000 {
            ten(&mut speeds, client, SECOND);
        }
        assert_eq!(speeds.by_client.len(), CLIENTS_MAX);
        assert!(speeds.by_client.contains_key(&ClientTag(999)));
    }

    proptest! {
        /// Whatever is learned meanwhile, and however much of it is forgotten with time.
        #[test]
        fn what_is_kept_in_mind_is_what_is_worked_out_anew(
            steps in prop::collection::vec((1u64..4, 1u32..20, any::<bool>(), 0u32..30), 1..40),
        ) {
            let (mut speeds, profile, memo, mut now) = (Speeds::default(), profile(), Memo::default(), start());
            for (client, seconds, is_done, passes) in steps {
                let (client, took) = (ClientTag(client), SECOND * seconds);
                if is_done {
                    speeds.learn(client, &profile, 1_000, took, now);
                } else {
                    speeds.learn_unfinished(client, (&profile, 1_000), took, None, now);
                }
                for _ in 0..2 {
                    let of = (ClientTag(1), &profile, 1_000);
                    prop_assert_eq!(speeds.time_by(&memo, of, now), speeds.time(of.0, of.1, of.2, now));
                    prop_assert_eq!(speeds.service(now), median(speeds.services(now).collect()));
                    for client in (1..5).map(ClientTag) {
                        prop_assert_eq!(speeds.mean(client, now), speeds.ask(client, |book| book.service(now)));
                    }
                    now += SECOND * passes;
                }
            }
        }
    }
}
