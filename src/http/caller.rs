//! Who asks, as far as a request has proved it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use hyper::Request;
use hyper::header::HeaderMap;
use hyper::http::Extensions;

use super::ApiError;
use super::routes::Need;
use crate::access::{Charge, Grant};
use crate::content::ClientTag;
use crate::entrance::Entrance;
use crate::node::Node;

/// The connection is a member's, proved by the cluster's key: it needs no token.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByMember;

/// Lets a request in that has what its route needs, and leaves in it whose it is. `private`: results are got by tokens of their own.
pub(super) fn admit<B>(
    entrance: &Entrance,
    (need, private): (Need, bool),
    request: &mut Request<B>,
) -> Result<(), ApiError> {
    let needed = match need {
        // A proof by the key is looked at where the route is answered.
        Need::Nothing | Need::Key => return Ok(()),
        // So is a result's own token.
        Need::Result(_) if private => return Ok(()),
        Need::Token(needed) | Need::Result(needed) => needed,
    };
    if request.extensions().get::<ByMember>().is_some() {
        return Ok(());
    }
    if let Some(grant) = entrance.access().admit(request.headers(), needed)? {
        request.extensions_mut().insert(grant);
    }
    Ok(())
}

fn grant(extensions: &Extensions) -> Option<&Arc<Grant>> {
    extensions.get::<Arc<Grant>>()
}

/// Whose a request is: its token's, wherever it comes from, or its address's.
pub(super) fn tag(node: &Node, client: IpAddr, extensions: &Extensions) -> ClientTag {
    let cluster = &node.config().cluster;
    match grant(extensions) {
        Some(grant) => ClientTag::of_token(cluster, grant.name()),
        None => ClientTag::of_address(cluster, client),
    }
}

/// Whether a digest is enough to get the result that was made of it: a token that may only upload sends the video.
pub(super) fn may_read(extensions: &Extensions) -> bool {
    grant(extensions).is_none_or(|grant| grant.admits(&[crate::access::Scope::Read]))
}

/// Whether everybody's jobs are listed: for an administrator's token, or, where there are none, on the node's own machine.
pub(super) fn sees_all_jobs(client: IpAddr, extensions: &Extensions) -> bool {
    grant(extensions).map_or_else(|| client.to_canonical().is_loopback(), |grant| grant.is_admin())
}

/// A request that counts for so many uploads is let in by its token's quota; held until it is over. `received`: what of the body has come.
pub(super) fn charge(
    node: &Node,
    (client, extensions, headers): (IpAddr, &Extensions, &HeaderMap),
    (uploads, received): (u64, Arc<AtomicU64>),
) -> Result<Option<Charge>, ApiError> {
    let Some(grant) = grant(extensions) else { return Ok(None) };
    let announced = headers.get(hyper::header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    let jobs = node.jobs().unfinished_of(tag(node, client, extensions));
    let charge = grant.ledger().enter(grant.name(), (announced, received), (uploads, jobs), Instant::now());
    charge.map(Some).map_err(|error| crate::access::AccessError::from(error).into())
}
