//! One datagram with any body, to a node of a small cluster: `scripts/fuzz-target.sh overlay/fuzz datagram`.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use starling_overlay::sim::{Topology, World};
use starling_overlay::testing::datagram;
use starling_overlay::{Input, Output, Swim, Time, Timing};

thread_local! {
    static NODE: RefCell<(Swim, Time)> = RefCell::new(node());
}

fn node() -> (Swim, Time) {
    let mut world = World::ring(Topology::flat(Duration::from_millis(1)), 1, 5, Timing::Lan);
    world.start_all();
    world.run(Duration::from_secs(3));
    (world.take(0).expect("it runs"), world.now())
}

fuzz_target!(|body: &[u8]| {
    NODE.with_borrow_mut(|(swim, now)| {
        let mut bytes = datagram(body);
        let from = SocketAddr::from(([10, 0, 0, 2], 5000));
        swim.handle(*now, Input::Datagram { from, bytes: &mut bytes });
        loop {
            match swim.poll() {
                Output::Send { bytes, .. } => {
                    assert!(bytes.len() <= starling_overlay::DATAGRAM_BYTES_MAX);
                    swim.recycle(bytes);
                }
                Output::Timeout(_) => break,
                Output::Event(_) | Output::Resolve | Output::Gone => {}
            }
        }
    });
});
