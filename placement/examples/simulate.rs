//! One simulated run, for profiles: `cargo run --release -p starling-placement --features sim --example simulate -- NODES JOBS [WORKLOAD]
//! [POLICY] [SEED]`. Prints virtual and real time and the trace hash; `starling sim --workload` is the command for figures.

use std::time::Instant;

use starling_placement::policy::Policy;
use starling_placement::sim::{Decider, Setup, simulate};

#[expect(clippy::disallowed_methods, reason = "a profile is about real time")]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: usize| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let text = |at: usize, usual: &'static str| args.get(at).map_or(usual, String::as_str);
    let workload = text(2, "uniform").parse().expect("a workload");
    let kind = text(3, "score").parse().expect("a policy");
    let decider = Decider::Policy(Policy { kind, ..Policy::default() });
    let setup = Setup::new(workload, decider, number(0, 100), number(1, 10_000), number(4, 1) as u64);
    let begun = Instant::now();
    let outcome = simulate(&setup, 1);
    let wall = begun.elapsed().as_secs_f64();
    let virtual_s = outcome.sim_seconds;
    println!(
        "{virtual_s:.1} s in {wall:.2} s: {:.0} times real time; {}",
        virtual_s / wall,
        outcome.trace_hash
    );
}
