use serde::{Deserialize, Serialize};

use super::ProfileName;
use crate::content::{ContentId, MediaInfo};

/// One thing that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// How a client names it.
    pub name: ProfileName,
    /// One line for people.
    pub description: String,
    /// What to make.
    #[serde(flatten)]
    pub recipe: Recipe,
}

/// What to make, by kind of result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Recipe {
    /// Moving pictures, with sound when the input has any.
    Video {
        /// File format of the result.
        container: Container,
        /// Encoder.
        codec: VideoCodec,
        /// Size of the pictures.
        scale: Scale,
        /// Speed against size, for H.264.
        #[serde(default)]
        preset: Preset,
        /// Constant rate factor: lower is better and bigger. 0 to 51 for H.264, 0 to 63 for VP9.
        crf: u8,
        /// The sound, when the input has any.
        audio: Audio,
    },
    /// The sound alone.
    Audio {
        /// How to encode it.
        audio: Audio,
    },
    /// One still picture.
    Poster {
        /// Size of the picture.
        scale: Scale,
        /// JPEG quantizer: 2 (best) to 31.
        quality: u8,
    },
}

/// File format of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// MP4 with its index in front (`+faststart`), so that a player starts before it has all of it.
    Mp4,
    /// WebM.
    Webm,
}

/// Video encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VideoCodec {
    /// libx264.
    H264,
    /// libvpx-vp9.
    Vp9,
}

/// x264's trade of speed against size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "x264's own names")]
pub enum Preset {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    #[default]
    Fast,
    Medium,
    Slow,
}

/// Size of the pictures that come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Exactly this width and height, whatever the input's shape.
    Exact(u16, u16),
    /// The shorter side at most this, aspect ratio kept, both sides even, never enlarged.
    ShortSide(u16),
}

impl Scale {
    /// Pixels of one picture that comes out of one of this size, about: rounding to even sides aside.
    fn pixels(self, width: u64, height: u64) -> u64 {
        match self {
            Self::Exact(width, height) => u64::from(width) * u64::from(height),
            Self::ShortSide(side) => {
                let short = width.min(height).max(1);
                let side = u64::from(side).min(short);
                width * side / short * (height * side / short)
            }
        }
    }
}

/// How sound is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Encoder.
    pub codec: AudioCodec,
    /// Bit rate in thousands of bits a second.
    pub kbps: u16,
}

/// Audio encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioCodec {
    /// ffmpeg's own AAC.
    Aac,
    /// libopus.
    Opus,
}

/// A media file that a profile can't be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// There are no pictures in it.
    #[error("there is no video stream in it: ask for the profile `audio`, or send a video")]
    NoVideo,
    /// There is no sound in it.
    #[error("there is no sound in it: ask for another profile than one of sound alone")]
    NoAudio,
}

/// How much dearer it is to encode a pixel than to decode one: roughly x264's `fast` against a decoder of H.264. It
/// need not be exact: it makes jobs of one profile comparable, and their speed is learned.
const ENCODE_WEIGHT: u64 = 4;

impl Profile {
    /// What a job of this profile costs, in pixels that are decoded or (weighed) encoded; 0 where the input doesn't tell.
    pub fn work_pixels(&self, info: &MediaInfo) -> u64 {
        let Some(video) = &info.video else { return 0 };
        let (width, height) = (u64::from(video.width), u64::from(video.height));
        let picture = |scale: &Scale| width * height + ENCODE_WEIGHT * scale.pixels(width, height);
        match &self.recipe {
            Recipe::Video { scale, .. } => picture(scale).saturating_mul(video.frames),
            Recipe::Poster { scale, .. } => picture(scale),
            Recipe::Audio { .. } => 0,
        }
    }

    /// Content-Type of the result.
    pub const fn media_type(&self) -> &'static str {
        match self.recipe {
            Recipe::Video { container: Container::Mp4, .. } => "video/mp4",
            Recipe::Video { container: Container::Webm, .. } => "video/webm",
            Recipe::Audio { audio: Audio { codec: AudioCodec::Aac, .. } } => "audio/mp4",
            Recipe::Audio { audio: Audio { codec: AudioCodec::Opus, .. } } => "audio/ogg",
            Recipe::Poster { .. } => "image/jpeg",
        }
    }

    /// File name extension of the result, without the dot.
    pub const fn extension(&self) -> &'static str {
        match self.recipe {
            Recipe::Video { container: Container::Mp4, .. } => "mp4",
            Recipe::Video { container: Container::Webm, .. } => "webm",
            Recipe::Audio { audio: Audio { codec: AudioCodec::Aac, .. } } => "m4a",
            Recipe::Audio { audio: Audio { codec: AudioCodec::Opus, .. } } => "ogg",
            Recipe::Poster { .. } => "jpg",
        }
    }

    /// Whether this profile can be made of that input.
    pub const fn suits(&self, info: &MediaInfo) -> Result<(), Unsuitable> {
        match self.recipe {
            Recipe::Video { .. } | Recipe::Poster { .. } if info.video.is_none() => Err(Unsuitable::NoVideo),
            Recipe::Audio { .. } if info.audio.is_none() => Err(Unsuitable::NoAudio),
            _ => Ok(()),
        }
    }

    /// A digest of what the recipe says (not of its name or description): a changed recipe makes a new cache key.
    pub fn recipe_id(&self) -> ContentId {
        // The derived Debug text is the one canonical form that can't miss a field added later.
        ContentId::of(format!("{:?}", self.recipe).as_bytes())
    }

    pub(super) fn validate(&self) -> Result<(), &'static str> {
        match self.recipe {
            Recipe::Video { container, codec, scale, crf, audio, .. } => {
                let crf_max = if codec == VideoCodec::H264 { 51 } else { 63 };
                if crf > crf_max {
                    return Err("crf is out of range: 0 to 51 for h264, 0 to 63 for vp9");
                }
                if (container == Container::Webm) != (codec == VideoCodec::Vp9)
                    || (container == Container::Webm) != (audio.codec == AudioCodec::Opus)
                {
                    return Err("webm goes with vp9 and opus, mp4 with h264 and aac");
                }
                scale.validate()?;
                audio.validate()
            }
            Recipe::Audio { audio } => audio.validate(),
            Recipe::Poster { scale, quality } => {
                if !(2..=31).contains(&quality) {
                    return Err("quality is out of range: 2 (best) to 31");
                }
                scale.validate()
            }
        }
    }
}

impl Scale {
    fn validate(self) -> Result<(), &'static str> {
        let even = |side: u16| (16..=4320).contains(&side) && side.is_multiple_of(2);
        let good = match self {
            Self::Exact(width, height) => even(width) && even(height),
            Self::ShortSide(side) => even(side),
        };
        if good { Ok(()) } else { Err("scale is out of range: even numbers from 16 to 4320") }
    }
}

impl Audio {
    fn validate(self) -> Result<(), &'static str> {
        if (16..=512).contains(&self.kbps) { Ok(()) } else { Err("audio.kbps is out of range: 16 to 512") }
    }
}

impl Profile {
    /// Whether that is what this profile makes; else what is wrong with it.
    pub(crate) fn delivers(&self, result: &MediaInfo) -> Result<(), &'static str> {
        match (&self.recipe, &result.video, &result.audio) {
            (Recipe::Video { .. } | Recipe::Poster { .. }, None, _) => Err("there are no pictures in it"),
            (Recipe::Audio { .. }, _, None) => Err("there is no sound in it"),
            (Recipe::Video { codec, scale, .. }, Some(video), _) => {
                let name = if *codec == VideoCodec::H264 { "h264" } else { "vp9" };
                match scale {
                    _ if video.codec != name => Err("its pictures are of another codec"),
                    Scale::Exact(w, h) if (video.width, video.height) != (u32::from(*w), u32::from(*h)) => {
                        Err("its pictures are of another size")
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
