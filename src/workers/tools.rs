use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::child::{self, Ended, Listener};
use crate::media::Features;

/// The ffmpeg and ffprobe programs of this node.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Absolute path of ffmpeg.
    pub ffmpeg: PathBuf,
    /// Absolute path of ffprobe.
    pub ffprobe: PathBuf,
    /// ffmpeg's version, part of every cache key.
    pub version: FfmpegVersion,
    /// What ffmpeg has of that which is used.
    pub features: Features,
}

/// Longest that ffmpeg may take to list what it has; what it has not listed by then is taken to be there.
const LIST_TIME_MAX: Duration = Duration::from_secs(5);
/// A longer list, in bytes, is none of ffmpeg's.
const LIST_BYTES_MAX: usize = 1 << 20;

/// ffmpeg's version as it tells it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FfmpegVersion {
    text: String,
    number: Option<(u32, u32, u32)>,
}

/// A tool that a node can't do without.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// Nowhere on PATH.
    #[error("{0} is not installed: install it (Debian, Ubuntu: apt install ffmpeg), or say where it is")]
    Missing(PathBuf),
    /// It doesn't run.
    #[error("{program} doesn't run: {source}; install it anew, or name another")]
    Broken {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs, but doesn't say what it is.
    #[error("{0} doesn't tell its version: is it really ffmpeg?")]
    NoVersion(PathBuf),
}

/// The first releases with the fixes that matter for what strangers send (docs/OPERATIONS.md has the list): the newest
/// branch, and the long-lived 5.1 of Debian 12.
const FIXED: (u32, u32, u32) = (8, 1, 0);
const FIXED_5_1: (u32, u32, u32) = (5, 1, 9);

/// Both programs, found but not run yet.
#[derive(Clone, Debug)]
pub struct Located {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
}

impl Located {
    /// Looks for both, on PATH if the name has no slash. Quick.
    pub fn find(ffmpeg: &Path, ffprobe: &Path) -> Result<Self, ToolsError> {
        Ok(Self { ffmpeg: locate(ffmpeg)?, ffprobe: locate(ffprobe)? })
    }

    /// Asks ffmpeg for its version and what it has. Blocks for some 180 ms of CPU time, most of it the linking of a hundred
    /// libraries, three times.
    pub fn ask_version(self) -> Result<Tools, ToolsError> {
        let Self { ffmpeg, ffprobe } = self;
        let output = Command::new(&ffmpeg)
            .arg("-version")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ToolsError::Broken { program: ffmpeg.clone(), source })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = FfmpegVersion::parse(&text).ok_or_else(|| ToolsError::NoVersion(ffmpeg.clone()))?;
        let features = std::thread::scope(|scope| {
            let codecs = scope.spawn(|| list(&ffmpeg, "-codecs"));
            let filters = list(&ffmpeg, "-filters");
            Features::read(&codecs.join().unwrap_or_default(), &filters)
        });
        Ok(Tools { ffmpeg, ffprobe, version, features })
    }
}

struct Listing(Vec<u8>);

impl Listener for Listing {
    fn hears(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= LIST_BYTES_MAX
    }
}

/// What ffmpeg prints of what it has; empty where it prints nothing.
fn list(ffmpeg: &Path, what: &str) -> String {
    let mut listed = Listing(Vec::new());
    let mut run = || {
        let cancel = Cancel::new()?;
        let mut command = Command::new(ffmpeg);
        // Nothing that it is given is a file to write.
        command.arg(what).arg("-hide_banner");
        child::run(&mut command, Instant::now() + LIST_TIME_MAX, &cancel, &mut listed)
    };
    match run() {
        Ok(outcome) if matches!(outcome.ended, Ended::Exited(status) if status.success()) => {}
        Ok(outcome) => {
            tracing::warn!(what, ended = ?outcome.ended, "ffmpeg does not tell what it has: all of it is taken to be there");
        }
        Err(error) => {
            tracing::warn!(what, %error, "ffmpeg does not tell what it has: all of it is taken to be there");
        }
    }
    String::from_utf8_lossy(&listed.0).into_owned()
}

impl Tools {
    /// Finds both programs and asks for the version: see [`Located`]. Blocks.
    pub fn find(ffmpeg: &Path, ffprobe: &Path) -> Result<Self, ToolsError> {
        Located::find(ffmpeg, ffprobe)?.ask_version()
    }

    /// What the operator should know of these tools, one line each; the node logs them at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.features.lacks();
        if self.version.may_lack_fixes() {
            warnings.push(format!(
                "ffmpeg {} may lack fixes for hostile media that 8.1 and 5.1.9 have: upgrade it, or check that your \
                 distribution has patched it (docs/OPERATIONS.md)",
                self.version
            ));
        }
        warnings
    }
}

fn locate(program: &Path) -> Result<PathBuf, ToolsError> {
    let missing = || ToolsError::Missing(program.to_owned());
    let candidates: Vec<PathBuf> = if program.components().count() > 1 {
        vec![program.to_owned()]
    } else {
        let path = std::env::var_os("PATH").ok_or_else(missing)?;
        std::env::split_paths(&path).map(|dir| dir.join(program)).collect()
    };
    let found = candidates.into_iter().find(|path| path.is_file()).ok_or_else(missing)?;
    std::path::absolute(&found).map_err(|source| ToolsError::Broken { program: found, source })
}

impl FfmpegVersion {
    /// Reads `ffmpeg -version`.
    pub fn parse(output: &str) -> Option<Self> {
        let text =
            output.lines().next()?.strip_prefix("ffmpeg version ")?.split_whitespace().next()?.to_owned();
        // "5.1.9-0+deb12u1", "n7.1", "2024-05-01-git-…", "N-118193-g…": development builds have no number.
        let digits = text.strip_prefix('n').unwrap_or(&text);
        let numeric = digits.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut parts = numeric.split('.').map(str::parse::<u32>);
        let number = match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => {
                Some((major, minor, parts.next().and_then(Result::ok).unwrap_or(0)))
            }
            _ => None,
        };
        Some(Self { text, number })
    }

    /// By its number alone; a distribution may have patched it, and what has no number was built by someone who knows.
    fn may_lack_fixes(&self) -> bool {
        match self.number {
            Some(number @ (5, 1, _)) => number < FIXED_5_1,
            Some(number) => number < FIXED,
            None => false,
        }
    }
}

impl fmt::Display for FfmpegVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> FfmpegVersion {
        FfmpegVersion::parse(&format!(
            "ffmpeg version {text} Copyright (c) 2000-2025 the FFmpeg developers\n"
        ))
        .unwrap()
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(version("5.1.9-0+deb12u1").number, Some((5, 1, 9)));
        assert_eq!(version("n7.1").number, Some((7, 1, 0)));
        assert_eq!(version("4.4.2-0ubuntu0.22.04.1").number, Some((4, 4, 2)));
        assert_eq!(version("N-118193-g5f38c82536").number, None);
        assert_eq!(version("5.1.9-0+deb12u1").to_string(), "5.1.9-0+deb12u1");
        assert_eq!(FfmpegVersion::parse("sh: ffmpeg: not found"), None);
        assert_eq!(FfmpegVersion::parse(""), None);
    }

    #[test]
    fn an_old_one_is_warned_about() {
        for old in ["5.1.6-0+deb12u1", "5.1.8", "3.4.8", "6.1.1-3ubuntu5", "7.1", "8.0"] {
            assert!(version(old).may_lack_fixes(), "{old}");
        }
        for new in ["5.1.9-0+deb12u1", "5.1.10", "8.1", "n9.0", "N-118193-g5f38c82536"] {
            assert!(!version(new).may_lack_fixes(), "{new}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Tools::find(Path::new("no-such-ffmpeg"), Path::new("ffprobe")).unwrap_err();
        assert!(error.to_string().starts_with("no-such-ffmpeg is not installed"), "{error}");
    }
}
