//! An animated WebP of a stranger: `scripts/fuzz-target.sh fuzz webp`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use starling::fuzzing::webp;

/// Larger canvases cost time and show nothing more.
const PIXELS_MAX: u64 = 1 << 14;

fuzz_target!(|file: &[u8]| {
    if let Some(bytes) = webp(file, PIXELS_MAX) {
        // A frame takes 24 bytes of the file, and no more than a canvas and its head of the result.
        let frames_max = file.len() as u64 / 24;
        assert!(bytes <= 512 + frames_max * (PIXELS_MAX * 3 + 128));
    }
});
