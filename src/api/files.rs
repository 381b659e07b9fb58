//! The files of a result: `GET /objects/{sha256}/{profile}/`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::content::ContentId;
use crate::profile::ProfileName;

/// `GET /objects/{sha256}/{profile}/`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FilesJson {
    /// SHA-256 of the upload.
    #[schema(value_type = String)]
    pub content: ContentId,
    /// What was made of it.
    #[schema(value_type = String)]
    pub profile: ProfileName,
    /// The files; the first is the one that a person opens.
    pub files: Vec<FileJson>,
}

/// One file of a result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileJson {
    /// Its name in the set.
    pub name: String,
    /// Its Content-Type.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// Its path at this node, with the result's token if it needs one.
    pub url: String,
}
