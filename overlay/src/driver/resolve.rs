//! Seeds' names to addresses, again on each attempt.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// A name server that does not answer must not hold up the other seeds for ever.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What has changed is not said sooner after what was said before.
const CHANGED_MIN: Duration = Duration::from_secs(60);
/// What has not changed is said again after so long.
const AGAIN: Duration = Duration::from_secs(600);

/// What came of an attempt.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// All addresses of all seeds whose names resolve now, then those of the members known before the last stop.
    pub addresses: Vec<SocketAddr>,
    /// Why not, of each seed whose name does not resolve; in the order of the seeds.
    pub errors: Vec<Option<String>>,
}

pub(super) async fn resolve(seeds: &[String], contacts: &[SocketAddr]) -> Resolved {
    let mut addresses = Vec::new();
    let mut errors = Vec::with_capacity(seeds.len());
    for seed in seeds {
        errors.push(match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(seed)).await {
            Ok(Ok(found)) => {
                addresses.extend(found);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", RESOLVE_TIMEOUT.as_secs())),
        });
    }
    addresses.extend(contacts);
    let mut seen = BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    Resolved { addresses, errors }
}

/// What was last said of a seed's name; nothing, as long as it has always resolved.
#[derive(Clone, Debug, Default)]
struct Said {
    error: Option<String>,
    at: Option<Instant>,
}

impl Said {
    /// Whether to say how it is now.
    fn is_due(&self, now: Instant, error: Option<&str>) -> bool {
        let changed = self.error.as_deref() != error;
        let interval = if changed { CHANGED_MIN } else { AGAIN };
        (changed || error.is_some()) && self.at.is_none_or(|at| now - at >= interval)
    }
}

/// Says which seeds' names do not resolve: the first time, when that changes, and now and then.
#[derive(Debug)]
pub(super) struct Names(Vec<Said>);

impl Names {
    pub fn new(seeds: usize) -> Self {
        Self(vec![Said::default(); seeds])
    }

    pub fn tell(&mut self, now: Instant, seeds: &[String], errors: &[Option<String>]) {
        for ((said, seed), error) in self.0.iter_mut().zip(seeds).zip(errors) {
            if !said.is_due(now, error.as_deref()) {
                continue;
            }
            *said = Said { error: error.clone(), at: Some(now) };
            if let Some(error) = error {
                tracing::warn!(
                    target: "starling::overlay",
                    %seed,
                    %error,
                    "the seed's name does not resolve; it is tried again. Check --join and the resolver"
                );
            } else {
                tracing::info!(target: "starling::overlay", %seed, "the seed's name resolves again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_that_do_not_resolve_are_told_beside_those_that_do() {
        let contact: SocketAddr = "10.0.0.1:5000".parse().unwrap();
        // No port: that is refused without asking any resolver.
        let seeds = ["127.0.0.1:7000", "nowhere", "[::1]:7000"].map(String::from);
        let resolved = resolve(&seeds, &[contact]).await;
        assert_eq!(
            resolved.addresses,
            ["127.0.0.1:7000".parse().unwrap(), "[::1]:7000".parse().unwrap(), contact]
        );
        assert_eq!(resolved.errors.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn an_error_is_said_at_once_then_rarely_and_when_it_changes() {
        let mut said = Said::default();
        let begin = Instant::now();
        let mut told = |seconds: std::ops::Range<u64>, error: Option<&str>| -> Vec<u64> {
            let mut told = Vec::new();
            for second in seconds {
                let now = begin + Duration::from_secs(second);
                if said.is_due(now, error) {
                    said = Said { error: error.map(str::to_owned), at: Some(now) };
                    told.push(second);
                }
            }
            told
        };
        assert!(told(0..10, None).is_empty(), "a name that resolves is nothing to speak of");
        assert_eq!(told(10..1000, Some("unknown")), [10, 610]);
        assert_eq!(told(1000..1010, Some("no server")), [1000]);
        assert!(told(1010..1020, Some("unknown")).is_empty(), "not more than once a minute");
        assert_eq!(told(1020..1100, None), [1060], "that it resolves again is said once");
        assert!(told(1100..1110, None).is_empty());
        assert_eq!(told(1110..1200, Some("unknown")), [1120]);
    }
}
