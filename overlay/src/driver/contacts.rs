//! When the members known before the last stop are asked.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Addresses of members known before the last stop. By now some other cluster's node may have such an address, so they are
/// tried only while no seed answers.
#[derive(Debug)]
pub(super) struct Contacts {
    addresses: Vec<SocketAddr>,
    /// How long the seeds have to answer first.
    after: Duration,
    alone_since: Option<Instant>,
}

impl Contacts {
    /// Without seeds the contacts are all there is, and are tried at once; else after a protocol period.
    pub fn new(addresses: Vec<SocketAddr>, without_seeds: bool, period: Duration) -> Self {
        let after = if without_seeds { Duration::ZERO } else { period };
        Self { addresses, after, alone_since: None }
    }

    /// Whom to try now that the seeds were tried.
    pub fn tried_now(&mut self, now: Instant, alone: bool) -> &[SocketAddr] {
        if !alone {
            self.alone_since = None;
            return &[];
        }
        let since = *self.alone_since.get_or_insert(now);
        if now - since >= self.after { &self.addresses } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_for_nodes_that_no_seed_answers() {
        let contact: SocketAddr = ([10, 0, 0, 1], 5000).into();
        let period = Duration::from_secs(1);
        let begin = Instant::now();
        let mut contacts = Contacts::new(vec![contact], false, period);
        let mut tried = |ms, alone| !contacts.tried_now(begin + Duration::from_millis(ms), alone).is_empty();
        let said = [(0, true), (900, true), (1000, true), (1500, false), (1600, true), (2700, true)];
        assert_eq!(said.map(|(ms, alone)| tried(ms, alone)), [false, false, true, false, false, true]);
        assert_eq!(Contacts::new(vec![contact], true, period).tried_now(begin, true), [contact]);
    }
}
