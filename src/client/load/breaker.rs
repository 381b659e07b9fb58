//! Which nodes can be asked: one that failed is left alone until its `/health` answers again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::client::{Client, Endpoint};

/// How often every node is asked how it is.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// A node that says nothing for so long, whatever its round trip, is no node to send to.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// All nodes of a run, each with a breaker.
#[derive(Debug)]
pub(super) struct Breakers {
    nodes: Vec<Breaker>,
}

#[derive(Debug)]
struct Breaker {
    endpoint: Endpoint,
    open: AtomicBool,
}

impl Breakers {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let nodes = endpoints.iter().cloned();
        Self { nodes: nodes.map(|endpoint| Breaker { endpoint, open: AtomicBool::new(false) }).collect() }
    }

    pub(super) fn endpoint(&self, node: usize) -> &Endpoint {
        &self.nodes[node].endpoint
    }

    /// One of the nodes that can be asked, by a random number; none if there is none.
    pub(super) fn pick(&self, draw: u64) -> Option<usize> {
        let closed: Vec<usize> = (0..self.nodes.len()).filter(|node| self.is_closed(*node)).collect();
        (!closed.is_empty()).then(|| closed[(draw % closed.len() as u64) as usize])
    }

    pub(super) fn is_closed(&self, node: usize) -> bool {
        !self.nodes[node].open.load(Ordering::Relaxed)
    }

    /// A node failed.
    pub(super) fn trip(&self, node: usize) {
        self.set(node, true);
    }

    fn set(&self, node: usize, open: bool) {
        let breaker = &self.nodes[node];
        if breaker.open.swap(open, Ordering::Relaxed) != open {
            let what = if open { "avoiding a node that fails" } else { "a node answers again" };
            tracing::debug!(node = %breaker.endpoint, "{what}");
        }
    }

    /// Asks every node how it is, and goes on doing so until dropped.
    pub(super) async fn watch(&self, client: &Client) {
        let mut ticks = tokio::time::interval(CHECK_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            join_all((0..self.nodes.len()).map(async |node| {
                let health = client.get(self.endpoint(node), "/health", CHECK_TIMEOUT).await;
                self.set(node, health.is_err());
            }))
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_failed_is_not_picked() {
        let endpoints: Vec<Endpoint> =
            ["a:1", "b:1", "c:1"].iter().map(|text| text.parse().unwrap()).collect();
        let breakers = Breakers::new(&endpoints);
        let picks = |breakers: &Breakers| (0..6).map(|draw| breakers.pick(draw)).collect::<Vec<_>>();
        assert_eq!(picks(&breakers), [0, 1, 2, 0, 1, 2].map(Some));
        breakers.trip(1);
        assert_eq!(picks(&breakers), [0, 2, 0, 2, 0, 2].map(Some));
        breakers.trip(0);
        breakers.trip(2);
        assert_eq!(breakers.pick(1), None);
        breakers.set(1, false);
        assert_eq!(breakers.pick(9), Some(1));
    }
}
