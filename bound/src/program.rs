//! The two linear programs.

use good_lp::{
    Expression, ProblemVariables, ResolutionError, Solution, SolverModel, Variable, constraint, microlp,
    variable,
};

use super::{BoundError, Bucket, Trace};

/// The part of a job that a node does in a bucket.
struct Part {
    job: usize,
    node: usize,
    bucket: usize,
    /// From when on, within the bucket, it can be.
    begin: f64,
    /// The greatest that it can be.
    most: f64,
    variable: Variable,
}

/// Which parts there can be, each no greater than the time that there is for it. `until`: by when work on a job has to be done at
/// a node; none: it can't be done there.
fn parts(
    trace: &Trace,
    buckets: &[Bucket],
    variables: &mut ProblemVariables,
    until: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    for (number, job) in trace.jobs.iter().enumerate() {
        for (node, there) in job.there_s.iter().enumerate() {
            let Some(until) = until(number, node) else { continue };
            let work = trace.work_s(number, node);
            for (bucket, span) in buckets.iter().enumerate() {
                let Some((begin, length)) = span.between(job.arrival_s + there, until) else { continue };
                let most = (length / work).min(1.0);
                let variable = variables.add(variable().min(0.0).max(most));
                parts.push(Part { job: number, node, bucket, begin, most, variable });
            }
        }
    }
    parts
}

/// So much work in all, and how much it could be at the most.
#[derive(Clone, Default)]
struct Used {
    work: Expression,
    most: f64,
}

impl Used {
    fn add(&mut self, part: &Part, work: f64) {
        self.work.add_mul(work, part.variable);
        self.most += part.most * work;
    }
}

/// What a node can do in a bucket, and that a job is in one place at a time. What holds anyway is left out: each row costs time.
fn limited<M: SolverModel>(trace: &Trace, buckets: &[Bucket], parts: &[Part], mut model: M) -> M {
    let count = buckets.len();
    let mut by_node = vec![Used::default(); trace.nodes.len() * count];
    let mut by_job = vec![Used::default(); trace.jobs.len() * count];
    for part in parts {
        let work = trace.work_s(part.job, part.node);
        by_node[part.node * count + part.bucket].add(part, work);
        by_job[part.job * count + part.bucket].add(part, work);
    }
    let of_node =
        |place: usize| f64::from(trace.nodes[place / count].workers) * buckets[place % count].length;
    let of_job = |place: usize| buckets[place % count].length;
    let nodes = by_node.into_iter().enumerate().map(|(place, used)| (of_node(place), used));
    let jobs = by_job.into_iter().enumerate().map(|(place, used)| (of_job(place), used));
    for (limit, used) in nodes.chain(jobs).filter(|(limit, used)| used.most > *limit) {
        model = model.with(constraint!(used.work <= limit));
    }
    model
}

fn sums(trace: &Trace, parts: &[Part], weight: impl Fn(&Part) -> f64) -> Vec<Expression> {
    let mut sums = vec![Expression::default(); trace.jobs.len()];
    for part in parts {
        sums[part.job].add_mul(weight(part), part.variable);
    }
    sums
}

/// The least sum of latencies.
pub(super) fn least_latency_s(trace: &Trace, buckets: &[Bucket]) -> Result<f64, BoundError> {
    let mut variables = ProblemVariables::new();
    let parts = parts(trace, buckets, &mut variables, |_, _| Some(f64::INFINITY));
    let latencies: Vec<Variable> = trace.jobs.iter().map(|_| variables.add(variable().min(0.0))).collect();
    let total: Expression = latencies.iter().sum();
    let job = |part: &Part| &trace.jobs[part.job];
    let whole = sums(trace, &parts, |_| 1.0);
    let by_time = sums(trace, &parts, |part| {
        part.begin - job(part).arrival_s
            + trace.work_s(part.job, part.node) / 2.0
            + job(part).back_s[part.node]
    });
    let by_way = sums(trace, &parts, |part| {
        job(part).there_s[part.node] + trace.work_s(part.job, part.node) + job(part).back_s[part.node]
    });
    let mut model = limited(trace, buckets, &parts, variables.minimise(total.clone()).using(microlp));
    for (((whole, by_time), by_way), latency) in whole.into_iter().zip(by_time).zip(by_way).zip(&latencies) {
        model = model.with(constraint!(whole == 1.0));
        model = model.with(constraint!(by_time <= *latency));
        model = model.with(constraint!(by_way <= *latency));
    }
    Ok(model.solve().map_err(|error| unsolved(&error))?.eval(total))
}

/// The greatest number of jobs that are done in time; parts of jobs count as such.
pub(super) fn most_in_time(trace: &Trace, buckets: &[Bucket]) -> Result<f64, BoundError> {
    let mut variables = ProblemVariables::new();
    let until = |job: usize, node: usize| {
        let spec = &trace.jobs[job];
        let Some(allowed) = spec.allowed_s else { return Some(f64::INFINITY) };
        let needs = spec.there_s[node] + trace.work_s(job, node) + spec.back_s[node];
        // A job that just fits may be a hair beyond by rounding.
        (needs <= allowed + 1e-9).then_some(spec.arrival_s + allowed - spec.back_s[node] + 1e-9)
    };
    let parts = parts(trace, buckets, &mut variables, until);
    let whole = sums(trace, &parts, |_| 1.0);
    let total: Expression = whole.iter().cloned().sum();
    let mut model = limited(trace, buckets, &parts, variables.maximise(total.clone()).using(microlp));
    for whole in whole {
        model = model.with(constraint!(whole <= 1.0));
    }
    Ok(model.solve().map_err(|error| unsolved(&error))?.eval(total))
}

fn unsolved(error: &ResolutionError) -> BoundError {
    BoundError::Unsolved(error.to_string())
}
