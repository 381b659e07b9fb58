//! What is sent to addresses that have not answered yet, bounded for each host.
//!
//! A member may tell of others that are not there, at an address that is somebody else's. So an address that has not shown
//! to be a member's gets little: enough to be asked, and to answer. Each answer from a host allows it more, as in TCP's
//! slow start, so that hosts that take part notice nothing of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::Time;

/// Most hosts that are counted; beyond it the one that was sent to longest ago is forgotten.
pub(super) const HOSTS_MAX: usize = 1_024;
/// Bytes that a host may be sent before it answers.
const BYTES_FIRST: u32 = 8_192;
/// The same after many of its addresses have answered.
const BYTES_MAX: u32 = 262_144;
/// Bytes that come back each `T`: about one ping in two periods.
const BYTES_PER_PERIOD: u32 = 64;
/// Members that may come from one host at once.
const NEWCOMERS_MAX: u32 = 256;
/// How many more each `T`.
const NEWCOMERS_PER_PERIOD: u32 = 8;

/// What a host may still be sent, and who may still come from it.
#[derive(Clone, Copy, Debug)]
struct Host {
    bytes: u32,
    bytes_max: u32,
    newcomers: u32,
    /// Up to when what comes back is counted.
    at: Time,
}

impl Host {
    fn refill(&mut self, now: Time, period: Duration) {
        let periods = (now.since(self.at).as_micros() as u64 / period.as_micros() as u64).min(1 << 20) as u32;
        self.at = self.at + period * periods;
        self.bytes = self.bytes.saturating_add(periods * BYTES_PER_PERIOD).min(self.bytes_max);
        self.newcomers = self.newcomers.saturating_add(periods * NEWCOMERS_PER_PERIOD).min(NEWCOMERS_MAX);
    }

    fn is_full(&self) -> bool {
        self.bytes == self.bytes_max && self.newcomers == NEWCOMERS_MAX
    }
}

/// Hosts that were sent something before they answered.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, Host>);

impl Hosts {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this host may be sent so many bytes.
    pub fn allows(&self, host: IpAddr, bytes: usize, now: Time, period: Duration) -> bool {
        self.0.get(&network(host)).copied().is_none_or(|mut host| {
            host.refill(now, period);
            host.bytes as usize >= bytes
        })
    }

    /// The same; then it has been sent them.
    pub fn take(&mut self, host: IpAddr, bytes: usize, now: Time, period: Duration) -> bool {
        let host = self.host(host, now, period);
        let left = host.bytes.checked_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        host.bytes = left.unwrap_or(host.bytes);
        left.is_some()
    }

    /// Whether one more member may come from this host; then it has.
    pub fn admits(&mut self, host: IpAddr, now: Time, period: Duration) -> bool {
        let host = self.host(host, now, period);
        let left = host.newcomers.checked_sub(1);
        host.newcomers = left.unwrap_or(0);
        left.is_some()
    }

    /// An address of this host has answered for the first time.
    pub fn answered(&mut self, host: IpAddr) {
        if let Some(host) = self.0.get_mut(&network(host)) {
            host.bytes_max = (host.bytes_max * 2).min(BYTES_MAX);
            host.bytes = host.bytes_max;
        }
    }

    fn host(&mut self, host: IpAddr, now: Time, period: Duration) -> &mut Host {
        let host = network(host);
        if self.0.len() >= HOSTS_MAX && !self.0.contains_key(&host) {
            self.make_room(now, period);
        }
        let first = Host { bytes: BYTES_FIRST, bytes_max: BYTES_FIRST, newcomers: NEWCOMERS_MAX, at: now };
        let host = self.0.entry(host).or_insert(first);
        host.refill(now, period);
        host
    }

    fn make_room(&mut self, now: Time, period: Duration) {
        self.0.retain(|_, host| {
            host.refill(now, period);
            !host.is_full()
        });
        if self.0.len() >= HOSTS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, host)| host.at).map(|(ip, _)| *ip)
        {
            self.0.remove(&oldest);
        }
    }
}

/// Who has one address of an IPv6 network has all of them.
fn network(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(_) => host,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: u64) -> Time {
        Time::ZERO + SECOND * second as u32
    }

    fn sent(hosts: &mut Hosts, host: &str, now: Time) -> usize {
        (0..100_000).take_while(|_| hosts.take(host.parse().unwrap(), 100, now, SECOND)).count() * 100
    }

    #[test]
    fn who_does_not_answer_gets_little_and_who_does_gets_more() {
        let mut hosts = Hosts::default();
        assert_eq!(sent(&mut hosts, "10.0.0.1", at(0)), 8_100);
        assert_eq!(sent(&mut hosts, "10.0.0.1", at(0)), 0);
        assert_eq!(sent(&mut hosts, "10.0.0.2", at(0)), 8_100, "each for itself");
        assert!(!hosts.allows("10.0.0.1".parse().unwrap(), 100, at(0), SECOND));
        assert!(hosts.allows("10.0.0.1".parse().unwrap(), 100, at(1), SECOND));
        assert_eq!(sent(&mut hosts, "10.0.0.1", at(100)), 6_400, "some of it comes back");
        let total: usize = (0..10)
            .map(|_| {
                hosts.answered("10.0.0.1".parse().unwrap());
                sent(&mut hosts, "10.0.0.1", at(100))
            })
            .sum();
        assert!((1 << 20..3 << 20).contains(&total), "{total}");
    }

    #[test]
    fn an_ipv6_network_is_one_host() {
        let mut hosts = Hosts::default();
        assert_eq!(sent(&mut hosts, "2001:db8::1", at(0)), 8_100);
        assert_eq!(sent(&mut hosts, "2001:db8::2", at(0)), 0);
        assert_eq!(sent(&mut hosts, "2001:db8:0:1::2", at(0)), 8_100);
    }

    #[test]
    fn newcomers_of_one_host_come_in_bounded_numbers() {
        let mut hosts = Hosts::default();
        let host = "10.0.0.1".parse().unwrap();
        let mut come = |second| (0..10_000).take_while(|_| hosts.admits(host, at(second), SECOND)).count();
        assert_eq!([come(0), come(0), come(2), come(10_000)], [256, 0, 16, 256]);
    }

    #[test]
    fn hosts_are_bounded() {
        let mut hosts = Hosts::default();
        for number in 0..10_000u32 {
            let host = IpAddr::from(number.to_be_bytes());
            assert!(hosts.take(host, 100, at(u64::from(number) / 100), SECOND));
            assert!(hosts.len() <= HOSTS_MAX);
        }
    }
}
