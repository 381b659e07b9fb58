//! The index of a result, which is read in the node's own process, as an ffmpeg that a stranger has taken over might write it: `scripts/fuzz-target.sh fuzz index`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use starling::content::MediaLimits;
use starling::fuzzing::{described, within};

/// Longer than any file that is taken.
const FILE_BYTES_MAX: u64 = 1 << 40;

fuzz_target!(|moov: &[u8]| {
    let Some(info) = described(moov, 0..FILE_BYTES_MAX) else { return };
    assert!(info.video.is_some() || info.audio.is_some());
    assert!(info.duration.is_some_and(|duration| !duration.is_zero()));
    if let Some(video) = &info.video {
        assert!(video.width > 0 && video.height > 0 && video.frames > 0);
        assert!(video.fps > 0.0 && video.fps.is_finite());
        // Each frame has a size of its own in the index.
        assert!(video.frames <= moov.len() as u64 / 4);
    }
    let _ = within(&MediaLimits::default(), &info);
});
