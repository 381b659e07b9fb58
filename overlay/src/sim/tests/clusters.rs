//! Clusters of one name that come upon each other's addresses, and nodes that have to agree on one.

use std::collections::BTreeSet;

use super::*;
use crate::sim::run_mixed_with_ids;
use crate::{ClusterId, ClusterIdentity, Rejection};

#[expect(clippy::unnecessary_wraps, reason = "that is what a configuration takes")]
fn settled_on(id: u64) -> Option<ClusterIdentity> {
    Some(ClusterIdentity { id: ClusterId(id), settled: true })
}

#[expect(clippy::unnecessary_wraps, reason = "that is what a configuration takes")]
fn fresh(id: u64) -> Option<ClusterIdentity> {
    Some(ClusterIdentity::fresh(ClusterId(id)))
}

fn clusters_of(world: &World) -> BTreeSet<Option<u64>> {
    let up = (0..world.len()).filter_map(|index| world.node(index));
    up.map(|swim| swim.cluster().map(|cluster| cluster.id.0)).collect()
}

/// Nodes 0 to 3 are one cluster, nodes 4 to 7 another one with the same name; each has its first node for a seed.
fn two_clusters(seed: u64, ids: [Option<ClusterIdentity>; 2]) -> World {
    let mut world = World::ring(Topology::flat(MS), seed, 8, Timing::Lan);
    for index in 0..8 {
        let config = world.config_mut(index);
        config.cluster_identity = ids[index / 4];
        config.seeds = vec![format!("node{}", index / 4 * 4 + 1)];
    }
    world.start_all();
    world.run(10 * SECOND);
    assert!(are_two(&world), "before anything happened");
    world
}

fn live_ones(world: &World, index: usize) -> BTreeSet<SocketAddr> {
    let Some(swim) = world.node(index) else { return BTreeSet::new() };
    let peers = swim.peers().filter(|peer| peer.is_live()).map(|peer| peer.identity.gossip);
    peers.chain([swim.identity().gossip]).collect()
}

/// Whether each knows its own cluster's nodes that are up, and no other ones.
fn are_two(world: &World) -> bool {
    (0..8).filter(|index| world.is_up(*index)).all(|index| {
        let own = (0..8).filter(|other| other / 4 == index / 4 && world.is_up(*other));
        let own: BTreeSet<_> = own.map(|other| world.node(other).unwrap().identity().gossip).collect();
        live_ones(world, index) == own
    })
}

/// Whether a node of each cluster knows some of the other one.
fn have_fused(world: &World) -> bool {
    [0, 5].into_iter().all(|index| live_ones(world, index).len() > 4)
}

fn refused(world: &World, nodes: std::ops::Range<usize>) -> u64 {
    let up = nodes.filter_map(|index| world.node(index));
    up.map(|swim| swim.stats().rejected.of(Rejection::OtherCluster)).sum()
}

/// A node starts again where its seed is down, with contacts in its snapshot that are the other cluster's by now.
fn restarted_with_old_contacts(mut world: World) -> World {
    world.kill(5);
    world.config_mut(5).seeds.clear();
    world.config_mut(5).contacts = vec![address_of(1), address_of(2)];
    world.run(10 * SECOND);
    world.start(5);
    world.run(60 * SECOND);
    world
}

#[test]
fn an_old_snapshot_does_not_fuse_two_clusters() {
    assert!(have_fused(&restarted_with_old_contacts(two_clusters(1, [None, None]))), "without ids they do");
    for ids in [[settled_on(1), settled_on(2)], [settled_on(2), settled_on(1)], [fresh(1), fresh(2)]] {
        let world = restarted_with_old_contacts(two_clusters(1, ids));
        assert!(are_two(&world), "{ids:?}");
        assert_eq!(clusters_of(&world), [Some(1), Some(2)].into());
        assert!(refused(&world, 0..4) > 0 && refused(&world, 4..8) > 0, "both are told of it");
    }
}

/// A node of the first cluster dies, and one of the second one gets its address; with its name, too, or without.
fn at_a_dead_ones_address(mut world: World, same_name: bool) -> World {
    world.kill(3);
    world.run(20 * SECOND);
    world.kill(6);
    world.readdress(6, address_of(3));
    if same_name {
        world.config_mut(6).identity.name = "node4".parse().unwrap();
    }
    world.start(6);
    world.run(60 * SECOND);
    world
}

#[test]
fn an_address_that_is_used_again_does_not_fuse_two_clusters() {
    assert!(have_fused(&at_a_dead_ones_address(two_clusters(2, [None, None]), true)), "without ids they do");
    for same_name in [false, true] {
        let world = at_a_dead_ones_address(two_clusters(2, [settled_on(1), settled_on(2)]), same_name);
        assert!(are_two(&world), "same name: {same_name}");
        assert!(refused(&world, 4..8) > 0, "it is told of it");
    }
}

/// A seed of the wrong cluster is a mistake that the log tells of, and nothing else comes of it.
#[test]
fn a_seed_of_another_settled_cluster_takes_nobody_in() {
    let mut world = two_clusters(3, [settled_on(1), settled_on(2)]);
    world.kill(5);
    world.config_mut(5).seeds = vec!["node1".into(), "node5".into()];
    world.start(5);
    world.run(30 * SECOND);
    assert!(are_two(&world));
    assert!(refused(&world, 0..4) > 0 && refused(&world, 5..6) > 0);
}

/// The key says who belongs together.
#[test]
fn with_a_key_clusters_merge_and_agree_on_an_id() {
    let mut world = World::ring(Topology::flat(MS), 4, 8, Timing::Lan);
    for index in 0..8 {
        let config = world.config_mut(index);
        config.cluster_identity = settled_on(2 - index as u64 / 4);
        config.keys = Some(Keyring::new([7; KEY_BYTES]));
        config.seeds = vec![format!("node{}", index / 4 * 4 + 1)];
    }
    world.config_mut(7).seeds.push("node1".into());
    world.start_all();
    let one = |world: &World| agreed(world) && clusters_of(world).len() == 1;
    let end = world.now() + 30 * SECOND;
    assert!(world.run_until(end, one), "{:?}", clusters_of(&world));
    assert_eq!(clusters_of(&world), [Some(1)].into());
}

#[test]
fn nodes_that_start_together_agree_on_the_lowest_id() {
    for seed in 0..20 {
        let mut world = World::ring(Topology::flat(MS), seed, 2 + seed as usize % 9, Timing::Lan);
        let nodes = world.len();
        (0..nodes).for_each(|index| {
            world.config_mut(index).cluster_identity = fresh((index as u64 * 7 + seed) % nodes as u64 + 1);
        });
        world.start_all();
        let one = |world: &World| agreed(world) && clusters_of(world).len() == 1;
        let end = world.now() + 10 * SECOND;
        assert!(world.run_until(end, one), "seed {seed}: {:?}", clusters_of(&world));
        assert_eq!(clusters_of(&world).len(), 1);
    }
}

#[test]
fn a_first_node_without_seeds_agrees_with_who_joins_it() {
    for (first, second) in [(1, 2), (2, 1)] {
        let mut world = World::ring(Topology::flat(MS), 5, 2, Timing::Lan);
        world.config_mut(0).seeds.clear();
        world.config_mut(0).cluster_identity = fresh(first);
        world.config_mut(1).cluster_identity = fresh(second);
        world.start_all();
        let one = |world: &World| agreed(world) && clusters_of(world) == [Some(1)].into();
        let end = world.now() + 5 * SECOND;
        assert!(world.run_until(end, one), "{:?}", clusters_of(&world));
    }
}

#[test]
fn a_fresh_node_takes_a_settled_clusters_id_however_low_its_own_is() {
    let mut world = World::ring(Topology::flat(MS), 6, 6, Timing::Lan);
    (0..5).for_each(|index| world.config_mut(index).cluster_identity = settled_on(9));
    world.config_mut(5).cluster_identity = fresh(1);
    world.start_all();
    world.run(10 * SECOND);
    assert!(agreed(&world));
    assert_eq!(clusters_of(&world), [Some(9)].into());
    assert!(world.node(5).unwrap().cluster().unwrap().settled);
}

#[test]
fn a_cluster_settles_in_time_and_a_lone_node_does_not() {
    let mut world = World::ring(Topology::flat(MS), 7, 4, Timing::Lan);
    (0..4).for_each(|index| world.config_mut(index).cluster_identity = fresh(index as u64 + 1));
    world.config_mut(3).seeds = vec!["node4".into()];
    world.config_mut(2).seeds = vec!["node1".into()];
    world.start_all();
    world.run(590 * SECOND);
    let settled = |world: &World, index: usize| world.node(index).unwrap().cluster().unwrap().settled;
    assert!((0..4).all(|index| !settled(&world, index)));
    world.run(30 * SECOND);
    assert!((0..3).all(|index| settled(&world, index)) && !settled(&world, 3));
    assert_eq!(clusters_of(&world), [Some(1), Some(4)].into());
}

#[test]
fn halves_of_a_cluster_heal_as_before() {
    for id in [settled_on(1), fresh(1)] {
        let mut world = World::ring(Topology::flat(MS), 8, 20, Timing::Lan);
        (0..20).for_each(|index| world.config_mut(index).cluster_identity = id);
        world.start_all();
        world.run(10 * SECOND);
        world.partition(0..10);
        world.run(60 * SECOND);
        world.heal();
        let end = world.now() + 5 * SECOND;
        assert!(world.run_until(end, agreed), "{id:?}");
        assert_eq!(refused(&world, 0..20), 0);
    }
}

/// Those that know that they are one say no more of it.
#[test]
fn a_cluster_at_rest_sends_nothing_more_for_its_id() {
    let at_rest = |ids: bool| {
        let mut world = World::ring(Topology::flat(MS), 9, 8, Timing::Lan);
        (0..8).for_each(|index| {
            world.config_mut(index).cluster_identity = if ids { settled_on(1) } else { None };
        });
        world.start_all();
        world.run(60 * SECOND);
        let sent =
            |world: &World| (0..8).map(|index| world.node(index).unwrap().stats().bytes_sent).sum::<u64>();
        let before = sent(&world);
        world.run(120 * SECOND);
        sent(&world) - before
    };
    let (with, without) = (at_rest(true), at_rest(false));
    assert!(with.abs_diff(without) * 500 < without, "{with} bytes, not {without}");
}

#[test]
fn any_mix_of_faults_leaves_a_cluster_with_one_id() {
    let reports = (0..40).map(run_mixed_with_ids);
    let broken: Vec<_> = reports
        .filter(|report| !report.violations.is_empty())
        .map(|report| format!("seed {}: {:#?}", report.seed, report.violations))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
