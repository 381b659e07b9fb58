//! One datagram with any body, to a node of a small cluster: `scripts/fuzz-target.sh overlay/fuzz datagram`. It comes from a
//! member's address, and from one that is nobody's, from where it may change nothing.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use starling_overlay::sim::{Topology, World};
use starling_overlay::testing::datagram;
use starling_overlay::{ClusterId, ClusterIdentity, Input, Output, Swim, Time, Timing};

thread_local! {
    static NODE: RefCell<(Swim, Time)> = RefCell::new(node());
}

fn node() -> (Swim, Time) {
    let mut world = World::ring(Topology::flat(Duration::from_millis(1)), 1, 5, Timing::Lan);
    let identity = ClusterIdentity { id: ClusterId(1), settled: true };
    (0..5).for_each(|index| world.config_mut(index).cluster_identity = Some(identity));
    world.start_all();
    world.run(Duration::from_secs(3));
    (world.take(0).expect("it runs"), world.now())
}

/// Hands a datagram to the node; how many bytes it sends to where that came from.
fn hears(swim: &mut Swim, now: Time, from: SocketAddr, body: &[u8]) -> usize {
    let mut bytes = datagram(body);
    swim.handle(now, Input::Datagram { from, bytes: &mut bytes });
    let mut answered = 0;
    loop {
        match swim.poll() {
            Output::Send { to, bytes } => {
                assert!(bytes.len() <= starling_overlay::DATAGRAM_BYTES_MAX);
                answered += if to == from { bytes.len() } else { 0 };
                swim.recycle(bytes);
            }
            Output::Timeout(_) => return answered,
            Output::Event(_) | Output::Resolve | Output::Gone => {}
        }
    }
}

fuzz_target!(|body: &[u8]| {
    NODE.with_borrow_mut(|(swim, now)| {
        let state = |swim: &Swim| (swim.membership_version(), swim.detail_version(), swim.live());
        let before = state(swim);
        let length = datagram(body).len();
        let answered = hears(swim, *now, SocketAddr::from(([10, 9, 9, 9], 5000)), body);
        assert!(answered <= 3 * length, "{answered} bytes for {length}");
        assert_eq!(state(swim), before, "a stranger changed something");
        hears(swim, *now, SocketAddr::from(([10, 0, 0, 2], 5000)), body);
    });
});
