//! What can be asked for: `GET /profiles`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::profile::Made;

/// `GET /profiles`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProfilesJson {
    /// The one that a request gets which names none.
    pub default: String,
    /// All of them, by name.
    pub profiles: Vec<ProfileJson>,
}

/// One profile.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
