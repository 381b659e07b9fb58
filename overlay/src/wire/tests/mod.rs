//! The codec: what is encoded comes back, and nothing else gets in.

mod refused;
mod releases;
mod round_trips;
mod strategies;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{BootEpoch, Identity, Incarnation, KEY_BYTES, Keyring, NodeKey, Versions};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// Without a key, and with one.
fn seals() -> [Seal; 2] {
    [None, Some(&Keyring::new([7; KEY_BYTES]))].map(|keys| Seal::new("test", keys, Versions::SPOKEN))
}

fn borrowed(update: &Update<Identity>) -> Update<&Identity> {
    let subject = match &update.subject {
        Subject::Full(identity) => Subject::Full(identity),
        Subject::Key(key, boot) => Subject::Key(*key, *boot),
    };
    Update { subject, incarnation: update.incarnation, state: update.state, by: update.by }
}

fn recorded(update: &Update<Identity>) -> Update<Record<'_>> {
    let subject = match &update.subject {
        Subject::Full(identity) => Subject::Full(identity.into()),
        Subject::Key(key, boot) => Subject::Key(*key, *boot),
    };
    Update { subject, incarnation: update.incarnation, state: update.state, by: update.by }
}

fn sealed(seal: &Seal, sections: &[u8]) -> Vec<u8> {
    let head = Head::new(NodeKey(1), BootEpoch(2), Incarnation(3), 4);
    let encoder = Encoder::new(Vec::new(), seal, 1, &mut rng(), &head);
    let mut bytes = encoder.finish(seal);
    bytes.truncate(bytes.len() - seal.trailer_bytes());
    bytes.extend_from_slice(sections);
    seal.seal(&mut bytes);
    bytes
}
