//! `GET` and `POST /internal/work`: whether this node takes work, and whether it is to.
//!
//! Whoever may ask holds the cluster's key; in a cluster without one it is whoever is on the node's own machine.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::respond::{json, problem};
use super::{Body, internal};
use crate::api::WorkChange;
use crate::node::Node;

/// `GET /internal/work`.
pub(super) async fn show(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    match internal::administrator(node, peer, &request) {
        Ok(admission) => internal::proved(&admission, json(StatusCode::OK, &node.work())).await,
        Err(error) => problem(&error.into()),
    }
}

/// `POST /internal/work`.
pub(super) async fn set(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let admission = match internal::administrator(node, peer, &request) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    let response = match internal::document::<WorkChange>(&admission, request).await {
        Ok(change) => {
            node.set_work_mode(change.mode);
            json(StatusCode::OK, &node.work())
        }
        Err(error) => problem(&error),
    };
    internal::proved(&admission, response).await
}
