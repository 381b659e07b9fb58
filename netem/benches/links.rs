//! What the user-space shaper can carry, on two namespaces that are 90 ms apart (or by kernel netem: `NETEM_TEST_BACKEND=tc`).
//! Run as root: `cargo bench -p starling-netem --bench links`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that can't go on fails")]

#[path = "../tests/it/rig.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod rig;
#[path = "../tests/it/traffic.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use starling_netem::{End, LinkChange, Links, Selector, Shift};

use rig::Rig;
use traffic::{tcp_bits_per_s, udp};

const RTT_MS: f64 = 90.0;
const DATAGRAMS_PER_S: u32 = 20_000;
const DATAGRAM_BYTES: usize = 200;
const TIME: Duration = Duration::from_secs(5);

fn main() {
    if let Some(why) = rig::missing() {
        println!("SKIPPED: {why}");
        return;
    }
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    println!("backend {}, {RTT_MS} ms between node1 and node2", shaping.backend().name());
    let (from, to) = (rig.end(1), rig.end(2));

    report_error("idle", from, to, 200);
    let load = Load::start(0.5);
    report_error("every core half busy", from, to, 400);
    drop(load);

    let rate = tcp_bits_per_s(from, to, Duration::from_secs(3), TIME);
    println!("one TCP stream: {:.0} Mbit/s", rate / 1e6);

    datagrams(from, to);

    let gone = LinkChange { delay: Some(Shift::Set(Duration::ZERO)), ..LinkChange::default() };
    let all = Links::Between { from: vec![Selector::All], to: vec![Selector::All], one_way: false };
    shaping.fault(all, gone, None).unwrap();
    let rate = tcp_bits_per_s(from, to, Duration::from_secs(1), TIME);
    println!("one TCP stream without delay: {:.0} Mbit/s", rate / 1e6);
}

/// How far round trips are from what they should be, by `ping`: it goes by the kernel's times and is answered by the kernel,
/// so that no measuring thread which waits for its turn adds to it.
fn report_error(title: &str, from: &End, to: &End, count: u32) {
    let said = rig::run(from, &format!("ping -c {count} -i 0.02 {}", to.node.addresses[0]));
    let times =
        said.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let mut errors: Vec<f64> = times.map(|time| (time - RTT_MS).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize];
    println!(
        "{} round trips, {title}: off by {:.2} ms in the median, {:.2} ms in 95 %, {:.2} ms at most",
        errors.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// Sends datagrams at a steady rate and counts what arrives, and how late.
fn datagrams(from: &End, to: &End) {
    let receiver = udp(to, 0);
    let address = receiver.local_addr().unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let start = Instant::now();
    let receiving = std::thread::spawn(move || {
        let mut delays = Vec::new();
        let mut buffer = [0; DATAGRAM_BYTES];
        while receiver.recv(&mut buffer).is_ok() {
            let sent = Duration::from_nanos(u64::from_ne_bytes(buffer[..8].try_into().unwrap()));
            delays.push((start.elapsed().saturating_sub(sent)).as_secs_f64() * 1e3);
        }
        delays
    });
    let sender = udp(from, 0);
    let mut buffer = [0; DATAGRAM_BYTES];
    let mut sent = 0;
    while start.elapsed() < TIME {
        let due = (start.elapsed().as_secs_f64() * f64::from(DATAGRAMS_PER_S)) as u64;
        while sent < due {
            buffer[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_ne_bytes());
            sender.send_to(&buffer, address).unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let mut delays = receiving.join().unwrap();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!(
        "{:.0} datagrams/s for {} s: {} sent, {} arrived; one way {:.2} ms in the median, {:.2} ms in 95 %, {:.2} ms at most",
        sent as f64 / TIME.as_secs_f64(),
        TIME.as_secs(),
        sent,
        delays.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// Keeps a share of every core busy until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(share: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Arc::new(AtomicU64::new(0));
        let slice = Duration::from_millis(10);
        let cores = std::thread::available_parallelism().unwrap().get();
        let threads = (0..cores).map(|_| {
            let (stop, work) = (Arc::clone(&stop), Arc::clone(&work));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    while start.elapsed() < slice.mul_f64(share) {
                        work.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(slice.mul_f64(1.0 - share));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
