use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
pub use starling_placement::content::Key;

use crate::content::{ContentId, Damage};
use crate::profile::ProfileName;
use crate::store::files;

/// The folder's name of a result. Only the encoder's version is not in the key itself: it is the same for all of a cache.
pub(super) fn folder(key: &Key, encoder_version: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(key.recipe.as_bytes());
    hash.update(encoder_version.as_bytes());
    let tag = ContentId(hash.finalize().into()).to_string();
    format!("{}-{}-{}", key.content, key.profile, &tag[..16])
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
