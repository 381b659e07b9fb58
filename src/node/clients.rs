//! How many uploads each client has under way: none is to take all there is room for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::content::network_of;

/// Uploads under way, by client. An entry lives as long as one of its uploads, and each of these has a connection: so
/// the table is bounded by the connections.
#[derive(Debug)]
pub struct Clients {
    max: u32,
    under_way: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One upload's place; given back on drop.
#[derive(Debug)]
pub struct ClientSlot {
    client: IpAddr,
    table: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Clients {
    /// At most `max` uploads of each client.
    pub fn new(max: u32) -> Self {
        Self { max, under_way: Arc::default() }
    }

    /// A place for one more upload from this address, if its client has not too many under way.
    pub fn enter(&self, address: IpAddr) -> Option<ClientSlot> {
        let client = network_of(address);
        let mut table = lock(&self.under_way);
        let count = table.entry(client).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(ClientSlot { client, table: Arc::clone(&self.under_way) })
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = lock(&self.table).entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

fn lock(table: &Mutex<HashMap<IpAddr, u32>>) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
    table.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_client_has_as_many_places_and_gets_them_back() {
        let clients = Clients::new(2);
        let first = clients.enter(ip("192.0.2.1"));
        let second = clients.enter(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(clients.enter(ip("192.0.2.1")).is_none());
        assert!(clients.enter(ip("192.0.2.2")).is_some(), "another client is not its business");
        drop(first);
        assert!(clients.enter(ip("192.0.2.1")).is_some());
        drop(second);
        assert_eq!(lock(&clients.under_way).len(), 0, "who has left leaves nothing");
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_client() {
        let clients = Clients::new(1);
        let _slot = clients.enter(ip("2001:db8::1")).unwrap();
        assert!(clients.enter(ip("2001:db8::2")).is_none());
        assert!(clients.enter(ip("2001:db8:0:1::1")).is_some());
    }
}
