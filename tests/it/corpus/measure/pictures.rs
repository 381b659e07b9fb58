//! What a file looks like.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use super::{Decoded, Video, seconds};

pub(super) fn look(stream: &Value, packets: &Value, decoded: &Decoded) -> Result<Video, String> {
    let text = |key: &str| stream[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| stream[key].as_u64().unwrap_or_default() as u32;
    let (width, height) = (number("width"), number("height"));
    let Times { start, duration, in_a_second } = times(stream, packets);
    let pixel_format = text("pix_fmt");
    let pixel_aspect = text("sample_aspect_ratio")
        .split_once(':')
        .and_then(|(width, height)| Some(width.parse::<f64>().ok()? / height.parse::<f64>().ok()?))
        .filter(|aspect| aspect.is_finite() && *aspect > 0.0)
        .unwrap_or(1.0);
    let mut video = Video {
        width,
        height,
        pixel_aspect,
        range: text("color_range"),
        matrix: text("color_space"),
        primaries: text("color_primaries"),
        transfer: text("color_transfer"),
        start,
        duration,
        in_a_second,
        pixel_format,
        ..Video::default()
    };
    see(&mut video, decoded)?;
    Ok(video)
}

/// When a stream's pictures are shown.
struct Times {
    start: f64,
    duration: f64,
    in_a_second: usize,
}

fn times(stream: &Value, packets: &Value) -> Times {
    let own = |packet: &&Value| packet["stream_index"] == stream["index"];
    let time = |packet: &Value| {
        Some((seconds(&packet["pts_time"])?, seconds(&packet["duration_time"]).unwrap_or_default()))
    };
    let mut times: Vec<_> = packets.as_array().into_iter().flatten().filter(own).filter_map(time).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return Times { start: 0.0, duration: 0.0, in_a_second: 0 };
    };
    // How long the picture lasts that is shown last, a container may only tell by how long it all does: MP4 counts by what is
    // decoded, and of WebM ffprobe gives a usual duration to each packet.
    let said =
        seconds(&stream["duration"]).or_else(|| clock(&stream["tags"]["DURATION"])).unwrap_or_default();
    let duration = (last.0 + last.1 - first.0).max(said - first.0);
    // A millisecond more, since containers round.
    let within = |at: f64| times.iter().filter(|time| time.0 >= at && time.0 < at + 0.999).count();
    let in_a_second = times.iter().map(|time| within(time.0)).max().unwrap_or_default();
    Times { start: first.0, duration, in_a_second }
}

/// `hh:mm:ss.nnnnnnnnn`.
fn clock(value: &Value) -> Option<f64> {
    value.as_str()?.split(':').try_fold(0.0, |all, part| Some(all * 60.0 + part.parse::<f64>().ok()?))
}

/// The format that pictures are read in: their own, where it is known here.
pub(super) fn format_read(stream: &Value) -> &str {
    let own = stream["pix_fmt"].as_str().unwrap_or_default();
    if halved(own).is_some() { own } else { "rgb24" }
}

/// By how many bits the sides of a format's chroma are shorter.
fn halved(format: &str) -> Option<(usize, usize)> {
    match format {
        "yuv420p" | "yuvj420p" => Some((1, 1)),
        "yuv422p" | "yuvj422p" => Some((1, 0)),
        "yuv444p" | "yuvj444p" => Some((0, 0)),
        _ => None,
    }
}

/// Looks at the middle one of all pictures.
fn see(video: &mut Video, decoded: &Decoded) -> Result<(), String> {
    let (width, height) = (video.width as usize, video.height as usize);
    let halved = halved(&video.pixel_format);
    let chroma = halved.map_or((width, height), |(x, y)| (width.div_ceil(1 << x), height.div_ceil(1 << y)));
    let bytes = width * height + 2 * chroma.0 * chroma.1;
    let mut file = File::open(&decoded.pictures).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len() as usize;
    video.frames = length / bytes;
    if video.frames == 0 {
        return Err("no picture can be decoded".into());
    }
    let mut picture = vec![0; bytes];
    let from = (video.frames / 2 * bytes) as u64;
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut picture)).unwrap();
    for (index, patch) in video.patches.iter_mut().enumerate() {
        let (x, y) = centre(index, width, height);
        let Some((shift_x, shift_y)) = halved else {
            patch.copy_from_slice(&picture[(y * width + x) * 3..][..3]);
            continue;
        };
        let (luma, rest) = picture.split_at(width * height);
        let (cb, cr) = rest.split_at(chroma.0 * chroma.1);
        let at = |plane: &[u8], width: usize, x: usize, y: usize| f64::from(plane[y * width + x]);
        let yuv = [
            at(luma, width, x, y),
            at(cb, chroma.0, x >> shift_x, y >> shift_y),
            at(cr, chroma.0, x >> shift_x, y >> shift_y),
        ];
        let full = video.range == "pc" || video.pixel_format.starts_with("yuvj");
        let said = match video.matrix.as_str() {
            // As players take it.
            "" | "unknown" if width >= 1280 || height > 576 => "bt709",
            said => said,
        };
        *patch = to_rgb(yuv, said, full);
    }
    if halved.is_some() {
        video.combing = combing(&picture[..width * height], width, height);
    }
    Ok(())
}

/// A place inside the quarter that no edge comes near.
fn centre(index: usize, width: usize, height: usize) -> (usize, usize) {
    ((1 + 2 * (index % 2)) * width / 4, (1 + 2 * (index / 2)) * height / 4)
}

/// ITU-R BT.601 and BT.709, section "signal format".
fn to_rgb([y, cb, cr]: [f64; 3], matrix: &str, full: bool) -> [u8; 3] {
    let (kr, kb) = match matrix {
        "bt709" => (0.2126, 0.0722),
        "bt2020nc" => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    let (y, cb, cr) = if full {
        (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0)
    } else {
        ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0)
    };
    let red = y + 2.0 * (1.0 - kr) * cr;
    let blue = y + 2.0 * (1.0 - kb) * cb;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8)
}

/// By how much lines differ more from their neighbours than from the next line of their field, where something moves.
fn combing(luma: &[u8], width: usize, height: usize) -> f64 {
    let line = |y: usize| &luma[y * width..(y + 1) * width];
    let distance = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    let lines = height / 2 + 4..height.saturating_sub(4);
    let neighbours: f64 = lines.clone().map(|y| distance(line(y), line(y + 1))).sum();
    let fields: f64 = lines.clone().map(|y| distance(line(y), line(y + 2))).sum();
    (neighbours - fields).max(0.0) / (lines.len() * width).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_from_their_matrices() {
        assert_eq!(to_rgb([235.0, 128.0, 128.0], "bt709", false), [255; 3]);
        assert_eq!(to_rgb([16.0, 128.0, 128.0], "smpte170m", false), [0; 3]);
        assert_eq!(to_rgb([255.0, 128.0, 128.0], "bt470bg", true), [255; 3]);
        // Pure red in BT.601, limited range: 81, 90, 240.
        assert_eq!(to_rgb([81.0, 90.0, 240.0], "smpte170m", false), [254, 0, 0]);
    }

    #[test]
    fn combs_are_seen_and_plain_pictures_are_not() {
        let (width, height) = (32, 32);
        let lines = |of: fn(usize) -> u8| (0..width * height).map(|at| of(at / width)).collect::<Vec<_>>();
        assert!(combing(&lines(|y| if y % 2 == 0 { 16 } else { 235 }), width, height) > 100.0);
        assert!(combing(&lines(|y| y as u8), width, height) < 0.1);
    }
}
