//! `GET /sd/prometheus`: the members as targets, for Prometheus's HTTP service discovery.

use hyper::{Response, StatusCode};
use serde::Serialize;
use starling_overlay::{Member, MemberState};
use utoipa::ToSchema;

use super::{Body, respond};
use crate::node::Node;

/// One target, as Prometheus takes it. Labels that begin with `__meta_` are for its relabelling alone.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetGroup<'a> {
    targets: [String; 1],
    labels: Labels<'a>,
}

#[derive(Serialize, ToSchema)]
struct Labels<'a> {
    node: &'a str,
    zone: &'a str,
    /// How Prometheus is to ask; without, it asks as its configuration says.
    #[serde(rename = "__scheme__", skip_serializing_if = "Option::is_none")]
    scheme: Option<&'static str>,
    #[serde(rename = "__meta_starling_state")]
    state: String,
    #[serde(rename = "__meta_starling_boot")]
    boot: String,
}

/// A member that has failed stays a target until it is forgotten: that it is down is to be seen. One that has left is none.
pub(super) fn prometheus(node: &Node) -> Response<Body> {
    let view = node.view();
    // Whoever has a certificate has it at every node.
    let scheme = node.config().certificate.as_ref().map(|_| "https");
    let groups: Vec<_> = view
        .members()
        // What only watches has no metrics of a node.
        .filter(|member| member.state != MemberState::Left && !member.identity.is_observer())
        .map(|member| group(member, scheme))
        .collect();
    respond::json(StatusCode::OK, &groups)
}

fn group<'a>(member: &'a Member, scheme: Option<&'static str>) -> TargetGroup<'a> {
    let identity = &member.identity;
    TargetGroup {
        targets: [identity.http().to_string()],
        labels: Labels {
            node: identity.name.as_str(),
            zone: identity.zone.as_str(),
            scheme,
            state: member.state.to_string(),
            boot: identity.boot.0.to_string(),
        },
    }
}
