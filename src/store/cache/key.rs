use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::{ContentId, Damage};
use crate::profile::{Profile, ProfileName};
use crate::store::files;

/// What a result is made of: the input, and the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// SHA-256 of the input.
    pub content: ContentId,
    /// Name of the profile.
    pub profile: ProfileName,
    /// What the profile says: [`Profile::recipe_id`]. Nodes may have different recipes under one name.
    pub recipe: ContentId,
}

impl Key {
    /// The key of that input under that profile.
    pub fn new(content: ContentId, profile: &Profile) -> Self {
        Self { content, profile: profile.name.clone(), recipe: profile.recipe_id() }
    }

    /// The folder's name. Only the encoder's version is not in the key itself: it is the same for all of a cache.
    pub(super) fn folder(&self, encoder_version: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.recipe.as_bytes());
        hash.update(encoder_version.as_bytes());
        let tag = ContentId(hash.finalize().into()).to_string();
        format!("{}-{}-{}", self.content, self.profile, &tag[..16])
    }
}

/// What is known of a cached result; lies beside it as `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// SHA-256 of the input.
    pub content: ContentId,
    /// Name of the profile.
    pub profile: ProfileName,
    /// Version of the encoder that made it, for people.
    pub encoder: String,
    /// Length of the result.
    pub bytes: u64,
    /// SHA-256 of the result.
    pub sha256: ContentId,
    /// Content-Type of the result.
    pub media_type: String,
    /// File name extension of the result, without the dot.
    pub extension: String,
    /// What of the input could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
}

impl Meta {
    /// Whether it is a tar of several files.
    pub fn is_set(&self) -> bool {
        self.media_type == files::MEDIA_TYPE
    }
}
