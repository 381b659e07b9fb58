use starling_overlay::sim::*;
use std::time::{Duration, Instant};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| a.iter().position(|x| x == k).map(|i| a[i + 1].clone()).unwrap_or(d.into());
    let seeds: u64 = get("-s", "1").parse().unwrap();
    let mut det = vec![];
    let mut heal = vec![];
    let mut conv = vec![];
    let mut ff = 0;
    let mut fs = 0;
    let mut ffh = 0;
    for seed in 0..seeds {
        let mut s = Scenario::new(seed);
        s.nodes = get("-n", "20").parse().unwrap();
        s.loss = get("-l", "0").parse().unwrap();
        s.kill = get("-k", "0").parse().unwrap();
        s.slow_nodes = get("-w", "0").parse().unwrap();
        s.duration = Duration::from_secs_f64(get("-d", "20").parse().unwrap());
        let p: f64 = get("-p", "0").parse().unwrap();
        if p > 0.0 {
            s.partition = Some(Duration::from_secs_f64(p));
        }
        s.warm = get("-m", "0") == "1";
        if get("-f", "1") == "1" {
            s.topology = Topology::flat(Duration::from_micros(get("-us", "100").parse().unwrap()));
        }
        let t = Instant::now();
        let r = run(&s);
        if seeds == 1 {
            println!("{r:#?} wall {:?}", t.elapsed());
        }
        for v in &r.violations {
            println!("seed {seed} {v}");
        }
        det.extend(r.detect_full_ms.map(|d| d.median));
        heal.extend(r.heal_ms);
        conv.extend(r.converged_ms);
        ff += r.false_failures;
        fs += r.false_suspicions;
        ffh += r.false_failures_healthy;
    }
    println!(
        "conv {:?}\ndetect {:?}\nheal {:?}\nfalse {ff} healthy {ffh} susp {fs}",
        Spread::of(conv),
        Spread::of(det),
        Spread::of(heal)
    );
}
