//! Measures a file from the outside: what is in it, what it looks and sounds like.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a file turned out to be.
#[derive(Debug, Default)]
pub struct Measured {
    pub video: Option<Video>,
    pub audio: Option<Audio>,
    /// The index stands before the data (MP4 alone).
    pub faststart: bool,
}

#[derive(Debug, Default)]
pub struct Video {
    pub width: u32,
    pub height: u32,
    /// Width over height of a pixel.
    pub pixel_aspect: f64,
    pub pixel_format: String,
    pub range: String,
    pub matrix: String,
    pub primaries: String,
    pub transfer: String,
    /// Pictures that can be decoded.
    pub frames: usize,
    /// From the first picture's begin to the last one's end, in seconds.
    pub duration: f64,
    /// Pictures a second at the most, over any two neighbours.
    pub rate_max: f64,
    /// Mean colour at the centre of each quarter, in RGB.
    pub patches: [[u8; 3]; 4],
    /// How much neighbouring lines differ more than lines of one field do; over 1 it is combed.
    pub combing: f64,
}

#[derive(Debug, Default)]
pub struct Audio {
    pub channels: u64,
    pub rate_hz: u64,
    pub duration: f64,
    /// When tones begin, in seconds of the file's time.
    pub beeps: Vec<f64>,
    /// The tones' frequency.
    pub hz: f64,
}

/// Looks at all of a file.
pub fn measure(path: &Path) -> Measured {
    let streams = ffprobe(path, &["-show_streams", "-show_packets"]);
    let of = |kind: &str| {
        streams["streams"].as_array().into_iter().flatten().find(|stream| stream["codec_type"] == kind)
    };
    let (video, audio) = (of("video"), of("audio"));
    Measured {
        video: video.map(|stream| pictures(path, stream, &streams["packets"])),
        audio: audio.map(|stream| sound(path, stream)),
        faststart: is_faststart(&std::fs::read(path).unwrap()),
    }
}

fn ffprobe(path: &Path, what: &[&str]) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json"]).args(what).arg(path);
    let output = command.output().expect("ffprobe runs");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What ffmpeg writes to its output. Any complaint of its decoders is a fault of the file.
fn decode(path: &Path, args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-xerror", "-nostdin", "-i"]).arg(path).args(args).arg("-");
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn seconds(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

fn pictures(path: &Path, stream: &Value, packets: &Value) -> Video {
    let text = |key: &str| stream[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| stream[key].as_u64().unwrap_or_default() as u32;
    let (width, height) = (number("width"), number("height"));
    let own = |packet: &&Value| packet["stream_index"] == stream["index"];
    let mut times: Vec<(f64, f64)> = packets
        .as_array()
        .into_iter()
        .flatten()
        .filter(own)
        .filter_map(|packet| {
            Some((seconds(&packet["pts_time"])?, seconds(&packet["duration_time"]).unwrap_or_default()))
        })
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let duration = match (times.first(), times.last()) {
        (Some(first), Some(last)) => last.0 + last.1 - first.0,
        _ => 0.0,
    };
    let steps = times.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step > 1e-6);
    let rate_max = steps.fold(0.0_f64, |most, step| most.max(1.0 / step));
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
        duration,
        rate_max,
        pixel_format,
        ..Video::default()
    };
    look(path, &mut video);
    video
}

/// Decodes all pictures as they are, without any conversion, and looks at the middle one.
fn look(path: &Path, video: &mut Video) {
    let (width, height) = (video.width as usize, video.height as usize);
    // Planes by the format's own name: nothing scales or converts on the way.
    let (shift_x, shift_y) = match video.pixel_format.as_str() {
        "yuv420p" | "yuvj420p" => (1, 1),
        "yuv422p" | "yuvj422p" => (1, 0),
        "yuv444p" | "yuvj444p" => (0, 0),
        _ => return look_rgb(path, video),
    };
    let chroma = (width.div_ceil(1 << shift_x), height.div_ceil(1 << shift_y));
    let picture = width * height + 2 * chroma.0 * chroma.1;
    let planes =
        decode(path, &["-map", "0:v:0", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", &video.pixel_format]);
    video.frames = planes.len() / picture;
    let middle = video.frames / 2;
    let Some(planes) = planes.get(middle * picture..(middle + 1) * picture) else { return };
    let (luma, rest) = planes.split_at(width * height);
    let (cb, cr) = rest.split_at(chroma.0 * chroma.1);
    video.combing = combing(luma, width, height);
    for (index, patch) in video.patches.iter_mut().enumerate() {
        let (x, y) = centre(index, width, height);
        let at = |plane: &[u8], width: usize, x: usize, y: usize| f64::from(plane[y * width + x]);
        let yuv = [
            at(luma, width, x, y),
            at(cb, chroma.0, x >> shift_x, y >> shift_y),
            at(cr, chroma.0, x >> shift_x, y >> shift_y),
        ];
        let full = video.range == "pc" || video.pixel_format.starts_with("yuvj");
        *patch = to_rgb(yuv, &video.matrix, full);
    }
}

fn look_rgb(path: &Path, video: &mut Video) {
    let (width, height) = (video.width as usize, video.height as usize);
    let pixels = decode(path, &["-map", "0:v:0", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
    let picture = width * height * 3;
    video.frames = pixels.len() / picture;
    let middle = video.frames / 2;
    let Some(pixels) = pixels.get(middle * picture..(middle + 1) * picture) else { return };
    for (index, patch) in video.patches.iter_mut().enumerate() {
        let (x, y) = centre(index, width, height);
        patch.copy_from_slice(&pixels[(y * width + x) * 3..][..3]);
    }
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

/// Differences of neighbouring lines over those of every other line, where something moves.
fn combing(luma: &[u8], width: usize, height: usize) -> f64 {
    let line = |y: usize| &luma[y * width..(y + 1) * width];
    let distance = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    let lines = height / 2 + 4..height.saturating_sub(4);
    let neighbours: f64 = lines.clone().map(|y| distance(line(y), line(y + 1))).sum();
    let fields: f64 = lines.map(|y| distance(line(y), line(y + 2))).sum();
    neighbours / (fields + 1.0)
}

const RATE_HZ: usize = 16_000;
/// One millisecond.
const STEP: usize = RATE_HZ / 1000;

fn sound(path: &Path, stream: &Value) -> Audio {
    // Samples are counted, as players do: a gap has to be filled with silence, not left to time stamps.
    let filter = format!("aresample={RATE_HZ},pan=mono|c0=c0");
    let bytes = decode(path, &["-map", "0:a:0", "-af", &filter, "-f", "s16le"]);
    let samples: Vec<f64> =
        bytes.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    let loud: Vec<bool> = samples
        .chunks(STEP)
        .map(|step| step.iter().map(|sample| sample.abs()).fold(0.0, f64::max) > 2000.0)
        .collect();
    let mut beeps = Vec::new();
    let mut hz = Vec::new();
    let mut quiet = 50;
    let begin = seconds(&stream["start_time"]).unwrap_or_default();
    for (millisecond, &is_loud) in loud.iter().enumerate() {
        if !is_loud {
            quiet += 1;
            continue;
        }
        if quiet >= 50 {
            beeps.push(begin + millisecond as f64 / 1000.0);
            let tone = &samples[millisecond * STEP..samples.len().min((millisecond + 60) * STEP)];
            let crossings = tone.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
            hz.push(crossings as f64 / 2.0 / (tone.len() as f64 / RATE_HZ as f64));
        }
        quiet = 0;
    }
    hz.sort_by(f64::total_cmp);
    Audio {
        channels: stream["channels"].as_u64().unwrap_or_default(),
        rate_hz: stream["sample_rate"].as_str().and_then(|rate| rate.parse().ok()).unwrap_or_default(),
        duration: samples.len() as f64 / RATE_HZ as f64,
        beeps,
        hz: hz.get(hz.len() / 2).copied().unwrap_or_default(),
    }
}

fn is_faststart(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let (Some(size), Some(kind)) = (bytes.get(at..at + 4), bytes.get(at + 4..at + 8)) {
        match kind {
            b"moov" => return true,
            b"mdat" => return false,
            _ => at += (u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize).max(8),
        }
    }
    false
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
        assert!(combing(&lines(|y| y as u8), width, height) < 1.0);
    }
}
