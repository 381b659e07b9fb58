//! `GET` and `POST /internal/policy`: by which routing policy this node decides, and another one from now on.
//!
//! Whoever may ask holds the cluster's key; in a cluster without one it is whoever is on the node's own machine.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::respond::{json, problem};
use super::{ApiError, Body, internal};
use crate::api::{PolicyChange, PolicyJson};
use crate::node::Node;
use starling_placement::policy::{Policy, PolicyKind, ScoreWeights};

fn now(node: &Node) -> PolicyJson {
    let Policy { kind, weights } = node.policy();
    PolicyJson {
        node: node.identity().name.to_string(),
        policy: kind.as_str().to_owned(),
        load_weight: weights.load(),
        rtt_weight: weights.rtt(),
    }
}

/// The policy that decides from now on where `before` did.
fn checked(change: &PolicyChange, before: Policy) -> Result<Policy, ApiError> {
    let bad = |reason: String| ApiError::BadRequest(reason);
    let kind: PolicyKind = change.policy.parse().map_err(|_| {
        let known = PolicyKind::ALL.map(PolicyKind::as_str).join(", ");
        bad(format!("unknown policy {:.80?}: use one of {known}", change.policy))
    })?;
    let has_weights = change.load_weight.is_some() || change.rtt_weight.is_some();
    if has_weights && kind != PolicyKind::Score {
        return Err(bad(format!("{} has no weights: only score has", kind.as_str())));
    }
    let load = change.load_weight.unwrap_or(before.weights.load());
    let rtt = change.rtt_weight.unwrap_or(before.weights.rtt());
    let weights = ScoreWeights::new(load, rtt).map_err(|error| bad(error.to_string()))?;
    Ok(Policy { kind, weights })
}

/// `GET /internal/policy`.
pub(super) async fn show(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    match internal::administrator(node, peer, &request) {
        Ok(admission) => internal::proved(&admission, json(StatusCode::OK, &now(node))).await,
        Err(error) => problem(&error.into()),
    }
}

/// `POST /internal/policy`.
pub(super) async fn set(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let admission = match internal::administrator(node, peer, &request) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    let changed = match internal::document::<PolicyChange>(&admission, request).await {
        Ok(change) => checked(&change, node.policy()).map(|policy| node.set_policy(policy)),
        Err(error) => Err(error),
    };
    let response = match changed {
        Ok(()) => json(StatusCode::OK, &now(node)),
        Err(error) => problem(&error),
    };
    internal::proved(&admission, response).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Result<(PolicyKind, f64, f64), String> {
        let before = Policy { kind: PolicyKind::Random, weights: ScoreWeights::new(0.8, 0.2).unwrap() };
        let change: PolicyChange = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let policy = checked(&change, before).map_err(|error| error.to_string())?;
        Ok((policy.kind, policy.weights.load(), policy.weights.rtt()))
    }

    #[test]
    fn a_change_is_checked_and_weights_that_are_left_out_stay() {
        assert_eq!(told(r#"{"policy":"eta"}"#), Ok((PolicyKind::Eta, 0.8, 0.2)));
        assert_eq!(told(r#"{"policy":"score","load_weight":0.5}"#), Ok((PolicyKind::Score, 0.5, 0.2)));
        let refused = |json| told(json).unwrap_err();
        assert!(
            refused(r#"{"policy":"best"}"#).starts_with(r#"unknown policy "best": use one of score, random"#)
        );
        assert_eq!(refused(r#"{"policy":"eta","rtt_weight":1}"#), "eta has no weights: only score has");
        assert!(refused(r#"{"policy":"score","load_weight":-1}"#).contains("weights must be finite"));
        assert!(refused(r#"{"policy":"score","load_weight":0,"rtt_weight":0}"#).contains("not both zero"));
        assert!(refused(r#"{"policy":"score","weight":0}"#).contains("unknown field"));
    }
}
