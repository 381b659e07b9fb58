use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Audio, Effort, Profile, Recipe, Scale, VideoCodec};

/// What a profile makes, as `GET /profiles` tells it. What a kind of result does not have is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Made {
    /// `video`, `audio`, `poster`, `sprite`, `gif` or `hls`.
    pub kind: String,
    /// File format, as `mp4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<MadeVideo>,
    /// Its sound, where the input has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<MadeAudio>,
}

/// Pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MadeVideo {
    /// As `h264`.
    pub codec: String,
    /// Most pixels of the shorter side; never more than the input's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_side: Option<u16>,
    /// Most pixels of the longer side and of the shorter one; never more than the input's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<[u16; 2]>)]
    pub within: Option<(u16, u16)>,
    /// Of a ladder: the shorter side and the constant rate factor of each size.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<[u16; 2]>)]
    pub rungs: Vec<(u16, u8)>,
    /// Of a ladder: seconds of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_s: Option<u8>,
    /// Width and height, where they are the same for every input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<[u16; 2]>)]
    pub exact: Option<(u16, u16)>,
    /// Most pictures a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps_max: Option<u16>,
    /// Constant rate factor: lower is better and bigger, on a scale of the codec's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crf: Option<u8>,
    /// Of a JPEG: 2 (best) to 31.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Speed against size: the encoder's preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The same as a number, where the encoder has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u8>,
    /// Whether its bit rate is bounded and it can be begun every two seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounded: Option<bool>,
    /// Whether an encoder in hardware may make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<bool>,
}

/// Sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MadeAudio {
    /// As `aac`.
    pub codec: String,
    /// Thousands of bits a second; half of it for one channel.
    pub kbps: u16,
    /// Channels at most: `stereo` or `5.1`.
    pub channels: String,
}

impl Profile {
    /// What it makes, for people and programs that have to choose.
    pub fn made(&self) -> Made {
        match &self.recipe {
            Recipe::Video { container, codec, scale, effort, crf, bounded, hardware, fps_max, audio } => {
                let (preset, speed) = match effort {
                    Effort::Preset(preset) => (Some(preset.as_str().to_owned()), None),
                    Effort::Speed(speed) => (None, Some(*speed)),
                };
                Made {
                    kind: "video".to_owned(),
                    container: Some(container.as_str().to_owned()),
                    video: Some(MadeVideo {
                        codec: codec.as_str().to_owned(),
                        fps_max: Some(*fps_max),
                        crf: Some(*crf),
                        preset,
                        speed,
                        bounded: Some(*bounded),
                        hardware: hardware.then_some(true),
                        ..MadeVideo::sized(*scale)
                    }),
                    audio: Some(audio.made()),
                }
            }
            Recipe::Audio { audio } => Made {
                kind: "audio".to_owned(),
                container: Some(self.extension().to_owned()),
                audio: Some(audio.made()),
                ..Made::default()
            },
            Recipe::Poster { scale, quality } => Made {
                kind: "poster".to_owned(),
                container: Some("jpeg".to_owned()),
                video: Some(MadeVideo {
                    codec: "mjpeg".to_owned(),
                    quality: Some(*quality),
                    ..MadeVideo::sized(*scale)
                }),
                ..Made::default()
            },
            Recipe::Hls { rungs, preset, fps_max, segment_s, audio } => Made {
                kind: "hls".to_owned(),
                container: Some("tar".to_owned()),
                video: Some(MadeVideo {
                    codec: VideoCodec::H264.as_str().to_owned(),
                    fps_max: Some(*fps_max),
                    preset: Some(preset.as_str().to_owned()),
                    bounded: Some(true),
                    rungs: rungs.iter().map(|rung| (rung.short_side, rung.crf)).collect(),
                    segment_s: Some(*segment_s),
                    ..MadeVideo::default()
                }),
                audio: Some(audio.made()),
            },
            Recipe::Sprite { tile, quality } => Made {
                kind: "sprite".to_owned(),
                container: Some("tar".to_owned()),
                video: Some(MadeVideo {
                    codec: "mjpeg".to_owned(),
                    quality: Some(*quality),
                    ..MadeVideo::sized(*tile)
                }),
                ..Made::default()
            },
            Recipe::Gif { scale, fps } => Made {
                kind: "gif".to_owned(),
                container: Some("gif".to_owned()),
                video: Some(MadeVideo {
                    codec: "gif".to_owned(),
                    fps_max: Some(*fps),
                    ..MadeVideo::sized(*scale)
                }),
                ..Made::default()
            },
        }
    }
}

impl Audio {
    fn made(self) -> MadeAudio {
        MadeAudio {
            codec: self.codec.as_str().to_owned(),
            kbps: self.kbps,
            channels: self.channels.as_str().to_owned(),
        }
    }
}

impl MadeVideo {
    fn sized(scale: Scale) -> Self {
        match scale {
            Scale::ShortSide(side) => Self { short_side: Some(side), ..Self::default() },
            Scale::Within(long, short) => Self { within: Some((long, short)), ..Self::default() },
            Scale::Exact(width, height) => Self { exact: Some((width, height)), ..Self::default() },
        }
    }

    /// Its size, frame rate and quality in a few words.
    pub fn summary(&self) -> String {
        let mut words = vec![self.codec.clone()];
        words.extend(self.short_side.map(|side| format!("{side}p")));
        words.extend(self.rungs.iter().map(|(side, _)| format!("{side}p")));
        words.extend(self.within.map(|(long, short)| format!("<={long}x{short}")));
        words.extend(self.exact.map(|(width, height)| format!("{width}x{height}")));
        words.extend(self.fps_max.map(|fps| format!("<={fps}/s")));
        words.extend(self.crf.map(|crf| format!("crf {crf}")));
        words.extend(self.quality.map(|quality| format!("q {quality}")));
        words.extend(self.preset.clone());
        words.extend(self.speed.map(|speed| format!("speed {speed}")));
        words.join(" ")
    }
}

impl MadeAudio {
    /// The same in a few words.
    pub fn summary(&self) -> String {
        format!("{} {}k {}", self.codec, self.kbps, self.channels)
    }
}
