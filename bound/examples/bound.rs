//! What no schedule of a trace can beat: `cargo run --release -p starling-bound --example bound -- --bucket 0.5 < trace.json`.
//!
//! Without `--bucket` they are as short as the program's size allows; of a trace that is too large for the solver the bound is the one by
//! prices.
//!
//! The trace is JSON: `{"nodes":[{"workers":2}],"jobs":[{"arrival_s":0,"work_s":[2.5],"allowed_s":40,"there_s":[0.1],"back_s":[0.1]}]}`. The answer is one line of JSON: `mean_latency_s`, `success_ratio`, `buckets`.

use std::io::Read;
use std::process::ExitCode;

use starling_bound::Trace;

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bound: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<String, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given: Option<f64> = match args.as_slice() {
        [] => None,
        [flag, value] if flag == "--bucket" => {
            Some(value.parse().map_err(|_| format!("--bucket {value}: give seconds, as in 0.5"))?)
        }
        _ => return Err("give a trace on stdin, and nothing or --bucket SECONDS".to_owned()),
    };
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("can't read the trace: {error}"))?;
    let trace: Trace = serde_json::from_str(&text).map_err(|error| format!("not a trace: {error}"))?;
    let bound = match given.or_else(|| trace.bucket_s_min()) {
        Some(bucket_s) => trace.bound(bucket_s),
        None => trace.bound_by_prices(2_000, trace.requests()),
    };
    let bound = bound.map_err(|error| error.to_string())?;
    serde_json::to_string(&bound).map_err(|error| error.to_string())
}
