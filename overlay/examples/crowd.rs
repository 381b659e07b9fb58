//! Many real nodes on one machine, a process each, that start at once in a ring of single seeds: what the overlay alone makes
//! of a machine that is too small. `cargo run -p starling-overlay --example crowd -- NODES SECONDS [plain]`; `plain` takes the
//! shedding of work away. All count at one time, and end later, so that none takes the end of another for a death.
//! Gossip goes to 127.1.0.0/16, port 21900.

#![expect(clippy::disallowed_methods, reason = "real processes, that start and count by the clock")]

use std::error::Error;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use starling_overlay::{BootEpoch, Config, Identity, MemberState, Overlay, Versions};

const PORT: u16 = 21_900;
/// From the counting to the end: enough for the last of a crowded machine to have counted.
const LINGER: Duration = Duration::from_secs(15);

fn address_of(index: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, (index / 250) as u8, (index % 250) as u8 + 1)), PORT)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse::<usize>().ok());
    let plain = arguments.iter().any(|argument| argument == "plain");
    match (number(0), number(1), number(2)) {
        (Some(nodes), Some(count_at), Some(index)) => node(nodes, count_at as u64, index, plain),
        (Some(nodes), Some(seconds), None) => crowd(nodes, seconds, plain),
        _ => Err("give NODES and SECONDS".into()),
    }
}

/// Starts the processes, waits for them, and adds up what they saw.
fn crowd(nodes: usize, seconds: usize, plain: bool) -> Result<(), Box<dyn Error>> {
    let mut children = Vec::new();
    let count_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as usize + seconds;
    for index in 0..nodes {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([nodes, count_at, index].map(|number| number.to_string()));
        command.args(plain.then_some("plain")).stdout(Stdio::piped());
        children.push(command.spawn()?);
    }
    let (mut sums, mut complete) = ([0_u64; 6], 0);
    for mut child in children {
        let mut text = String::new();
        child.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
        child.wait()?;
        let counts: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [live, rest @ ..] = &counts[..] else { continue };
        complete += usize::from(*live == nodes as u64);
        sums.iter_mut().zip(rest).for_each(|(sum, count)| *sum += count);
    }
    let [suspected, failed, refutations, freezes, shed, sent] = sums;
    println!(
        "{nodes} nodes, {seconds} s: {complete} see all; suspected {suspected}, failed {failed}, refutations {refutations}, \
         freezes {freezes}, turns shed {shed}, datagrams a node and second {:.1}",
        sent as f64 / nodes as f64 / seconds as f64
    );
    Ok(())
}

/// One node; prints what it sees at `count_at`, in seconds since 1970.
#[tokio::main(flavor = "current_thread")]
async fn node(nodes: usize, count_at: u64, index: usize, plain: bool) -> Result<(), Box<dyn Error>> {
    let gossip = address_of(index);
    let mut config = Config::new(Identity {
        name: format!("node{index}").parse()?,
        boot: BootEpoch(1),
        gossip,
        http_port: PORT,
        zone: "A".parse()?,
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    });
    config.seeds = vec![address_of((index + 1) % nodes).to_string()];
    config.parts.shedding = !plain;
    let overlay = Overlay::start(config, Overlay::bind(gossip)?)?;
    let left = |now: SystemTime| {
        (UNIX_EPOCH + Duration::from_secs(count_at)).duration_since(now).unwrap_or_default()
    };
    tokio::time::sleep(left(SystemTime::now())).await;
    let view = overlay.view().borrow().clone();
    let live = |state| matches!(state, MemberState::Alive | MemberState::Suspect);
    let count = view.members().filter(|member| live(member.state)).count();
    let stats = &view.stats;
    println!(
        "{count} {} {} {} {} {} {}",
        stats.events.suspected,
        stats.events.failed,
        stats.refutations,
        stats.freezes,
        stats.turns_shed,
        stats.datagrams_sent
    );
    tokio::time::sleep(LINGER).await;
    Ok(())
}
