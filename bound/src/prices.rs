//! The bound for long traces, without a solver: prices for the nodes' time.
//!
//! Put a price on the time of each group of equal nodes in each bucket. A job then pays, at the least, what its cheapest part of time
//! costs it, latency and price together; all jobs together pay no more than their latencies and the whole of the nodes' time at its
//! price (weak duality). So *whatever* the prices are, what the jobs pay at the least, less the price of all time, is no greater than
//! the sum of latencies of any schedule. Good prices are found by going up the subgradient; how far that gets decides how good the
//! bound is, and not whether it is one.
//!
//! The program that this is the dual of is the one of [`super::program`], without the rule that a job is in one place at a time, and
//! with a cost of each part that has both of its rules for latencies in it: a job of work `p` that is done between `s` and `s + p`,
//! both counted from when it could be at the node at the earliest, pays for the moment `a` its ways and `p * (1 + floor(a / p))`. On
//! average over its work that is its latency exactly: ways `+ s + p`; and no moment costs less than ways `+ p`.
//!
//! Source: Lagrangian relaxation and the subgradient method (Held, Wolfe and Crowder, "Validation of subgradient optimization",
//! Mathematical Programming 6, 1974).

use super::{Trace, TraceJob};

/// Steps of the ascent.
const STEPS: usize = 400;
/// Steps after which the stride is halved, where the bound has not become better meanwhile.
const PATIENCE: usize = 12;
/// Strides below this change the bound by nothing that matters.
const STRIDE_MIN: f64 = 1.0 / 4096.0;

/// Nodes between which no job can tell a difference: their time is one.
#[derive(Clone, Debug)]
struct Group {
    /// The first of them, which stands for all.
    node: usize,
    workers: f64,
}

/// Even buckets of the time of all groups.
#[derive(Debug)]
pub(super) struct Market<'a> {
    trace: &'a Trace,
    groups: Vec<Group>,
    /// Of each job what it is at each group, one after the other: the search goes through all of them again and again.
    ways: Vec<Way>,
    bucket_s: f64,
    buckets: usize,
}

/// A job at a group of nodes. Seconds.
#[derive(Clone, Copy, Debug)]
struct Way {
    work: f64,
    /// There and back.
    ways: f64,
    /// When it could be there at the earliest.
    ready: f64,
}

impl<'a> Market<'a> {
    /// `buckets` of them, from the first arrival to the end of a schedule that keeps no worker idle while a job waits for it.
    pub(super) fn new(trace: &'a Trace, buckets: usize) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (node, spec) in trace.nodes.iter().enumerate() {
            let alike = |group: &&mut Group| {
                trace.jobs.iter().all(|job| {
                    [&job.work_s, &job.there_s, &job.back_s]
                        .iter()
                        .all(|times| times[node].to_bits() == times[group.node].to_bits())
                })
            };
            let workers = f64::from(spec.workers);
            match groups.iter_mut().find(alike) {
                Some(group) => group.workers += workers,
                None => groups.push(Group { node, workers }),
            }
        }
        let (even_s, _) = trace.horizons();
        let buckets = buckets.max(1);
        let way = |job: &TraceJob, Group { node, .. }: &Group| Way {
            work: job.work_s[*node],
            ways: job.there_s[*node] + job.back_s[*node],
            ready: job.arrival_s + job.there_s[*node],
        };
        let ways =
            trace.jobs.iter().flat_map(|job| groups.iter().map(move |group| way(job, group))).collect();
        Self { trace, groups, ways, bucket_s: (even_s / buckets as f64).max(1e-9), buckets }
    }

    /// Work that a group can do in a bucket, in seconds of a worker.
    fn capacity(&self, group: usize) -> f64 {
        self.groups[group].workers * self.bucket_s
    }

    fn places(&self) -> usize {
        self.groups.len() * self.buckets
    }

    /// No schedule that serves so many requests has a smaller sum of latencies.
    pub(super) fn least_latency_s(&self, served: usize) -> f64 {
        // With no price each job takes its shortest time.
        let none = vec![0.0; self.places()];
        let first = self.value_of_latencies(&none, &mut none.clone(), served);
        self.ascend(first.max(1e-9), |prices, used| self.value_of_latencies(prices, used, served))
    }

    /// No schedule does more jobs in time.
    pub(super) fn most_in_time(&self) -> f64 {
        // The same upside down: what jobs are worth, less what they pay.
        let count = self.trace.jobs.len() as f64;
        let best = self.ascend(count.max(1.0), |prices, used| -self.value_of_successes(prices, used));
        (-best).min(count) + self.trace.fixed_s.len() as f64
    }

    /// What the `served` jobs that pay the least pay at these prices, less the price of all time. `used` is told the time that they take
    /// for it.
    fn value_of_latencies(&self, prices: &[f64], used: &mut [f64], served: usize) -> f64 {
        let fixed = self.trace.fixed_s.iter().map(|latency| (*latency, None));
        let mut paid: Vec<(f64, Option<(usize, f64)>)> = self
            .ways
            .chunks(self.groups.len().max(1))
            .map(|ways| self.cheapest(ways, prices))
            .chain(fixed)
            .collect();
        if served == 0 {
            return 0.0;
        }
        if served < paid.len() {
            paid.select_nth_unstable_by(served - 1, |a, b| a.0.total_cmp(&b.0));
            paid.truncate(served);
        }
        used.fill(0.0);
        for (place, work) in paid.iter().filter_map(|(_, place)| *place) {
            used[place] += work;
        }
        paid.iter().map(|(pays, _)| pays).sum::<f64>() - self.worth(prices)
    }

    /// What a job with these ways pays at the least, for which place among the prices, and how much time it takes there.
    fn cheapest(&self, ways: &[Way], prices: &[f64]) -> (f64, Option<(usize, f64)>) {
        let (mut least, mut at) = (f64::INFINITY, None);
        for (number, Way { work, ways, ready }) in ways.iter().enumerate() {
            let row = &prices[number * self.buckets..(number + 1) * self.buckets];
            let first = self.bucket_of(*ready);
            // The cheapest moment of a bucket is its first. What it costs but for its price grows in steps, one for each time that the
            // work takes; `next`: how long a job has waited at the next one.
            let (mut cost, mut next) = (ways + work, *work);
            let mut step = |bucket: usize| {
                let waited = (bucket as f64 * self.bucket_s - ready).max(0.0);
                if waited >= next {
                    // As `floor`, of what is not negative.
                    let times = ((waited / work) as u64) as f64;
                    (cost, next) = (ways + work * (1.0 + times), work * (1.0 + times));
                }
                cost
            };
            let mut is_over = false;
            for (bucket, price) in row.iter().enumerate().skip(first) {
                let cost = step(bucket);
                if cost >= least {
                    is_over = true;
                    break;
                }
                let pays = cost + price * work;
                if pays < least {
                    (least, at) = (pays, Some((number * self.buckets + bucket, *work)));
                }
            }
            // After the last bucket time is free.
            if !is_over && step(self.buckets) < least {
                (least, at) = (step(self.buckets), None);
            }
        }
        (least, at)
    }

    /// What the jobs gain at the most at these prices, where one done in time is worth 1, and the price of all time.
    fn value_of_successes(&self, prices: &[f64], used: &mut [f64]) -> f64 {
        used.fill(0.0);
        let mut value = 0.0;
        for job in &self.trace.jobs {
            let (mut most, mut at) = (0.0, None);
            for (number, group) in self.groups.iter().enumerate() {
                let node = group.node;
                let work = job.work_s[node];
                let ready = job.arrival_s + job.there_s[node];
                let until = job.allowed_s.map(|allowed| job.arrival_s + allowed - job.back_s[node] + 1e-9);
                if until.is_some_and(|until| until - ready + 1e-9 < work) {
                    continue;
                }
                let last = until.map_or(usize::MAX, |until| self.bucket_of(until));
                if last >= self.buckets {
                    // After the last bucket time is free.
                    (most, at) = (1.0, None);
                    break;
                }
                let row = &prices[number * self.buckets..(number + 1) * self.buckets];
                for (bucket, price) in row.iter().enumerate().take(last + 1).skip(self.bucket_of(ready)) {
                    let gains = 1.0 - price * work;
                    if gains > most {
                        (most, at) = (gains, Some((number, bucket)));
                        if most >= 1.0 {
                            // Nothing is better than time that is free.
                            break;
                        }
                    }
                }
                if most >= 1.0 {
                    break;
                }
            }
            value += most;
            if let Some((group, bucket)) = at {
                used[group * self.buckets + bucket] += job.work_s[self.groups[group].node];
            }
        }
        value + self.worth(prices)
    }

    fn bucket_of(&self, moment_s: f64) -> usize {
        (moment_s / self.bucket_s) as usize
    }

    fn worth(&self, prices: &[f64]) -> f64 {
        let rows = prices.chunks(self.buckets).enumerate();
        rows.map(|(group, row)| self.capacity(group) * row.iter().sum::<f64>()).sum()
    }

    /// The greatest value that is found, going up from no price at all. `value` is concave in the prices, and tells the time that is
    /// used: where that is more than there is, the price goes up.
    fn ascend(&self, scale: f64, value: impl Fn(&[f64], &mut [f64]) -> f64) -> f64 {
        let mut prices = vec![0.0; self.places()];
        let mut used = vec![0.0; self.places()];
        let mut best = value(&prices, &mut used);
        let (mut best_prices, mut stride, mut stuck) = (prices.clone(), 1.0, 0);
        for _ in 0..STEPS {
            // Polyak's step, to a value that is taken to be this much better than the best one so far.
            let excess: Vec<f64> = used
                .iter()
                .enumerate()
                .map(|(place, used)| used - self.capacity(place / self.buckets))
                .collect();
            let moves = |(excess, price): (&f64, &f64)| {
                if *price > 0.0 || *excess > 0.0 { excess * excess } else { 0.0 }
            };
            let norm: f64 = excess.iter().zip(&prices).map(moves).sum();
            if norm <= 0.0 {
                // No price wants to change: it is the optimum.
                break;
            }
            let step = stride * 0.1 * scale.max(best.abs()) / norm;
            for (price, excess) in prices.iter_mut().zip(&excess) {
                *price = (*price + step * excess).max(0.0);
            }
            let now = value(&prices, &mut used);
            if now > best {
                best = now;
                best_prices.clone_from(&prices);
                stuck = 0;
            } else {
                stuck += 1;
                if stuck >= PATIENCE {
                    (stride, stuck) = (stride / 2.0, 0);
                    if stride < STRIDE_MIN {
                        break;
                    }
                    prices.clone_from(&best_prices);
                    value(&prices, &mut used);
                }
            }
        }
        best
    }
}
