//! `GET /members` and `GET /peers`: the membership as this node sees it, as JSON.

use std::time::Instant;

use hyper::{Response, StatusCode};
use starling_overlay::MemberState;

use super::{Body, respond};
use crate::api::{LoadJson, MemberJson, MembersJson, PeersJson};
use crate::node::Node;

pub(super) fn members(node: &Node) -> Response<Body> {
    let view = node.view();
    let now = Instant::now();
    let mut members: Vec<MemberJson> = view.peers.iter().map(|peer| MemberJson::new(peer, now)).collect();
    let mut own = MemberJson::new(&view.local, now);
    own.rtt_ms = Some(0.0);
    own.load = Some(LoadJson::from(&node.own_load()));
    own.load_age_ms = Some(0);
    let place = members.partition_point(|member| member.name < own.name);
    members.insert(place, own);
    let converged_ms = view.converged.map(|rest| rest.elapsed.as_millis() as u64);
    respond::json(StatusCode::OK, &MembersJson { members, converged: converged_ms.is_some(), converged_ms })
}

pub(super) fn peers(node: &Node) -> Response<Body> {
    let view = node.view();
    let now = Instant::now();
    let alive = view.peers.iter().filter(|peer| peer.state == MemberState::Alive);
    respond::json(
        StatusCode::OK,
        &PeersJson { peers: alive.map(|peer| MemberJson::new(peer, now)).collect() },
    )
}
