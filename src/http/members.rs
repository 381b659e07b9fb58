//! `GET /members` and `GET /peers`: the membership as this node sees it, as JSON.

use std::time::Instant;

use hyper::{Response, StatusCode};
use starling_overlay::{Member, MemberState, View};

use super::{Body, respond};
use crate::api::{LoadJson, MemberJson, MembersJson, PeersJson};
use crate::node::Node;

pub(super) fn members(node: &Node) -> Response<Body> {
    let load = LoadJson::from(&node.own_load());
    respond::json(StatusCode::OK, &document(&node.view(), Some(load)))
}

/// The members of a view; the load is its owner's own, read now, if it has one.
pub(super) fn document(view: &View, own_load: Option<LoadJson>) -> MembersJson {
    let now = Instant::now();
    let mut members: Vec<MemberJson> = view.peers.iter().map(|peer| MemberJson::new(peer, now)).collect();
    let mut own = MemberJson::new(&view.local, now);
    own.rtt_ms = Some(0.0);
    own.load_age_ms = own_load.as_ref().map(|_| 0);
    own.load = own_load;
    let place = members.partition_point(|member| member.name < own.name);
    members.insert(place, own);
    let converged_ms = view.converged.as_ref().map(|rest| rest.elapsed.as_millis() as u64);
    MembersJson { members, converged: converged_ms.is_some(), converged_ms }
}

pub(super) fn peers(node: &Node) -> Response<Body> {
    let view = node.view();
    let now = Instant::now();
    let works = |peer: &&Member| peer.state == MemberState::Alive && !peer.identity.is_observer();
    let alive = view.peers.iter().filter(works);
    respond::json(
        StatusCode::OK,
        &PeersJson { peers: alive.map(|peer| MemberJson::new(peer, now)).collect() },
    )
}
