//! Measures a file from the outside: what is in it, what it looks and sounds like.

mod pictures;
mod sound;
mod tiles;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub use self::tiles::{ladder, tiles};

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
    /// When the first picture is shown, in seconds of the file's time.
    pub start: f64,
    /// From the first picture's begin to the last one's end, in seconds.
    pub duration: f64,
    /// Most pictures that begin within any one second.
    pub in_a_second: usize,
    /// Mean colour at the centre of each quarter, in RGB.
    pub patches: [[u8; 3]; 4],
    /// By how much neighbouring lines differ more than lines of one field do, in levels a pixel.
    pub combing: f64,
}

#[derive(Debug, Default)]
pub struct Audio {
    pub channels: u64,
    pub rate_hz: u64,
    /// When it ends, on the clock of `beeps`.
    pub end: f64,
    /// When tones begin, in seconds after the first picture, or of the file's time where there is none.
    pub beeps: Vec<f64>,
    /// The tones' frequency.
    pub hz: f64,
}

/// Looks at all of a file. `folder`: for what is decoded of it, which may be much.
pub fn measure(path: &Path, folder: &Path) -> Result<Measured, String> {
    let described = ffprobe(path, &["-show_format", "-show_streams", "-show_packets"])?;
    let of = |kind: &str| {
        described["streams"].as_array().into_iter().flatten().find(|stream| stream["codec_type"] == kind)
    };
    let (video, audio) = (of("video"), of("audio"));
    let decoded = Decoded::of(path, folder, video, audio)?;
    let mut video =
        video.map(|stream| pictures::look(stream, &described["packets"], &decoded)).transpose()?;
    // An MP4 says twice how long its pictures last: by how long they are decoded, and by its edit list, which players go by.
    let whole = seconds(&described["format"]["duration"]);
    if let (Some(video), None, Some(whole)) = (&mut video, audio, whole) {
        video.duration = video.duration.max(whole);
    }
    let start = video.as_ref().map_or(0.0, |video| video.start);
    let audio = audio.map(|stream| sound::listen(stream, start, &decoded)).transpose()?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(Measured { video, audio, faststart: is_faststart(&bytes) })
}

fn ffprobe(path: &Path, what: &[&str]) -> Result<Value, String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json"]).args(what).arg(path);
    let output = command.output().expect("ffprobe runs");
    serde_json::from_slice(&output.stdout).map_err(|error| format!("not a media file: {error}"))
}

/// All pictures and samples of a file, as they are, by one run of ffmpeg. Gone when dropped.
struct Decoded {
    pictures: PathBuf,
    samples: PathBuf,
}

impl Decoded {
    /// Any complaint of ffmpeg's decoders is a fault of the file.
    fn of(path: &Path, folder: &Path, video: Option<&Value>, audio: Option<&Value>) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let this = Self {
            pictures: folder.join(format!("{name}.pictures")),
            samples: folder.join(format!("{name}.samples")),
        };
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-xerror", "-nostdin", "-y", "-i"]).arg(path);
        if let Some(stream) = video {
            // Planes by the format's own name: nothing scales or converts on the way.
            command.args(["-map", "0:v:0", "-vsync", "0", "-f", "rawvideo", "-pix_fmt"]);
            command.arg(pictures::format_read(stream)).arg(&this.pictures);
        }
        if audio.is_some() {
            command.args(["-map", "0:a:0", "-af", &sound::filter(), "-f", "s16le"]).arg(&this.samples);
        }
        if video.is_none() && audio.is_none() {
            return Ok(this);
        }
        let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(this) } else { Err(format!("can't be decoded: {}", said.trim())) }
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        for file in [&self.pictures, &self.samples] {
            if file.exists() {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
}

fn seconds(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
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
