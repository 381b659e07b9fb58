//! The bound beside the best of all schedules, found by trying them all.

use proptest::prelude::*;

use super::*;

/// Every way to put jobs to workers, and every order of them there: the least sum of latencies, and the most jobs in time.
fn best(trace: &Trace) -> (f64, usize) {
    let workers: Vec<usize> = (0..trace.nodes.len())
        .flat_map(|node| std::iter::repeat_n(node, trace.nodes[node].workers as usize))
        .collect();
    let mut best = (f64::INFINITY, 0);
    for order in orders(trace.jobs.len()) {
        for mut choice in 0..workers.len().pow(order.len() as u32) {
            let (mut free, mut sum, mut in_time) = (vec![0.0f64; workers.len()], 0.0, 0);
            for job in &order {
                let worker = choice % workers.len();
                choice /= workers.len();
                let (spec, node) = (&trace.jobs[*job], workers[worker]);
                let begin = free[worker].max(spec.arrival_s + spec.there_s[node]);
                free[worker] = begin + trace.work_s(*job, node);
                let latency = free[worker] + spec.back_s[node] - spec.arrival_s;
                sum += latency;
                in_time += usize::from(spec.allowed_s.is_none_or(|allowed| latency <= allowed + 1e-9));
            }
            best = (best.0.min(sum), best.1.max(in_time));
        }
    }
    best
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..count).map(move |place| {
                let mut order = order.clone();
                order.insert(place, count - 1);
                order
            })
        })
        .collect()
}

fn job(arrival_s: f64, work_s: &[f64], allowed_s: Option<f64>, ways: &[f64]) -> TraceJob {
    TraceJob { arrival_s, work_s: work_s.to_vec(), allowed_s, there_s: ways.to_vec(), back_s: ways.to_vec() }
}

const ONE: TraceNode = TraceNode { workers: 1 };

#[test]
fn one_job_alone_takes_its_way_and_its_work_at_the_best_node() {
    // The second node is four times as fast.
    let trace = |work_s: f64, ways: &[f64]| Trace {
        nodes: vec![ONE, ONE],
        jobs: vec![job(3.0, &[work_s, work_s / 4.0], Some(5.0), ways)],
        fixed_s: Vec::new(),
    };
    let near = trace(2.0, &[0.0, 1.0]).bound(0.5).unwrap();
    assert!((near.mean_latency_s - 2.0).abs() < 1e-6, "{near:?}");
    let far = trace(4.0, &[0.0, 1.0]).bound(0.5).unwrap();
    assert!((far.mean_latency_s - 3.0).abs() < 1e-6, "{far:?}");
    assert!((far.success_ratio - 1.0).abs() < 1e-6, "{far:?}");
    let never = trace(40.0, &[0.0, 1.0]).bound(0.5).unwrap();
    assert!(never.success_ratio.abs() < 1e-6, "{never:?}");
}

/// Where jobs wait for one another shorter buckets bring the bound near to the best schedule.
#[test]
fn shorter_buckets_give_a_better_bound() {
    let jobs = [1.0, 2.0, 3.0].map(|work_s| job(0.0, &[work_s], None, &[0.0])).to_vec();
    let trace = Trace { nodes: vec![ONE], jobs, fixed_s: Vec::new() };
    let (least, _) = best(&trace);
    assert!((least - 10.0).abs() < 1e-9, "1, 3 and 6");
    let bounds = [2.0, 1.0, 0.25].map(|bucket_s| trace.bound(bucket_s).unwrap().mean_latency_s * 3.0);
    assert!(bounds[0] <= bounds[1] + 1e-6 && bounds[1] <= bounds[2] + 1e-6, "{bounds:?}");
    assert!(bounds[2] <= least + 1e-6 && bounds[2] >= 0.9 * least, "{bounds:?}");
}

#[test]
fn what_is_no_trace_is_refused_with_what_is_wrong_with_it() {
    let good = Trace { nodes: vec![ONE], jobs: vec![job(0.0, &[1.0], None, &[0.0])], fixed_s: Vec::new() };
    assert!(good.bound(1.0).is_ok());
    assert_eq!(good.bound(0.0), Err(BoundError::Bucket(0.0)));
    assert!(matches!(good.bound(1e-9), Err(BoundError::TooLarge { .. })));
    let wrong = |change: fn(&mut Trace)| {
        let mut trace = good.clone();
        change(&mut trace);
        trace.bound(1.0).unwrap_err().to_string()
    };
    assert!(wrong(|trace| trace.nodes.clear()).contains("no node"));
    assert!(wrong(|trace| trace.nodes[0].workers = 0).contains("node 0"));
    assert!(wrong(|trace| trace.jobs[0].there_s.push(0.0)).contains("job 0"));
    assert!(wrong(|trace| trace.jobs[0].work_s[0] = 0.0).contains("job 0"));
    assert!(wrong(|trace| trace.jobs[0].work_s.clear()).contains("job 0"));
    assert!(wrong(|trace| trace.jobs[0].arrival_s = f64::NAN).contains("job 0"));
    let least = good.bucket_s_min().unwrap();
    assert!(good.buckets(least).is_ok() && good.buckets(least * 0.8).is_err(), "{least}");
    let many = Trace { jobs: vec![good.jobs[0].clone(); VARIABLES_MAX + 1], ..good.clone() };
    assert_eq!(many.bucket_s_min(), None);
    let none = Trace { jobs: Vec::new(), ..good.clone() };
    assert_eq!(none.bound(1.0).unwrap().buckets, 0);
}

fn traces() -> impl Strategy<Value = Trace> {
    let nodes = prop::collection::vec(1u32..3, 1..3);
    nodes.prop_flat_map(|nodes| {
        let count = nodes.len();
        let ways = prop::collection::vec(0u8..6, count..=count);
        let works = prop::collection::vec(1u8..8, count..=count);
        let job = (0u8..6, works, prop::option::of(1u8..20), ways.clone(), ways);
        prop::collection::vec(job, 1..5).prop_map(move |jobs| Trace {
            nodes: nodes.iter().map(|workers| TraceNode { workers: *workers }).collect(),
            jobs: jobs
                .into_iter()
                .map(|(arrival, works, allowed, there, back)| TraceJob {
                    arrival_s: f64::from(arrival) / 2.0,
                    work_s: works.into_iter().map(|work| f64::from(work) / 2.0).collect(),
                    allowed_s: allowed.map(|allowed| f64::from(allowed) / 2.0),
                    there_s: there.into_iter().map(|way| f64::from(way) / 4.0).collect(),
                    back_s: back.into_iter().map(|way| f64::from(way) / 4.0).collect(),
                })
                .collect(),
            fixed_s: Vec::new(),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_schedule_beats_the_bound(trace in traces(), bucket in 1u8..6) {
        let (least, most) = best(&trace);
        let bound = trace.bound(f64::from(bucket) / 4.0).unwrap();
        let by_prices = trace.bound_by_prices(8 * usize::from(bucket), trace.jobs.len()).unwrap();
        let count = trace.jobs.len() as f64;
        prop_assert!(bound.mean_latency_s * count <= least + 1e-6, "{:?} of {}", bound, least);
        prop_assert!(bound.success_ratio * count >= most as f64 - 1e-6, "{:?} of {}", bound, most);
        prop_assert!(by_prices.mean_latency_s * count <= least + 1e-6, "{:?} of {}", by_prices, least);
        prop_assert!(by_prices.success_ratio * count >= most as f64 - 1e-6, "{:?} of {}", by_prices, most);
        // It says something: each job takes its way and its work, at the least.
        let alone: f64 = trace.jobs.iter().enumerate().map(|(number, job)| {
            let there = |node: usize| job.there_s[node] + trace.work_s(number, node) + job.back_s[node];
            (0..trace.nodes.len()).map(there).fold(f64::INFINITY, f64::min)
        }).sum();
        prop_assert!(bound.mean_latency_s * count >= alone - 1e-6, "{:?} beside {}", bound, alone);
        prop_assert!(by_prices.mean_latency_s * count >= alone - 1e-6, "{:?} beside {}", by_prices, alone);
        prop_assert!(bound.success_ratio <= 1.0 + 1e-6 && by_prices.success_ratio <= 1.0 + 1e-6);
    }
}

/// More than two equal nodes and a far one that is fast can do, of three lengths.
fn busy(jobs: u32) -> Trace {
    let jobs = (0..jobs).map(|number| {
        let work_s = [1.0, 2.0, 4.0][number as usize % 3];
        job(f64::from(number) * 0.5, &[work_s, work_s, work_s / 2.0], Some(6.0), &[0.0, 0.0, 0.4])
    });
    Trace { nodes: vec![ONE; 3], jobs: jobs.collect(), fixed_s: Vec::new() }
}

#[test]
fn prices_come_near_to_what_the_solver_finds() {
    let trace = busy(24);
    let solved = trace.bound(1.0).unwrap();
    let by_prices = trace.bound_by_prices(60, 24).unwrap();
    println!("{solved:?} {by_prices:?}");
    let ratio = by_prices.mean_latency_s / solved.mean_latency_s;
    assert!(ratio > 0.95, "{ratio}");
    assert!(by_prices.success_ratio - solved.success_ratio < 0.05, "{by_prices:?} {solved:?}");
}

#[test]
fn of_a_schedule_that_serves_all_no_search_is_needed_for_how_many_can_be() {
    let mut trace = busy(9);
    trace.jobs.iter_mut().for_each(|job| job.allowed_s = Some(60.0));
    let searched = trace.bound_by_prices(90, 9).unwrap();
    assert!((searched.success_ratio - 1.0).abs() < 1e-9);
    assert_eq!(trace.bound_of_schedule(90, 9).unwrap(), Bound { success_ratio: 1.0, ..searched });
    assert_eq!(trace.bound_of_schedule(90, 8).unwrap(), trace.bound_by_prices(90, 8).unwrap());
}

#[test]
fn of_schedules_that_serve_a_part_the_bound_is_on_the_cheapest_part() {
    let mut trace = busy(9);
    let all = trace.bound_by_prices(90, 9).unwrap();
    let three = trace.bound_by_prices(90, 3).unwrap();
    assert!(three.mean_latency_s <= 1.0 + 1e-9 && all.mean_latency_s > 1.5, "{three:?} {all:?}");
    trace.fixed_s = vec![0.25; 9];
    let with_fixed = trace.bound_by_prices(90, 18).unwrap();
    assert!(
        (with_fixed.mean_latency_s - f64::midpoint(all.mean_latency_s, 0.25)).abs() < 0.02,
        "{with_fixed:?}"
    );
    let solved = trace.bound(1.0).unwrap();
    assert!(solved.mean_latency_s < all.mean_latency_s && solved.success_ratio <= 1.0 + 1e-6, "{solved:?}");
    assert!(trace.bound_by_prices(90, 9).unwrap().mean_latency_s <= 0.25 + 1e-9);
    assert!(trace.bound_by_prices(90, 0).unwrap().mean_latency_s.abs() < 1e-9);
}

#[test]
fn prices_carry_hundreds_of_jobs() {
    let trace = busy(300);
    let bound = trace.bound_by_prices(600, 300).unwrap();
    println!("{bound:?}");
    assert!(bound.mean_latency_s > 2.0);
}
