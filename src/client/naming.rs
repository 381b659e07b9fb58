//! What a result is called on disk: `clip.mp4` in profile 360p becomes `clip.360p.mp4`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::http::result_name;

/// What the default profile is called when the answer does not say which one it used.
const PROFILE_UNSAID: &str = "360p";

/// Hands out output paths in one folder, no path twice in one run: `a/clip.mp4` and `b/clip.mp4` do not overwrite
/// each other's result. A result of an earlier run is overwritten.
#[derive(Debug)]
pub struct Names {
    folder: PathBuf,
    given: HashSet<PathBuf>,
}

impl Names {
    /// Names in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), given: HashSet::new() }
    }

    /// The path for `input` transcoded with `profile` into `media_type`.
    pub fn name(&mut self, input: &Path, profile: Option<&str>, media_type: Option<&str>) -> PathBuf {
        let stem = input.file_stem().map_or_else(|| "upload".into(), |stem| stem.to_string_lossy());
        let profile = profile.unwrap_or(PROFILE_UNSAID);
        let extension = extension(media_type);
        for copy in 1u64.. {
            let suffix = if copy == 1 { String::new() } else { format!("-{copy}") };
            // As the node calls it in the answer's Content-Disposition.
            let path = self.folder.join(result_name(&format!("{stem}{suffix}.input"), profile, extension));
            if path != input && self.given.insert(path.clone()) {
                return path;
            }
        }
        unreachable!("fewer than 2^64 files are sent in one run")
    }
}

/// The usual extension of a media type; the profiles of the node make only these.
fn extension(media_type: Option<&str>) -> &'static str {
    match media_type.map(|text| text.split(';').next().unwrap_or_default().trim()) {
        Some("video/webm") => "webm",
        Some("video/x-matroska") => "mkv",
        Some("audio/mp4") => "m4a",
        Some("audio/mpeg") => "mp3",
        Some("audio/ogg") => "ogg",
        Some("image/jpeg") => "jpg",
        Some("image/png") => "png",
        Some("application/x-tar") => "tar",
        Some("application/zip") => "zip",
        _ => "mp4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_input_and_profile() {
        let mut names = Names::new("out");
        assert_eq!(
            names.name(Path::new("a/clip.mov"), None, Some("video/mp4")),
            Path::new("out/clip.360p.mp4")
        );
        assert_eq!(
            names.name(Path::new("clip.mp4"), Some("poster"), Some("image/jpeg; q=1")),
            Path::new("out/clip.poster.jpg")
        );
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::new("");
        assert_eq!(names.name(Path::new("a/clip.mp4"), None, None), Path::new("clip.360p.mp4"));
        assert_eq!(names.name(Path::new("b/clip.mp4"), None, None), Path::new("clip-2.360p.mp4"));
    }

    #[test]
    fn the_input_is_never_the_output() {
        let mut names = Names::new("");
        assert_eq!(names.name(Path::new("clip.360p.mp4"), None, None), Path::new("clip.360p.360p.mp4"));
        let mut names = Names::new("");
        assert_ne!(names.name(Path::new("x"), Some("y"), None), Path::new("x"));
    }
}
