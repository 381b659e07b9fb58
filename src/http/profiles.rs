//! `GET /profiles`: what can be asked for, and what of it this node can make.

use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::Body;
use super::respond::json;
use crate::node::Node;
use crate::profile::{Made, Profile};

/// `GET /profiles`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfilesJson {
    /// The one that a request gets which names none.
    pub default: String,
    /// All of them, by name.
    pub profiles: Vec<ProfileJson>,
}

/// One profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileJson {
    /// What to ask for.
    pub name: String,
    /// What it makes, for people.
    pub description: String,
    /// What it makes.
    #[serde(flatten)]
    pub made: Made,
    /// The result's Content-Type.
    pub media_type: String,
    /// The result's file name extension, without the dot.
    pub extension: String,
    /// Whether this node can make it; another one that can is asked otherwise.
    pub available: bool,
    /// What this node lacks for it, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<String>,
}

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
