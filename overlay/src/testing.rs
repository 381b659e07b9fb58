//! For fuzzers and hostile tests: what an enemy inside the cluster could send.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Versions;
use crate::wire::Seal;

/// A datagram of the cluster `starling`, without a key, whose envelope is right and whose body is these bytes.
pub fn datagram(body: &[u8]) -> Vec<u8> {
    let seal = Seal::new("starling", None, Versions::SPOKEN);
    let mut bytes = Vec::with_capacity(body.len() + 16);
    seal.begin(Versions::SPOKEN.newest(), &mut bytes, &mut ChaCha8Rng::seed_from_u64(0));
    bytes.extend_from_slice(body);
    seal.seal(&mut bytes);
    bytes
}

/// The body of a datagram without a key.
pub fn body(datagram: &[u8]) -> &[u8] {
    let end = datagram.len().saturating_sub(8).max(2);
    datagram.get(2..end).unwrap_or_default()
}
