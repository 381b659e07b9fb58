//! Twenty real nodes on loopback: how long a join through a ring takes, what the cluster costs at rest, and how long
//! until all know that one has stopped. Prints figures; `cargo bench -p starling-overlay --bench cluster`.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use starling_overlay::{BootEpoch, Config, Identity, MemberState, Overlay};

const NODES: usize = 20;
const ROUNDS: usize = 5;
const REST: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` only wants to know that it still compiles; `cargo bench` says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let (mut joins, mut failures) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let mut nodes = ring()?;
        all_see(&nodes, NODES).await?;
        joins.push(begun.elapsed());
        if round == 0 {
            at_rest(&nodes).await;
        }
        let stopped = Instant::now();
        drop(nodes.pop());
        all_see(&nodes, NODES - 1).await?;
        failures.push(stopped.elapsed());
    }
    println!("join of {NODES} through a ring of single seeds: {}", spread(joins));
    println!("one stops -> all others know (port refused): {}", spread(failures));
    Ok(())
}

fn ring() -> Result<Vec<Overlay>, Box<dyn Error>> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sockets = (0..NODES).map(|_| Overlay::bind(any)).collect::<Result<Vec<_>, _>>()?;
    let addresses = sockets.iter().map(std::net::UdpSocket::local_addr).collect::<Result<Vec<_>, _>>()?;
    let mut nodes = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let mut config = Config::new(Identity {
            name: format!("node{index}").parse()?,
            boot: BootEpoch(1),
            gossip: addresses[index],
            http_port: 0,
            zone: "A".parse()?,
            capacity_jobs: 1,
            versions: starling_overlay::Versions::SPOKEN,
        });
        config.seeds = vec![addresses[(index + 1) % NODES].to_string()];
        nodes.push(Overlay::start(config, socket)?);
    }
    Ok(nodes)
}

async fn all_see(nodes: &[Overlay], count: usize) -> Result<(), Box<dyn Error>> {
    for node in nodes {
        let mut view = node.view();
        let live = |state| matches!(state, MemberState::Alive | MemberState::Suspect);
        view.wait_for(|view| view.members().filter(|member| live(member.state)).count() == count).await?;
    }
    Ok(())
}

async fn at_rest(nodes: &[Overlay]) {
    let sent = || {
        let views = nodes.iter().map(|node| node.view().borrow().stats);
        views.fold((0, 0), |sum, stats| (sum.0 + stats.datagrams_sent, sum.1 + stats.bytes_sent))
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = sent();
    tokio::time::sleep(REST).await;
    let after = sent();
    let per_node_second = REST.as_secs_f64() * nodes.len() as f64;
    println!(
        "at rest, each node sends: {:.2} datagrams/s, {:.0} B/s of payload",
        (after.0 - before.0) as f64 / per_node_second,
        (after.1 - before.1) as f64 / per_node_second
    );
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let [median, least, most] = [times.len() / 2, 0, times.len() - 1].map(|index| times[index].as_millis());
    format!("median {median} ms, from {least} to {most} ms")
}
