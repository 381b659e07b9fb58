//! Which nodes can be asked: those whose `/health` has answered with their name, and not failed since.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::client::{Client, ClientError, Endpoint, Reached, SIGN_OF_LIFE, Target};

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
    /// Who is to answer there: as was said, or else who did so first.
    name: OnceLock<String>,
    open: AtomicBool,
}

/// None of the nodes can be sent to.
#[derive(Debug, thiserror::Error)]
#[error("no node to send to: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct NoNode(Vec<ClientError>);

impl Breakers {
    /// None of them can be asked yet.
    pub(super) fn new(targets: &[Target]) -> Self {
        let breaker = |target: &Target| Breaker {
            endpoint: target.endpoint.clone(),
            name: target.name.clone().map_or_else(OnceLock::new, OnceLock::from),
            open: AtomicBool::new(true),
        };
        Self { nodes: targets.iter().map(breaker).collect() }
    }

    /// Asks every node who it is, once; an error if none answers as it should.
    pub(super) async fn meet(&self, client: &Client) -> Result<(), NoNode> {
        let met = join_all((0..self.nodes.len()).map(|node| self.check(client, node, SIGN_OF_LIFE))).await;
        let strangers: Vec<ClientError> = met.into_iter().filter_map(Result::err).collect();
        if strangers.len() == self.nodes.len() {
            return Err(NoNode(strangers));
        }
        for error in strangers {
            tracing::warn!("{error}; nothing is sent there until it answers");
        }
        Ok(())
    }

    /// Asks a node who it is: it can be sent to if it is who it should be.
    async fn check(&self, client: &Client, node: usize, timeout: Duration) -> Result<(), ClientError> {
        let checked = client.identify(self.endpoint(node), timeout).await;
        let checked = checked.and_then(|reached| self.recognize(node, reached));
        self.set(node, checked.is_err());
        checked
    }

    fn recognize(&self, node: usize, reached: Reached) -> Result<(), ClientError> {
        let Breaker { endpoint, name, .. } = &self.nodes[node];
        let expected = name.get_or_init(|| reached.name.clone());
        if *expected == reached.name {
            return Ok(());
        }
        let (endpoint, expected) = (endpoint.clone(), expected.clone());
        Err(ClientError::AnotherNode { endpoint, expected, found: reached.name })
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
                if let Err(error) = self.check(client, node, CHECK_TIMEOUT).await {
                    tracing::debug!(%error, "not sent to");
                }
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
        let targets = ["a:1", "b:1", "c:1"].map(|text| Target::from(text.parse::<Endpoint>().unwrap()));
        let breakers = Breakers::new(&targets);
        assert_eq!(breakers.pick(0), None, "nobody has said who they are");
        (0..3).for_each(|node| breakers.set(node, false));
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

    #[test]
    fn a_node_stays_who_it_is() {
        let endpoint: Endpoint = "a:1".parse().unwrap();
        let named = Target { endpoint: endpoint.clone(), name: Some("node1".into()) };
        let breakers = Breakers::new(&[named, endpoint.into()]);
        let reached = |name: &str| Reached { name: name.into(), address: ([127, 0, 0, 1], 1).into() };
        let is = |node, name| breakers.recognize(node, reached(name)).is_ok();
        assert!(!is(0, "node2") && is(0, "node1") && !is(0, "node2"));
        assert!(is(1, "node2") && !is(1, "node1") && is(1, "node2"), "who answered first");
    }
}
