//! An input that turns out larger than it said. What a job costs is estimated by what ffprobe says of its input; a file whose first
//! pictures are small and the rest big, or that goes on and on, would keep a worker for a time that nobody agreed to.

use std::time::Duration;

use super::progress::Progress;
use crate::content::{MediaInfo, MediaLimits};

/// Pictures may grow in mid-stream by so many times: recordings of calls begin small, and grow as the line allows.
const PIXELS_TIMES_MAX: u64 = 16;
/// And to this size in any case: DVD's.
const PIXELS_MIN: u64 = 720 * 576;
/// A file may play for so many times what it says, and for so much more: joined transport streams tell of their last part alone.
const TIME_TIMES_MAX: u32 = 2;
const TIME_MORE_MAX: Duration = Duration::from_secs(60);
/// And the same of its pictures.
const FRAMES_MORE_MAX: u64 = 3600;

/// What ffmpeg says of a picture that is bigger than its `-max_pixels`.
pub(super) const TOO_MANY_PIXELS: &str = "exceeds specified max pixel count";

/// The limits for one input: no picture of it may be much bigger than those that ffprobe has seen.
pub(super) fn limits_for(info: &MediaInfo, limits: &MediaLimits) -> MediaLimits {
    let said = info.video.as_ref().map(|video| u64::from(video.width) * u64::from(video.height));
    let picture_pixels_max = said.map_or(limits.picture_pixels_max, |said| {
        said.saturating_mul(PIXELS_TIMES_MAX).max(PIXELS_MIN).min(limits.picture_pixels_max)
    });
    MediaLimits { picture_pixels_max, ..limits.clone() }
}

/// In which way a job has gone beyond what its input said, in words for whoever sent it.
pub(super) fn beyond(info: &MediaInfo, progress: &Progress) -> Option<String> {
    let said = info.duration.max(info.picture_duration());
    if let Some(said) = said.filter(|said| progress.encoded > *said * TIME_TIMES_MAX + TIME_MORE_MAX) {
        return Some(format!("it says that it plays for {said:.1?}, and goes on"));
    }
    let frames = info.video.as_ref().map_or(0, |video| video.frames);
    let decoded = (progress.frames + progress.dropped).saturating_sub(progress.duplicated);
    if frames > 0 && decoded > frames.saturating_mul(TIME_TIMES_MAX.into()).saturating_add(FRAMES_MORE_MAX) {
        return Some(format!("it says that it has {frames} pictures, and goes on"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::VideoInfo;

    fn info(width: u32, height: u32) -> MediaInfo {
        let video = VideoInfo { width, height, frames: 100, ..VideoInfo::default() };
        let duration = Some(Duration::from_secs(4));
        MediaInfo { video: Some(video), duration, ..MediaInfo::default() }
    }

    #[test]
    fn pictures_may_grow_and_not_without_bound() {
        let limits = MediaLimits::default();
        let max = |width, height| limits_for(&info(width, height), &limits).picture_pixels_max;
        assert_eq!(max(64, 64), 720 * 576);
        assert_eq!(max(320, 180), 1280 * 720, "a call's recording");
        assert_eq!(max(1280, 720), 1280 * 720 * 16);
        assert_eq!(max(7680, 4320), limits.picture_pixels_max);
        let sound = MediaInfo::default();
        assert_eq!(limits_for(&sound, &limits), limits);
    }

    #[test]
    fn what_goes_on_beyond_what_was_said_is_told_of() {
        let (info, seconds) = (info(320, 180), Duration::from_secs);
        let at = |encoded, frames, dropped, duplicated| {
            beyond(&info, &Progress { frames, dropped, duplicated, encoded, ..Progress::default() })
        };
        assert_eq!(at(seconds(68), 3_800, 0, 0), None);
        assert!(at(seconds(69), 0, 0, 0).is_some_and(|what| what.contains("plays for 4.0s")));
        assert!(at(seconds(4), 3_000, 900, 0).is_some_and(|what| what.contains("100 pictures")));
        // A still picture that is shown for long is one that was decoded.
        assert_eq!(at(seconds(60), 9_000, 0, 8_990), None);
        assert_eq!(
            beyond(
                &MediaInfo::default(),
                &Progress { encoded: seconds(9_999), frames: 9_999_999, ..Progress::default() }
            ),
            None
        );
    }
}
