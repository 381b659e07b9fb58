//! What is encoded comes back, whatever it is, and what is damaged does not.

use std::time::Duration;

use proptest::prelude::*;

use super::strategies::{ages, coordinates, heads, identities, loads, messages, samples, updates};
use super::{borrowed, recorded, rng, seals};
use crate::wire::*;
use crate::{ClusterIdentity, Versions};

proptest! {
    #[test]
    fn what_was_encoded_comes_back(
        head in heads(), kind: u8, seq: u32, number: u64, identity in identities(),
        load in prop::option::of((samples(), ages())), place in prop::option::of(coordinates()),
        news in prop::collection::vec(updates(), 0..100), entries in prop::collection::vec(loads(), 0..40),
        seal in 0usize..2,
    ) {
        let seal = &seals()[seal];
        let message = messages(kind, seq, number, &identity);
        let mut encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
        encoder.message(&message);
        if let Some((sample, age)) = &load {
            encoder.load(sample, *age);
        }
        if let Some(place) = &place {
            encoder.coordinate(place);
        }
        let promise_cs = kind.is_multiple_of(2).then_some(seq as u16);
        if let Some(within_cs) = promise_cs {
            encoder.promise(Duration::from_millis(u64::from(within_cs) * 10));
        }
        let claim = (!kind.is_multiple_of(3)).then_some(ClusterClaim {
            identity: ClusterIdentity { id: ClusterId(number), settled: kind.is_multiple_of(5) },
            exact: kind.is_multiple_of(7),
            period: (!kind.is_multiple_of(4)).then(|| Duration::from_millis(u64::from(seq as u16) * 10)),
        });
        if let Some(claim) = &claim {
            encoder.cluster(claim);
        }
        let told = news.iter().take_while(|update| encoder.update(&borrowed(update))).count();
        let passed_on = entries.iter().take_while(|entry| encoder.load_entry(entry)).count();
        let mut bytes = encoder.finish(seal);

        prop_assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        let datagram = decode(seal, &mut bytes, Lists::default()).unwrap();
        prop_assert_eq!(datagram.head, head);
        prop_assert_eq!(datagram.message, message);
        prop_assert_eq!(datagram.coordinate, place);
        prop_assert_eq!(datagram.promise.map(|within| within.as_millis() / 10), promise_cs.map(u128::from));
        prop_assert_eq!(datagram.cluster, claim);
        prop_assert_eq!(datagram.load, load);
        prop_assert_eq!(datagram.lists.updates, news[..told].iter().map(recorded).collect::<Vec<_>>());
        prop_assert_eq!(datagram.lists.loads, &entries[..passed_on]);
    }

    #[test]
    fn damage_is_noticed(head in heads(), place: prop::sample::Index, bit in 0u8..8, cut in any::<bool>(), seal in 0usize..2) {
        let seal = &seals()[seal];
        let mut encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
        encoder.message(&Message::Ack { seq: 7 });
        let mut bytes = encoder.finish(seal);
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        prop_assert!(decode(seal, &mut bytes, Lists::default()).is_err());
    }

    #[test]
    fn any_body_is_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..1300)) {
        let seal = Seal::new("test", None, Versions::SPOKEN);
        let mut bytes = Vec::new();
        seal.begin(1, &mut bytes, &mut rng());
        bytes.extend(body);
        seal.seal(&mut bytes);
        if let Ok(datagram) = decode(&seal, &mut bytes, Lists::default()) {
            prop_assert!(datagram.lists.updates.len() <= UPDATES_MAX && datagram.lists.loads.len() <= LOADS_MAX);
        }
    }
}
