//! A sequence of inputs of all kinds to a fresh node: `scripts/fuzz-target.sh overlay/fuzz sequence`.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use starling_overlay::testing::datagram;
use starling_overlay::{BootEpoch, ClusterId, ClusterIdentity, Config, Identity, Input, LoadSample, Output, Swim, Time};

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last.max(1)], 5000))
}

fn node(id: u8) -> Swim {
    let mut config = Config::new(Identity {
        name: "node1".parse().expect("a name"),
        boot: BootEpoch(1_000),
        gossip: address(1),
        http_port: 5000,
        zone: "A".parse().expect("a zone"),
        capacity_jobs: 2,
        versions: starling_overlay::Versions::SPOKEN,
    });
    config.seeds = vec!["seed:5000".into()];
    let identity = ClusterIdentity { id: ClusterId(u64::from(id / 2)), settled: !id.is_multiple_of(2) };
    config.cluster_identity = (id > 0).then_some(identity);
    Swim::new(&config, 7, Time::ZERO)
}

/// Steps of one sequence: longer ones find little that these don't, and take their time.
const STEPS_MAX: usize = 48;

// The cluster's id; then steps, each of them: kind, argument, length; then the body of a datagram.
fuzz_target!(|script: &[u8]| {
    let [id, rest @ ..] = script else { return };
    let mut swim = node(*id);
    let mut now = Time::ZERO;
    let mut rest = rest;
    for _ in 0..STEPS_MAX {
        let [kind, argument, length, after @ ..] = rest else { break };
        let (body, after) = after.split_at(after.len().min((*length).into()));
        rest = after;
        now = now + Duration::from_millis(u64::from(*argument) * 7);
        match kind % 10 {
            0 => swim.handle(now, Input::Timeout),
            1 => swim.handle(now, Input::Refused(address(*argument))),
            2 => swim.handle(now, Input::Seeds(&[address(*argument), address(length.wrapping_add(1))])),
            3 => swim.handle(now, Input::Load(LoadSample { seq: (*argument).into(), ..LoadSample::default() })),
            4 if *argument == 255 => swim.handle(now, Input::Leave),
            5 => swim.handle(now, Input::Contacts(&[address(*argument), address(length.wrapping_add(1))])),
            6 => swim.handle(now, Input::Address(address(*argument))),
            _ => {
                let mut bytes = datagram(body);
                swim.handle(now, Input::Datagram { from: address(*argument), bytes: &mut bytes });
            }
        }
        loop {
            match swim.poll() {
                Output::Send { bytes, .. } => swim.recycle(bytes),
                Output::Timeout(_) => break,
                Output::Event(_) | Output::Resolve | Output::Gone => {}
            }
        }
    }
});
