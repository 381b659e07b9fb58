//! For the targets in `fuzz/`: what is private and reads what strangers send.

use crate::content::{MediaInfo, MediaLimits};
pub use crate::http::request::{content_sha256, deadline, filename, profile, safe_filename};
use crate::media::Features;
use crate::workers::ProbeError;
use crate::workers::{index, probe, whole};

/// What ffprobe's words are taken for.
pub fn probed(json: &[u8]) -> Result<MediaInfo, ProbeError> {
    probe::parse(json, &Features::default())
}

/// Whether a file is let through.
pub fn within(limits: &MediaLimits, info: &MediaInfo) -> Result<(), ProbeError> {
    probe::check(limits, info)
}

/// What the index of an MP4 says of a file whose pictures and sound take these bytes.
pub fn described(moov: &[u8], mdat: std::ops::Range<u64>) -> Option<MediaInfo> {
    let bytes = mdat.end.saturating_sub(mdat.start);
    index::describe(moov, &whole::TopBox { kind: *b"mdat", at: mdat.start, bytes })
}
