//! What a result is called on disk: `clip.mp4` in profile 360p becomes `clip.360p.mp4`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::api::{result_name, several_name};

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

    /// The path for `input` transcoded with `profile`, or several with commas between them, into `media_type`.
    pub fn name(&mut self, input: &Path, profile: Option<&str>, media_type: Option<&str>) -> PathBuf {
        self.free(input, profile, Some(extension(media_type)))
    }

    /// The folder for the same where it is more than one file.
    pub fn folder(&mut self, input: &Path, profile: Option<&str>) -> PathBuf {
        self.free(input, profile, None)
    }

    fn free(&mut self, input: &Path, profile: Option<&str>, extension: Option<&str>) -> PathBuf {
        let stem = input.file_stem().map_or_else(|| "upload".into(), |stem| stem.to_string_lossy());
        let profiles: Vec<_> = profile.unwrap_or(PROFILE_UNSAID).split(',').map(str::trim).collect();
        // As the node calls it in the answer's Content-Disposition.
        let profile = several_name(&profiles);
        for copy in 1u64.. {
            let suffix = if copy == 1 { String::new() } else { format!("-{copy}") };
            let path = self.folder.join(match extension {
                Some(extension) => result_name(&format!("{stem}{suffix}.input"), &profile, extension),
                None => format!("{stem}{suffix}.{profile}"),
            });
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
        Some("image/gif") => "gif",
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
    fn what_is_more_than_one_file_has_a_folder() {
        let mut names = Names::new("out");
        assert_eq!(names.folder(Path::new("a/clip.mov"), Some("hls")), Path::new("out/clip.hls"));
        assert_eq!(names.folder(Path::new("b/clip.mov"), Some("hls")), Path::new("out/clip-2.hls"));
        let several = Some("360p, poster,gif");
        assert_eq!(names.folder(Path::new("clip.mov"), several), Path::new("out/clip.360p+poster+gif"));
        let tar = names.name(Path::new("clip.mov"), several, Some("application/x-tar"));
        assert_eq!(tar, Path::new("out/clip.360p+poster+gif.tar"));
        let many = Some("1080p,720p,480p,360p,webm,audio,poster,sprite");
        assert_eq!(names.folder(Path::new("clip.mov"), many), Path::new("out/clip.8-profiles"));
        // A folder of frames that is sent from nowhere is not written into.
        assert_ne!(names.folder(Path::new("out/clip.gif"), Some("gif")), Path::new("out/clip.gif"));
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
