//! What does not get in.

use super::{rng, sealed};
use crate::wire::*;
use crate::{BootEpoch, Identity, Incarnation, KEY_BYTES, Keyring, NodeKey, Versions};

#[test]
fn one_datagram_has_one_message() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let mut bytes = sealed(&seal, &[2, 1, 0, 5, 5, 1, 0, 5]);
    assert!(matches!(decode(&seal, &mut bytes, Lists::default()), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_section_can_not_reach_past_the_end() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let mut bytes = sealed(&seal, &[2, 200, 0, 5]);
    assert!(matches!(decode(&seal, &mut bytes, Lists::default()), Err(DecodeError::Malformed(_))));
}

#[test]
fn other_clusters_and_versions_are_strangers() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let bytes = sealed(&seal, &[]);
    let open = |seal: &Seal, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        decode(seal, &mut bytes, Lists::default()).err()
    };
    assert_eq!(open(&seal, &|_| ()), None);
    assert_eq!(open(&Seal::new("other", None, Versions::SPOKEN), &|_| ()), Some(OpenError::Checksum.into()));
    assert_eq!(open(&seal, &|b| b[0] = 9), Some(OpenError::Version(9).into()));
    assert_eq!(open(&seal, &|b| b[1] = 9), Some(OpenError::Mode(9).into()));
    assert_eq!(open(&seal, &|b| b.resize(1401, 0)), Some(OpenError::Length.into()));
    assert_eq!(open(&seal, &Vec::clear), Some(OpenError::Length.into()));
}

#[test]
fn unreachable_addresses_and_bad_names_are_refused() {
    let seal = Seal::new("test", None, Versions::SPOKEN);
    let good = Identity {
        name: "a".parse().unwrap(),
        boot: BootEpoch(1),
        gossip: "10.0.0.1:5000".parse().unwrap(),
        http_port: 1,
        zone: "z".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    };
    for gossip in ["10.0.0.1:0", "0.0.0.0:5000", "224.0.0.1:5000", "[::]:5000"] {
        let identity = Identity { gossip: gossip.parse().unwrap(), ..good.clone() };
        let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
        let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut rng(), &head);
        encoder.message(&Message::Join { seq: 1, from: (&identity).into() });
        assert!(decode(&seal, &mut encoder.finish(&seal), Lists::default()).is_err(), "{gossip}");
    }
}

#[test]
fn only_the_keys_of_the_ring_open_and_the_clusters_name_is_bound_in() {
    let [old, new, wrong] = [1, 2, 3].map(|byte| [byte; KEY_BYTES]);
    let ring = |keys: &[[u8; KEY_BYTES]]| {
        let text: Vec<String> = keys.iter().map(Keyring::line).collect();
        Seal::new("test", Some(&Keyring::parse(&text.join("\n")).unwrap()), Versions::SPOKEN)
    };
    let sealed_with = |seal: &Seal| sealed(seal, &[2, 1, 0, 5]);
    let opens = |seal: &Seal, mut bytes: Vec<u8>| {
        decode(seal, &mut bytes, Lists::default()).map(|datagram| datagram.message == Message::Ack { seq: 5 })
    };
    // The steps of a rotation: each ring can read what the ones one step away send.
    let steps = [ring(&[old]), ring(&[old, new]), ring(&[new, old]), ring(&[new])];
    for pair in steps.windows(2) {
        assert_eq!(opens(&pair[0], sealed_with(&pair[1])), Ok(true));
        assert_eq!(opens(&pair[1], sealed_with(&pair[0])), Ok(true));
    }
    let refused = Err(OpenError::Sealed.into());
    assert_eq!(opens(&steps[0], sealed_with(&ring(&[wrong]))), refused);
    assert_eq!(
        opens(&steps[0], sealed_with(&Seal::new("other", Some(&Keyring::new(old)), Versions::SPOKEN))),
        refused
    );
    assert_eq!(
        opens(&steps[0], sealed_with(&Seal::new("test", None, Versions::SPOKEN))),
        Err(OpenError::Unsealed.into())
    );
    assert_eq!(
        opens(&Seal::new("test", None, Versions::SPOKEN), sealed_with(&steps[0])),
        Err(OpenError::Keyless.into())
    );
    let plain = sealed_with(&steps[0]);
    assert!(!plain.windows(4).any(|bytes| bytes == [2, 1, 0, 5]), "the body can't be read");
}
