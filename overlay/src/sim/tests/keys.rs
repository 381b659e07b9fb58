//! Sealed datagrams.

use super::*;

#[test]
fn keys_are_changed_without_losing_a_member_even_in_a_partition() {
    let [old, new] = [1, 2].map(|byte| Keyring::line(&[byte; KEY_BYTES]));
    let ring = |keys: &[&str]| Keyring::parse(&keys.join("\n")).unwrap();
    for seed in 0..5 {
        let mut world = World::ring(Topology::flat(MS), seed, 10, Timing::Lan);
        for index in 0..10 {
            world.config_mut(index).keys = Some(ring(&[&old]));
        }
        world.start_all();
        assert!(world.run_until(at(10 * SECOND), agreed), "seed {seed}");
        for step in [ring(&[&old, &new]), ring(&[&new, &old]), ring(&[&new])] {
            for index in 0..10 {
                world.input(index, Input::Keys(&step));
                world.run(300 * MS);
            }
            world.run(3 * SECOND);
        }
        assert_eq!(failures(world.log()), [], "seed {seed}");
        // One half gets a newer key while it is cut off; both still open the one in use.
        let newest = Keyring::line(&[3; KEY_BYTES]);
        world.partition(0..5);
        world.run(20 * SECOND);
        for index in 0..5 {
            world.input(index, Input::Keys(&ring(&[&new, &newest])));
        }
        world.heal();
        assert!(world.run_until(world.now() + 5 * SECOND, agreed), "seed {seed}");
    }
}

#[test]
fn who_has_the_wrong_key_stays_outside() {
    let mut world = World::ring(Topology::flat(MS), 1, 4, Timing::Lan);
    for index in 0..4 {
        world.config_mut(index).keys = Some(Keyring::new([u8::from(index == 3); KEY_BYTES]));
    }
    world.start_all();
    world.run(10 * SECOND);
    assert_eq!((0..4).map(|index| world.node(index).unwrap().live()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert!(world.node(0).unwrap().stats().rejected.total() > 0);
}
