//! Where in a longer film its pictures are looked for. A file whose index leads to any time is not read whole then: each place is a run of
//! its own, that decodes no more than it needs.

use std::time::Duration;

use super::preview::Sheets;
use crate::content::{MediaInfo, VideoInfo};

/// A moving preview shows a longer film at so many places, for so long each.
pub(super) const GIF_PLACES: u32 = 6;
pub(super) const GIF_PLACE_S: f64 = 1.0;
/// A longer film is not read whole for it.
const GIF_READ_WHOLE_MAX: Duration = Duration::from_secs(30);
/// To begin at a place costs about as much as to decode so many pixels, and so many seconds before it, from the last picture on that needs no
/// other. Where that is more than all that is between two places, the film is read whole.
const PLACE_PIXELS: f64 = 80e6;
const BEFORE_PLACE_S: f64 = 2.5;
/// Pictures that need no other are so far apart as a rule; of these codecs all are such.
const KEY_FRAMES_APART_S: f64 = 2.0;
const OF_KEY_FRAMES: [&str; 12] = [
    "prores", "mjpeg", "dnxhd", "dvvideo", "rawvideo", "png", "huffyuv", "ffvhuff", "ffv1", "utvideo",
    "jpeg2000", "v210",
];
/// A still picture of a long film is chosen from so many places of its first part, and if that is black, of as many behind it.
pub(super) const STILL_PLACES: usize = 12;
/// At each of them a picture is looked for that needs no other and is not black, for so long.
pub(super) const STILL_PLACE_S: f64 = 1.0;

/// When the places of a moving preview begin: at the times at which pictures are picked of a film that is read from its begin. None where it
/// is read so.
pub(super) fn of_moving(info: &MediaInfo, length: Duration, fps: u16) -> Vec<f64> {
    if !info.has_index() || length <= GIF_READ_WHOLE_MAX {
        return Vec::new();
    }
    let part = length.as_secs_f64() / f64::from(GIF_PLACES);
    let begin = |place: u32| (f64::from(place) + 0.5) * part - GIF_PLACE_S / 2.0;
    (0..GIF_PLACES).map(|place| (begin(place) * f64::from(fps)).ceil() / f64::from(fps)).collect()
}

/// When each tile's picture is shown; none where the film is read from its begin.
pub(super) fn of_tiles(info: &MediaInfo, video: &VideoInfo, length: Duration, sheets: &Sheets) -> Vec<f64> {
    let every_s = f64::from(sheets.every_ms) / 1000.0;
    let less = pixels(video) * video.fps * (every_s - BEFORE_PLACE_S) > PLACE_PIXELS;
    // The pictures of one size in a file each have sides that are even.
    let even = sheets.tile.0.is_multiple_of(2) && sheets.tile.1.is_multiple_of(2);
    if !info.has_index() || !even || !less {
        return Vec::new();
    }
    (0..sheets.tiles(length)).map(|tile| f64::from(tile) * every_s).collect()
}

/// Where the still picture of a long film is looked for: all over a part of that length at its begin, then behind it until `until_s`. None
/// where it is less work to decode all pictures of the part that need no other.
pub(super) fn of_still(info: &MediaInfo, video: &VideoInfo, (part_s, until_s): (f64, f64)) -> Vec<f64> {
    let all = OF_KEY_FRAMES.contains(&video.codec.as_str());
    let a_second = if all { video.fps } else { 1.0 / KEY_FRAMES_APART_S };
    if !info.has_index() || pixels(video) * a_second * part_s < STILL_PLACES as f64 * PLACE_PIXELS {
        return Vec::new();
    }
    let within = |from: f64, to: f64| {
        (0..STILL_PLACES).map(move |place| from + (to - from) * (place as f64 + 0.5) / STILL_PLACES as f64)
    };
    within(0.0, part_s).chain(within(part_s, until_s)).collect()
}

fn pixels(video: &VideoInfo) -> f64 {
    f64::from(video.width) * f64::from(video.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(container: &str, counted: bool, seconds: u64, size: (u32, u32)) -> MediaInfo {
        let video = VideoInfo { width: size.0, height: size.1, fps: 25.0, counted, ..VideoInfo::default() };
        let duration = Some(Duration::from_secs(seconds));
        MediaInfo { container: container.to_owned(), duration, video: Some(video), ..MediaInfo::default() }
    }

    const MP4: &str = "mov,mp4,m4a,3gp,3g2,mj2";
    const HD: (u32, u32) = (1920, 1080);

    #[test]
    fn a_moving_preview_shows_the_middles_of_six_parts() {
        let begins = |seconds: f64| of_moving(&film(MP4, true, 60, HD), Duration::from_secs_f64(seconds), 10);
        assert_eq!(begins(60.0), [4.5, 14.5, 24.5, 34.5, 44.5, 54.5]);
        // The times between them that are picked of both are the same: tenths of a second.
        assert_eq!(begins(60.2), [4.6, 14.6, 24.6, 34.7, 44.7, 54.7]);
        assert_eq!(begins(30.0), [0.0; 0]);
    }

    #[test]
    fn tiles_are_read_alone_where_that_is_less() {
        let places = |info: &MediaInfo| {
            let length = info.duration.unwrap();
            let video = info.video.as_ref().unwrap();
            of_tiles(info, video, length, &Sheets::of(length, (160, 90), 4))
        };
        let long = places(&film(MP4, true, 7200, HD));
        assert_eq!((long.len(), long[1]), (120, 60.0));
        assert_eq!(places(&film("matroska,webm", false, 7200, HD)), long);
        // Short, or so small that it is decoded sooner than a hundred places are begun.
        assert_eq!(places(&film(MP4, true, 90, HD)), [0.0; 0]);
        assert_eq!(places(&film(MP4, true, 1800, (320, 180))), [0.0; 0]);
        // In fragments; a stream.
        assert_eq!(places(&film(MP4, false, 7200, HD)), [0.0; 0]);
        assert_eq!(places(&film("mpegts", true, 7200, HD)), [0.0; 0]);
    }

    #[test]
    fn a_still_picture_is_looked_for_in_the_first_part_first() {
        let mut film = film(MP4, true, 1200, HD);
        let places = |film: &MediaInfo| of_still(film, film.video.as_ref().unwrap(), (120.0, 360.0));
        assert_eq!(places(&film), [0.0; 0], "60 of them are decoded sooner than 12 places are begun");
        film.video.as_mut().unwrap().codec = "prores".to_owned();
        let places = places(&film);
        assert_eq!(places.len(), 2 * STILL_PLACES);
        assert_eq!((places[0], places[11], places[12]), (5.0, 115.0, 130.0));
        assert!(places.is_sorted() && places[23] < 360.0);
    }
}
