use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Color;

/// What ffprobe found in a file, and which of its streams are used. Travels with a job that is handed to a peer, so that no
/// content is probed twice; so nothing of it is ever taken for more than a number or one of a closed set of names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaInfo {
    /// ffprobe's names of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// How long it plays. `None` where the container doesn't say (live recordings of browsers, for one).
    pub duration: Option<Duration>,
    /// The pictures that are used; cover art is none.
    pub video: Option<VideoInfo>,
    /// The sound that is used.
    pub audio: Option<AudioInfo>,
    /// Cover art.
    pub cover: Option<VideoInfo>,
    /// Why there are no pictures, where the file has some.
    pub video_lack: Option<Lack>,
    /// Why there is no sound, where the file has some.
    pub audio_lack: Option<Lack>,
    /// Number of streams of any kind.
    pub streams: u32,
}

impl MediaInfo {
    /// Whether its container has an index that leads to the pictures of any time, as a rule: that of MP4 counts them where it is no file in
    /// fragments, and that of Matroska is written when it is known how long all of it plays.
    pub fn has_index(&self) -> bool {
        let counted = self.video.as_ref().is_some_and(|video| video.counted);
        (self.container.starts_with("mov,") && counted)
            || (self.container.starts_with("matroska,") && self.duration.is_some())
    }
}

/// Why a stream that is there can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// It is encrypted.
    Encrypted,
    /// ffmpeg has no decoder for this codec (`unknown` where it has no name).
    Undecodable(String),
    /// There is nothing in it.
    Empty,
    /// It has no base picture that a standard display can show (Dolby Vision, profile 5).
    DolbyVisionOnly,
}

/// The facts of one video stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoInfo {
    /// Its number in the file.
    pub index: u32,
    /// Decoder name, such as `h264`.
    pub codec: String,
    /// Coded width in pixels, before any rotation.
    pub width: u32,
    /// Coded height in pixels, before any rotation.
    pub height: u32,
    /// Shape of a pixel, width to height; `None` where it isn't said: square.
    pub pixel_aspect: Option<Ratio>,
    /// By how many degrees it has to be turned to stand upright: a multiple of 90, or something else that is left to ffmpeg.
    pub rotation: i16,
    /// What its samples are.
    pub samples: Samples,
    /// What its colours mean.
    pub color: Color,
    /// What is seen through the transparent parts of its pictures, where they may have such.
    pub backdrop: Option<Backdrop>,
    /// Which of two fields is first, for an interlaced stream.
    pub interlaced: Option<FieldOrder>,
    /// Frames a second, on average; 0 where it isn't known.
    pub fps: f64,
    /// The same exactly, where every frame lasts as long, as far as the file tells.
    pub constant_rate: Option<Ratio>,
    /// Number of frames: counted by the container, or else fps x duration; 0 where neither is known.
    pub frames: u64,
    /// Whether the container counted them: then its rate is that of all of it, and else that of its first seconds.
    pub counted: bool,
    /// How long this stream plays, where the container says.
    pub duration: Option<Duration>,
}

/// The facts of one audio stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioInfo {
    /// Its number in the file.
    pub index: u32,
    /// Decoder name, such as `aac`.
    pub codec: String,
    /// Number of channels.
    pub channels: u32,
    /// Whether it is known where the loudspeakers of these channels stand, so that ffmpeg can mix them.
    pub known_layout: bool,
    /// Samples a second; 0 where it isn't known.
    pub sample_rate: u32,
    /// Its language, as two or three letters (ISO 639).
    pub language: Option<String>,
    /// How long this stream plays, where the container says.
    pub duration: Option<Duration>,
}

/// What a stream's samples are, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Samples {
    /// Luma and chroma.
    #[default]
    Yuv,
    /// The same, of the old kind that is always of full range.
    FullRangeYuv,
    /// Red, green and blue, or a palette of such.
    Rgb,
}

/// What is behind a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backdrop {
    /// A page: behind the pictures of GIF, APNG and WebP.
    White,
    /// A screen: behind a film.
    Black,
}

/// The order of two fields in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldOrder {
    /// The top one is first.
    Top,
    /// The bottom one is first.
    Bottom,
}

/// A positive ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "(u32, u32)", try_from = "(u32, u32)")]
pub struct Ratio {
    over: u32,
    under: u32,
}

/// Further from square than this no pixel is; a file that says so lies.
const PIXEL_ASPECT_MAX: f64 = 16.0;

impl Ratio {
    /// `over / under`, in lowest terms; `None` where either is 0.
    pub fn new(over: u32, under: u32) -> Option<Self> {
        if over == 0 || under == 0 {
            return None;
        }
        let (mut a, mut b) = (over, under);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Self { over: over / a, under: under / a })
    }

    /// Its numerator.
    pub const fn over(self) -> u32 {
        self.over
    }

    /// Its denominator.
    pub const fn under(self) -> u32 {
        self.under
    }

    /// As a number.
    pub fn value(self) -> f64 {
        f64::from(self.over) / f64::from(self.under)
    }
}

impl From<Ratio> for (u32, u32) {
    fn from(ratio: Ratio) -> Self {
        (ratio.over, ratio.under)
    }
}

impl TryFrom<(u32, u32)> for Ratio {
    type Error = &'static str;

    fn try_from((over, under): (u32, u32)) -> Result<Self, Self::Error> {
        Self::new(over, under).ok_or("a ratio of 0")
    }
}

impl MediaInfo {
    /// Pixels that a decoder has to produce: width x height x frames, the unit in which the cost of a job is learned.
    /// 0 where the number of frames isn't known.
    pub fn pixels(&self) -> u64 {
        self.video.as_ref().map_or(0, |video| {
            u64::from(video.width).saturating_mul(u64::from(video.height)).saturating_mul(video.frames)
        })
    }

    /// How long the pictures play: the video stream's own duration, else the container's.
    pub fn picture_duration(&self) -> Option<Duration> {
        self.video.as_ref().and_then(|video| video.duration).or(self.duration)
    }

    /// How long the sound plays: the audio stream's own duration, else the container's.
    pub fn sound_duration(&self) -> Option<Duration> {
        self.audio.as_ref().and_then(|audio| audio.duration).or(self.duration)
    }
}

impl VideoInfo {
    /// Width and height of a picture as it is shown: upright, in square pixels.
    pub fn shown_size(&self) -> (u32, u32) {
        let aspect = self.pixel_aspect.filter(|_| !self.has_absurd_pixels()).map_or(1.0, Ratio::value);
        let width = (f64::from(self.width) * aspect).round().max(1.0) as u32;
        if self.is_sideways() { (self.height, width) } else { (width, self.height) }
    }

    /// Whether the file says of its pixels what can't be: they are taken for square.
    pub fn has_absurd_pixels(&self) -> bool {
        let sane = 1.0 / PIXEL_ASPECT_MAX..=PIXEL_ASPECT_MAX;
        self.pixel_aspect.is_some_and(|aspect| !sane.contains(&aspect.value()))
    }

    /// Whether upright it is as wide as it is coded high.
    pub const fn is_sideways(&self) -> bool {
        matches!(self.rotation.rem_euclid(180), 90)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_shown_upright_in_square_pixels() {
        let shown = |width, height, aspect: Option<(u32, u32)>, rotation| {
            let pixel_aspect = aspect.and_then(|(over, under)| Ratio::new(over, under));
            VideoInfo { width, height, pixel_aspect, rotation, ..VideoInfo::default() }.shown_size()
        };
        assert_eq!(shown(720, 576, Some((64, 45)), 0), (1024, 576));
        assert_eq!(shown(720, 480, Some((8, 9)), 0), (640, 480));
        assert_eq!(shown(1920, 1080, None, 90), (1080, 1920));
        assert_eq!(shown(1920, 1080, None, -90), (1080, 1920));
        assert_eq!(shown(1440, 1080, Some((4, 3)), 270), (1080, 1920));
        assert_eq!(shown(1920, 1080, None, 180), (1920, 1080));
        // What no display has, a file may say.
        assert_eq!(shown(640, 480, Some((1, 1000)), 0), (640, 480));
        assert_eq!(shown(1, 1, Some((1, 16)), 0), (1, 1));
    }

    #[test]
    fn ratios_are_in_lowest_terms_and_never_of_zero() {
        assert_eq!(Ratio::new(60_000, 2002), Ratio::new(30_000, 1001));
        assert_eq!((Ratio::new(0, 1), Ratio::new(1, 0)), (None, None));
        assert!(serde_json::from_str::<Ratio>("[1, 0]").is_err());
        assert_eq!(serde_json::from_str::<Ratio>("[4, 2]").unwrap(), Ratio::new(2, 1).unwrap());
    }

    #[test]
    fn facts_of_an_older_node_are_read() {
        let info: MediaInfo =
            serde_json::from_str(r#"{"container":"mov","video":{"width":4,"height":2,"fps":1.0}}"#).unwrap();
        assert_eq!(info.video.unwrap().shown_size(), (4, 2));
    }
}
