//! The driver over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use starling_overlay::{
    BootEpoch, Config, Event, Identity, LoadSample, MemberState, Overlay, StartError, Timing, View,
};
use tokio::sync::watch;
use tokio::time::timeout;

/// Long enough for any machine; nothing here waits that long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn identity(name: &str, gossip: SocketAddr, boot: u64) -> Identity {
    Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(boot),
        gossip,
        http_port: gossip.port(),
        zone: "test".parse().unwrap(),
        capacity_jobs: 2,
        versions: starling_overlay::Versions::SPOKEN,
    }
}

fn start(name: &str, socket: std::net::UdpSocket, seeds: Vec<String>, boot: u64) -> Overlay {
    let mut config = Config::new(identity(name, socket.local_addr().unwrap(), boot));
    config.timing = Timing::Local;
    config.seeds = seeds;
    Overlay::start(config, socket).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Waits until the view is as wanted.
async fn wait_for(view: &mut watch::Receiver<Arc<View>>, wanted: impl Fn(&View) -> bool) -> Arc<View> {
    timeout(PATIENCE, view.wait_for(|view| wanted(view))).await.expect("in time").expect("running").clone()
}

fn live(view: &View) -> usize {
    view.members().filter(|member| matches!(member.state, MemberState::Alive | MemberState::Suspect)).count()
}

/// Five nodes, each with the next one as its only seed.
fn ring() -> Vec<Overlay> {
    let sockets: Vec<_> = (0..5).map(|_| Overlay::bind(any_port()).unwrap()).collect();
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let seed = |index: usize| vec![addresses[(index + 1) % 5].to_string()];
    sockets
        .into_iter()
        .enumerate()
        .map(|(i, socket)| start(&format!("node{i}"), socket, seed(i), 1))
        .collect()
}

#[tokio::test]
async fn a_ring_joins_shares_its_load_and_converges() {
    let nodes = ring();
    for (index, node) in nodes.iter().enumerate() {
        node.load_publisher().publish(LoadSample {
            seq: 1,
            running_jobs: index as u16,
            ..LoadSample::default()
        });
    }
    for node in &nodes {
        let known = |view: &View| {
            view.peers.len() == 4
                && view.peers.iter().all(|peer| peer.rtt.is_some() && peer.load.is_some())
                && view.converged.as_ref().is_some_and(|convergence| convergence.members == 5)
        };
        let view = wait_for(&mut node.view(), known).await;
        for peer in &view.peers {
            let name = format!("node{}", peer.load.unwrap().sample.running_jobs);
            assert_eq!(peer.identity.name.as_str(), name);
        }
    }
}

#[tokio::test]
async fn a_node_that_stops_fails_and_one_that_leaves_does_not() {
    let mut nodes = ring();
    for node in &nodes {
        wait_for(&mut node.view(), |view| live(view) == 5).await;
    }
    let mut events = nodes[0].subscribe();
    drop(nodes.pop());
    nodes.pop().unwrap().leave(PATIENCE).await;
    let view = wait_for(&mut nodes[0].view(), |view| live(view) == 3).await;
    let state =
        |name: &str| view.peers.iter().find(|peer| peer.identity.name.as_str() == name).unwrap().state;
    assert_eq!((state("node4"), state("node3")), (MemberState::Dead, MemberState::Left));
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Failed(member) => seen.push(format!("failed {}", member.identity.name)),
            Event::Left(member) => seen.push(format!("left {}", member.identity.name)),
            _ => {}
        }
    }
    seen.sort();
    assert_eq!(seen, ["failed node4", "left node3"]);
}

#[tokio::test]
async fn a_restarted_node_is_taken_for_its_new_self() {
    let first = Overlay::bind(any_port()).unwrap();
    let second = Overlay::bind(any_port()).unwrap();
    let (first_at, second_at) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let a = start("a", first, Vec::new(), 1);
    let b = start("b", second, vec![first_at.to_string()], 1);
    wait_for(&mut a.view(), |view| live(view) == 2).await;
    b.leave(PATIENCE).await;
    let b = start("b", Overlay::bind(second_at).unwrap(), vec![first_at.to_string()], 2);
    wait_for(&mut a.view(), |view| {
        view.peers.iter().any(|peer| peer.identity.boot == BootEpoch(2) && peer.state == MemberState::Alive)
    })
    .await;
    wait_for(&mut b.view(), |view| live(view) == 2).await;
}

#[tokio::test]
async fn the_later_of_two_nodes_with_one_name_keeps_it_and_both_say_so() {
    let seed = Overlay::bind(any_port()).unwrap();
    let seeds = vec![seed.local_addr().unwrap().to_string()];
    let first = Overlay::bind(any_port()).unwrap();
    let second = Overlay::bind(any_port()).unwrap();
    let second_at = second.local_addr().unwrap();
    let seed = start("seed", seed, Vec::new(), 1);
    let older = start("twin", first, seeds.clone(), 1);
    wait_for(&mut seed.view(), |view| live(view) == 2).await;
    let older_events = older.subscribe();
    let newer = start("twin", second, seeds, 2);
    for (mut events, lost) in [(older_events, true), (newer.subscribe(), false)] {
        let conflict = async {
            loop {
                if let Event::NameConflict { superseded, .. } = events.recv().await.unwrap() {
                    return superseded;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, conflict).await.unwrap(), lost);
    }
    let view = seed.view().borrow().clone();
    assert_eq!(view.peers.len(), 1);
    assert_eq!(view.peers[0].identity.gossip, second_at);
}

#[tokio::test]
async fn what_can_not_work_is_refused_at_the_start() {
    let refused = |gossip: &str, cluster: &str| {
        let mut config = Config::new(identity("a", gossip.parse().unwrap(), 1));
        config.cluster = cluster.into();
        Overlay::start(config, Overlay::bind(any_port()).unwrap()).err()
    };
    assert!(matches!(refused("0.0.0.0:5000", "c"), Some(StartError::Unreachable(_))));
    assert!(matches!(refused("127.0.0.1:0", "c"), Some(StartError::Unreachable(_))));
    assert!(matches!(refused("127.0.0.1:5000", ""), Some(StartError::ClusterName(0))));
}

#[tokio::test]
async fn a_refused_port_is_noticed_at_once() {
    let sockets = [(); 2].map(|()| Overlay::bind(any_port()).unwrap());
    let [first_at, second_at] = [0, 1].map(|index: usize| sockets[index].local_addr().unwrap());
    let [first, second] = sockets;
    let mut config = Config::new(identity("a", first_at, 1));
    // A period of 3 s: without the refusal, the suspicion would come much later.
    config.timing = Timing::Wan;
    let a = Overlay::start(config.clone(), first).unwrap();
    config.identity = identity("b", second_at, 1);
    config.seeds = vec![first_at.to_string()];
    let b = Overlay::start(config, second).unwrap();
    wait_for(&mut a.view(), |view| live(view) == 2).await;
    drop(b);
    wait_for(&mut a.view(), |view| view.stats.refusals > 0).await;
}

#[tokio::test]
async fn a_node_whose_seeds_are_gone_finds_the_cluster_by_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members");
    let [first, second, third] = [(); 3].map(|()| Overlay::bind(any_port()).unwrap());
    let seeds = vec![first.local_addr().unwrap().to_string()];
    let third_at = third.local_addr().unwrap();
    let seed = start("seed", first, Vec::new(), 1);
    let other = start("other", second, seeds.clone(), 1);
    let mut config = Config::new(identity("node", third_at, 1));
    config.timing = Timing::Local;
    config.seeds = seeds;
    config.read_snapshot(path.clone()).unwrap();
    let node = Overlay::start(config.clone(), third).unwrap();
    wait_for(&mut node.view(), |view| live(view) == 3).await;
    let written = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.expect("a snapshot");
    drop(node);
    drop(seed);
    let socket = Overlay::bind(any_port()).unwrap();
    config.identity = identity("node", socket.local_addr().unwrap(), 2);
    config.read_snapshot(path).unwrap();
    let node = Overlay::start(config, socket).unwrap();
    wait_for(&mut node.view(), |view| live(view) == 2).await;
    drop(other);
}

#[tokio::test]
async fn contacts_are_left_alone_while_a_seed_answers() {
    let [first, second, third] = [(); 3].map(|()| Overlay::bind(any_port()).unwrap());
    let (seed_at, contact_at) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let seed = start("seed", first, Vec::new(), 1);
    // By now another cluster's node, with the same name of the cluster.
    let contact = start("contact", second, Vec::new(), 1);
    let mut config = Config::new(identity("node", third.local_addr().unwrap(), 1));
    config.seeds = vec![seed_at.to_string()];
    config.contacts = vec![contact_at];
    let node = Overlay::start(config, third).unwrap();
    wait_for(&mut node.view(), |view| view.converged.as_ref().is_some_and(|rest| rest.members == 2)).await;
    wait_for(&mut seed.view(), |view| live(view) == 2).await;
    assert_eq!(contact.view().borrow().stats.datagrams_received, 0);
}

/// A disk that is full, or a folder that is gone, is there again some day.
#[tokio::test]
async fn a_snapshot_that_could_not_be_written_is_written_when_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("members");
    let [first, second] = [(); 2].map(|()| Overlay::bind(any_port()).unwrap());
    let seed_at = first.local_addr().unwrap();
    let _seed = start("seed", first, Vec::new(), 1);
    let mut config = Config::new(identity("node", second.local_addr().unwrap(), 1));
    config.timing = Timing::Local;
    config.seeds = vec![seed_at.to_string()];
    config.read_snapshot(path.clone()).unwrap();
    let node = Overlay::start(config, second).unwrap();
    wait_for(&mut node.view(), |view| live(view) == 2).await;
    // Long after the first try, and nothing changes among the members any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    std::fs::create_dir(folder.path().join("later")).unwrap();
    let written = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("a snapshot");
    assert!(std::fs::read_to_string(&path).unwrap().contains(&seed_at.to_string()));
}
