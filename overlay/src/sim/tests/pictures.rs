//! A picture made of the one before is the picture that is made anew.

use std::time::Instant;

use super::*;
use crate::{LoadSample, View, Viewer};

const NODES: usize = 12;

/// What is told to the nodes at such a step.
fn trouble(step: u32, world: &mut World) {
    if [0, 161, 281].contains(&step) {
        // Such as never measure each other: what they know of their round trips is estimated.
        world.apply(&Fault::NonTransitive((6..NODES).map(|other| (0, other)).collect()));
    }
    match step {
        40 => world.apply(&Fault::Loss(0.3)),
        // Again and again, so that it gets no work for a while.
        60 | 140 | 220 | 300 => world.apply(&Fault::Kill(1)),
        100 | 180 | 260 | 340 => world.apply(&Fault::Start(1)),
        120 => world.apply(&Fault::Rebind(2, false)),
        200 => world.apply(&Fault::Partition(vec![3, 4])),
        160 | 280 => world.apply(&Fault::Heal),
        320 => world.apply(&Fault::Leave(5)),
        _ => {}
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only what a picture's times count from")]
fn a_picture_made_of_the_last_one_is_the_one_made_anew() {
    let origin = Instant::now();
    let (mut damped, mut estimated, mut measured) = (0, 0, 0);
    for seed in 1..=2 {
        let mut world = World::ring(Topology::paper(), seed, NODES, Timing::Lan);
        world.start_all();
        // Of each boot, as pictures are of one state machine.
        let mut viewers: Vec<(u64, Viewer)> = (0..NODES).map(|_| (0, Viewer::default())).collect();
        for step in 0..400_u32 {
            trouble(step, &mut world);
            let index = step as usize % NODES;
            let sample =
                LoadSample { seq: step as u16, running_jobs: step as u16 % 3, ..LoadSample::default() };
            world.input(index, Input::Load(sample));
            world.run(100 * MS);
            for (index, (boots, viewer)) in viewers.iter_mut().enumerate() {
                // Some look often, some hardly ever.
                let Some(swim) = world.node(index).filter(|_| step % (index as u32 % 9 + 1) == 0) else {
                    continue;
                };
                if *boots != world.boots(index) {
                    (*boots, *viewer) = (world.boots(index), Viewer::default());
                }
                let at = origin + world.now().since(Time::ZERO);
                let (kept, anew) = (viewer.view(swim, origin, at), View::of(swim, origin, at));
                assert_eq!(
                    format!("{kept:?}"),
                    format!("{anew:?}"),
                    "seed {seed}, step {step}, node {index}"
                );
                damped += anew.peers.iter().filter(|peer| peer.damping.is_some()).count();
                measured += swim.peers().filter(|peer| peer.rtt().is_some()).count();
                estimated +=
                    swim.peers().filter(|peer| peer.rtt().is_none() && swim.rtt_to(peer).is_some()).count();
            }
        }
    }
    assert!(damped > 100 && estimated > 100 && measured > 100, "{damped} {estimated} {measured}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only what a picture's times count from")]
fn who_holds_a_picture_keeps_it_and_two_who_make_them_do_not_miss_what_the_other_was_told() {
    let origin = Instant::now();
    let mut world = settled(Topology::paper(), 1, 6);
    let (mut first, mut second) = (Viewer::default(), Viewer::default());
    let view = |viewer: &mut Viewer, world: &World| {
        viewer.view(world.node(0).unwrap(), origin, origin + world.now().since(Time::ZERO))
    };
    let held = view(&mut first, &world);
    let as_it_was = format!("{held:?}");
    for round in 1..=20 {
        world.input(1, Input::Load(LoadSample { seq: round, running_jobs: round, ..LoadSample::default() }));
        world.run(2 * SECOND);
        let [a, b] = [&mut first, &mut second].map(|viewer| format!("{:?}", view(viewer, &world)));
        assert_eq!(a, b);
        assert_eq!(
            a,
            format!("{:?}", View::of(world.node(0).unwrap(), origin, origin + world.now().since(Time::ZERO)))
        );
    }
    assert_eq!(format!("{held:?}"), as_it_was);
}
