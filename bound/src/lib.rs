//! What no schedule can beat: a bound on the mean latency, and on the part of jobs done in time, of one recorded trace.
//!
//! A linear program assigns parts of jobs to nodes and buckets of time: `x[i][j][t]` is the part of job `j` that node `i` does in
//! bucket `t`. Every job is done in full; a node does no more in a bucket than its workers can; a job is in one place at a time, with
//! one worker; nothing is done before a job's arrival and its way to the node. A job without interruption on one worker satisfies
//! all of it, so that the program's optimum is no greater than the sum of latencies of any schedule whose jobs are not interrupted.
//!
//! The latency of a job in such a schedule is `s + p - r + back` (begin, work, arrival, way back), which is the mean time of its
//! work, plus half of its work, less `r`, plus `back`. In the program the mean time is that of the parts, each taken at the begin of
//! its bucket, so that buckets of any length give a bound, and shorter ones a better one. No latency is less than way there, work and
//! way back at the nodes that do the parts.
//!
//! Source: the time-indexed relaxation for flow time on unrelated machines (Schulz and Skutella, "Scheduling Unrelated Machines by
//! Randomized Rounding", SIAM J. Discrete Math. 15(4), 2002; Anand, Garg, Kumar, SODA 2012).

mod prices;
#[cfg(feature = "solver")]
mod program;
#[cfg(all(test, feature = "solver"))]
mod tests;

use serde::{Deserialize, Serialize};

/// Jobs, nodes and buckets of a program for the solver, multiplied, at the most: the simplex method takes minutes beyond.
pub const VARIABLES_MAX: usize = 30_000;

/// A node of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceNode {
    /// Jobs that it does at once.
    pub workers: u32,
}

/// A job of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceJob {
    /// When it arrives, in seconds from the begin.
    pub arrival_s: f64,
    /// How long it keeps a worker, at each node, in the order of the nodes.
    pub work_s: Vec<f64>,
    /// By when its result is wanted, in seconds from its arrival; left out: whenever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_s: Option<f64>,
    /// The way of its input to each node.
    pub there_s: Vec<f64>,
    /// The way of its result back from each node.
    pub back_s: Vec<f64>,
}

/// What happened, or is to happen: which jobs came when, and which nodes there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The nodes.
    pub nodes: Vec<TraceNode>,
    /// The jobs.
    pub jobs: Vec<TraceJob>,
    /// Latencies of requests for which no work is done, such as those for what is made for another one. They are in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_s: Vec<f64>,
}

/// What no schedule can beat.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// No schedule has a smaller mean latency, in seconds, if as many jobs are done as was asked about: all, where it was not said.
    pub mean_latency_s: f64,
    /// No schedule does a greater part of the jobs in time.
    pub success_ratio: f64,
    /// Buckets of the program for the latency.
    pub buckets: usize,
}

/// Why there is no bound.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BoundError {
    /// The trace can't be what happened.
    #[error("the trace is not one: {0}")]
    Trace(String),
    /// The bucket is no length of time.
    #[error("a bucket has to last for more than 0 s and a finite time, not {0} s")]
    Bucket(f64),
    /// There would be too many variables.
    #[error(
        "{jobs} jobs on {nodes} nodes in {buckets} buckets are more than {VARIABLES_MAX} variables: take longer buckets, or \
         fewer jobs"
    )]
    TooLarge {
        /// Jobs.
        jobs: usize,
        /// Nodes.
        nodes: usize,
        /// Buckets.
        buckets: usize,
    },
    /// The solver gave up.
    #[error("the program was not solved: {0}")]
    Unsolved(String),
}

impl Trace {
    /// The bound, with buckets of this length: shorter ones give a better bound, and take longer.
    #[cfg(feature = "solver")]
    pub fn bound(&self, bucket_s: f64) -> Result<Bound, BoundError> {
        self.check()?;
        if !(bucket_s.is_finite() && bucket_s > 0.0) {
            return Err(BoundError::Bucket(bucket_s));
        }
        let buckets = self.buckets(bucket_s)?;
        let (count, fixed) = (self.requests().max(1) as f64, self.fixed_s.len() as f64);
        let latency_s = program::least_latency_s(self, &buckets)? + self.fixed_s.iter().sum::<f64>();
        Ok(Bound {
            mean_latency_s: latency_s / count,
            success_ratio: (program::most_in_time(self, &buckets)? + fixed) / count,
            buckets: buckets.len(),
        })
    }

    /// Requests, with and without work.
    pub fn requests(&self) -> usize {
        self.jobs.len() + self.fixed_s.len()
    }

    /// A bound without a solver, by prices for the nodes' time in so many buckets: for traces of thousands of jobs. It is one whatever
    /// prices are found; it may be a little below that of the solver, or above. `served`: how many of the requests are served in the
    /// schedules that it is for, whichever these are; the success ratio is of all.
    pub fn bound_by_prices(&self, buckets: usize, served: usize) -> Result<Bound, BoundError> {
        self.check()?;
        let market = prices::Market::new(self, buckets);
        let served = served.min(self.requests());
        Ok(Bound {
            mean_latency_s: market.least_latency_s(served) / served.max(1) as f64,
            success_ratio: market.most_in_time() / self.requests().max(1) as f64,
            buckets,
        })
    }

    /// The same of a schedule that there is, and that serves so many of the requests in time: where it serves all of them, no search is
    /// needed for how many could be.
    pub fn bound_of_schedule(&self, buckets: usize, served: usize) -> Result<Bound, BoundError> {
        if served < self.requests() {
            return self.bound_by_prices(buckets, served);
        }
        self.check()?;
        let latency_s = prices::Market::new(self, buckets).least_latency_s(served);
        Ok(Bound { mean_latency_s: latency_s / served.max(1) as f64, success_ratio: 1.0, buckets })
    }

    /// The shortest buckets that [`Self::bound`] takes, within a tenth or so; none for a trace that is too large with any.
    #[cfg(feature = "solver")]
    pub fn bucket_s_min(&self) -> Option<f64> {
        let (even_s, _) = self.horizons();
        let buckets_max = VARIABLES_MAX.checked_div(self.nodes.len() * self.jobs.len().max(1))?;
        let mut bucket_s = even_s.max(f64::MIN_POSITIVE) / buckets_max.max(1) as f64;
        // With one bucket for all of it there is none shorter.
        while bucket_s <= 2.0 * even_s {
            if self.buckets(bucket_s).is_ok() {
                return Some(bucket_s);
            }
            bucket_s *= 1.1;
        }
        None
    }

    /// How long a job keeps a worker of a node.
    #[cfg(feature = "solver")]
    fn work_s(&self, job: usize, node: usize) -> f64 {
        self.jobs[job].work_s[node]
    }

    fn check(&self) -> Result<(), BoundError> {
        let time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        let wrong = |what: String| Err(BoundError::Trace(what));
        if self.nodes.is_empty() {
            return wrong("it has no node".to_owned());
        }
        for (number, node) in self.nodes.iter().enumerate() {
            if node.workers == 0 {
                return wrong(format!("node {number} has no workers"));
            }
        }
        if !self.fixed_s.iter().all(|seconds| time(*seconds)) {
            return wrong("a latency is no time".to_owned());
        }
        for (number, job) in self.jobs.iter().enumerate() {
            if [&job.work_s, &job.there_s, &job.back_s].iter().any(|times| times.len() != self.nodes.len()) {
                return wrong(format!(
                    "job {number} has not one work, one way there and one way back for each node"
                ));
            }
            let mut times = job.there_s.iter().chain(&job.back_s).chain(&job.work_s).chain(&job.allowed_s);
            if !times.all(|seconds| time(*seconds)) || !time(job.arrival_s) || job.work_s.contains(&0.0) {
                return wrong(format!("job {number} has a time that is none, or no work"));
            }
        }
        Ok(())
    }

    /// A time by which a simple schedule is done, and one by which any schedule without idle waiting is.
    fn horizons(&self) -> (f64, f64) {
        let last = |of: &dyn Fn(&TraceJob) -> f64| self.jobs.iter().map(of).fold(0.0, f64::max);
        let longest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let here = last(&|job| job.arrival_s + longest(&job.there_s));
        let work: f64 = self.jobs.iter().map(|job| longest(&job.work_s)).sum();
        let workers: f64 = self.nodes.iter().map(|node| f64::from(node.workers)).sum();
        // The latter: all of the work one after the other, each job where it takes longest.
        (here + 2.0 * work / workers + last(&|job| longest(&job.work_s)), here + work)
    }

    /// The buckets: of one length to the first of the two times, and from there to the other twice as long each as the one before.
    #[cfg(feature = "solver")]
    fn buckets(&self, bucket_s: f64) -> Result<Vec<Bucket>, BoundError> {
        let (even, end) = self.horizons();
        let too_large =
            |buckets| BoundError::TooLarge { jobs: self.jobs.len(), nodes: self.nodes.len(), buckets };
        let buckets_max = VARIABLES_MAX / (self.nodes.len() * self.jobs.len().max(1));
        if even / bucket_s > buckets_max as f64 {
            return Err(too_large((even / bucket_s) as usize));
        }
        let mut buckets = Vec::new();
        let (mut begin, mut length) = (0.0, bucket_s);
        while begin < end {
            buckets.push(Bucket { begin, length });
            begin += length;
            if begin >= even {
                length *= 2.0;
            }
        }
        if buckets.len() > buckets_max { Err(too_large(buckets.len())) } else { Ok(buckets) }
    }
}

/// A span of time.
#[cfg(feature = "solver")]
#[derive(Clone, Copy, Debug)]
struct Bucket {
    begin: f64,
    length: f64,
}

#[cfg(feature = "solver")]
impl Bucket {
    /// How much of it lies between two moments, and when that begins.
    fn between(&self, from: f64, to: f64) -> Option<(f64, f64)> {
        let (begin, end) = (self.begin.max(from), (self.begin + self.length).min(to));
        (end > begin).then_some((begin, end - begin))
    }
}
