//! For the targets in `fuzz/`: what is private and reads what strangers send.

use crate::content::{MediaInfo, MediaLimits};
pub use crate::http::conditional::{Answer, answer, etag};
pub use crate::http::multipart::{MultipartError, file_part, is_form};
pub use crate::http::request::{content_sha256, deadline, filename, profile, safe_filename};
use crate::media::Features;
use crate::workers::ProbeError;
use crate::workers::{mp4_boxes, probe, webp};

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
    mp4_boxes::describe(moov, &mp4_boxes::TopBox { kind: *b"mdat", at: mdat.start, bytes })
}

/// Reads a file as an animated WebP, and what it holds where its canvas is of no more than so many pixels: bytes of pictures.
pub fn webp(file: &[u8], pixels_max: u64) -> Option<u64> {
    let (length, reader) = (file.len() as u64, || std::io::Cursor::new(file));
    let mut described = Vec::new();
    webp::describe(reader(), length, &mut described).ok()?;
    let info = webp::read_description(&described).ok()??;
    if info.pixels() / info.video?.frames > pixels_max {
        return None;
    }
    let mut written = Count(0);
    webp::decode(reader(), length, &mut written, &mut std::io::sink()).ok()?;
    Some(written.0)
}

struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
