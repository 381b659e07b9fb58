use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name of a file of a set: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, with no dot in front, and an ending that says
/// what it is. Safe in a path, a URL, a header and a playlist.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(Arc<str>);

/// The text can't be the name of a file of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// Too long, empty, or of other letters.
    #[error("a name is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', and does not begin with a dot")]
    Letters,
    /// It does not end as a kind of file that sets have.
    #[error("a name ends with what the file is: one of {}", endings())]
    Ending,
}

/// What sets are made of, by the end of the name.
const MEDIA_TYPES: [(&str, &str); 10] = [
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("mpd", "application/dash+xml"),
    ("mp4", "video/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4a", "audio/mp4"),
    ("webm", "video/webm"),
    ("ogg", "audio/ogg"),
    ("jpg", "image/jpeg"),
    ("gif", "image/gif"),
    ("vtt", "text/vtt"),
];

fn endings() -> String {
    MEDIA_TYPES.map(|(ending, _)| ending).join(", ")
}

fn media_type(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.rsplit_once('.')?;
    let known = MEDIA_TYPES.iter().find(|(known, _)| *known == ending && !stem.is_empty());
    known.map(|(_, media_type)| *media_type)
}

impl FileName {
    /// The most bytes a name may have.
    pub const BYTES_MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Content-Type of the file.
    pub fn media_type(&self) -> &'static str {
        media_type(&self.0).unwrap_or("application/octet-stream")
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=Self::BYTES_MAX).contains(&text.len()) || text.starts_with('.') || !text.bytes().all(allowed)
        {
            return Err(FileNameError::Letters);
        }
        media_type(text).ok_or(FileNameError::Ending)?;
        Ok(Self(text.into()))
    }
}

/// Path of a file in what several results are put together in: a folder, named after a profile, and the file's name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberPath {
    folder: String,
    name: FileName,
}

impl MemberPath {
    /// The most bytes that a folder's name may have: as a profile's.
    const FOLDER_BYTES_MAX: usize = 32;

    /// Name of its folder: `a-z`, `0-9` and `-`.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Its own name.
    pub const fn name(&self) -> &FileName {
        &self.name
    }
}

impl FromStr for MemberPath {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (folder, name) = text.split_once('/').ok_or(FileNameError::Letters)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=Self::FOLDER_BYTES_MAX).contains(&folder.len()) || !folder.bytes().all(allowed) {
            return Err(FileNameError::Letters);
        }
        Ok(Self { folder: folder.to_owned(), name: name.parse()? })
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder, self.name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileName({})", self.0)
    }
}

impl Serialize for FileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
