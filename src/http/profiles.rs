//! `GET /profiles`: what can be asked for, and what of it this node can make.

use hyper::{Response, StatusCode};

use super::Body;
use super::respond::json;
use crate::api::{ProfileJson, ProfilesJson};
use crate::node::Node;
use crate::profile::Profile;

pub(super) fn profiles(node: &Node) -> Response<Body> {
    let set = node.profiles();
    let profiles = set.iter().map(|profile| described(node, profile)).collect();
    json(StatusCode::OK, &ProfilesJson { default: set.default_name().to_string(), profiles })
}

fn described(node: &Node, profile: &Profile) -> ProfileJson {
    let lack = node.lack(profile);
    ProfileJson {
        name: profile.name.to_string(),
        description: profile.description.clone(),
        made: profile.made(),
        media_type: profile.media_type().to_owned(),
        extension: profile.extension().to_owned(),
        available: lack.is_none(),
        lack,
    }
}
