//! Containers and codecs of results, and how an encoder is asked to work.

use super::Unsuitable;

/// File format of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MP4 with its index in front (`+faststart`), so that a player starts before it has all of it.
    Mp4,
    /// WebM.
    Webm,
}

/// Video encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VideoCodec {
    /// libx264.
    H264,
    /// libx265, 8 bits, as Apple's players take it (`hvc1`).
    Hevc,
    /// SVT-AV1.
    Av1,
    /// libvpx-vp9.
    Vp9,
}

/// An encoder's trade of speed against size, as that encoder has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Of x264.
    Preset(Preset),
    /// A number, for encoders that have no names for it: more is faster.
    Speed(u8),
}

/// x264's trade of speed against size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// How sound is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Encoder.
    pub codec: AudioCodec,
    /// Bit rate in thousands of bits a second.
    pub kbps: u16,
    /// Channels at most.
    pub channels: Layout,
}

/// Most channels of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Two, or one where there is no more.
    #[default]
    Stereo,
    /// Six where there are as many, else two.
    Surround,
}

/// Audio encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// ffmpeg's own AAC.
    Aac,
    /// libopus.
    Opus,
}

impl Container {
    /// Its name in a profile file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
        }
    }

    /// Whether players expect these pictures in it.
    pub const fn takes(self, codec: VideoCodec) -> bool {
        match (self, codec) {
            (Self::Mp4, VideoCodec::H264 | VideoCodec::Hevc | VideoCodec::Av1)
            | (Self::Webm, VideoCodec::Vp9 | VideoCodec::Av1) => true,
            (Self::Mp4, VideoCodec::Vp9) | (Self::Webm, VideoCodec::H264 | VideoCodec::Hevc) => false,
        }
    }

    /// Which those are, in words.
    pub(super) const fn codecs(self) -> &'static str {
        match self {
            Self::Mp4 => "h264, hevc or av1",
            Self::Webm => "vp9 or av1",
        }
    }

    /// And which sound.
    pub const fn sound(self) -> AudioCodec {
        match self {
            Self::Mp4 => AudioCodec::Aac,
            Self::Webm => AudioCodec::Opus,
        }
    }
}

impl VideoCodec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::H264, Self::Hevc, Self::Av1, Self::Vp9];

    /// Its bit in what a node tells the others that it encodes in hardware.
    pub const fn bit(self) -> u8 {
        match self {
            Self::H264 => 1,
            Self::Vp9 => 1 << 1,
            Self::Hevc => 1 << 2,
            Self::Av1 => 1 << 3,
        }
    }

    /// The bits of these.
    pub fn bits(codecs: &[Self]) -> u8 {
        codecs.iter().fold(0, |bits, codec| bits | codec.bit())
    }

    /// Those whose bits are set; others are codecs of newer nodes.
    pub fn of_bits(bits: u8) -> Vec<Self> {
        Self::ALL.into_iter().filter(|codec| bits & codec.bit() != 0).collect()
    }

    /// Its name in a profile file, and ffprobe's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Av1 => "av1",
            Self::Vp9 => "vp9",
        }
    }

    /// Whether the encoder takes pictures of this size.
    pub(super) fn takes(self, (width, height): (u32, u32)) -> Result<(), Unsuitable> {
        let min = self.side_min();
        if width.min(height) >= min {
            return Ok(());
        }
        Err(Unsuitable::TooSmall { codec: self.as_str(), width, height, min })
    }

    /// ffmpeg's name of the encoder.
    pub const fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "libx264",
            Self::Hevc => "libx265",
            Self::Av1 => "libsvtav1",
            Self::Vp9 => "libvpx-vp9",
        }
    }

    /// The encoder's greatest constant rate factor.
    pub const fn crf_max(self) -> u8 {
        match self {
            Self::H264 | Self::Hevc => 51,
            Self::Vp9 | Self::Av1 => 63,
        }
    }

    /// The usual speed and the greatest, where it has numbers for that; else it has presets.
    pub const fn speeds(self) -> Option<(u8, u8)> {
        match self {
            Self::H264 | Self::Hevc => None,
            Self::Vp9 => Some((5, 8)),
            Self::Av1 => Some((8, 13)),
        }
    }

    /// The encoder takes no picture with a shorter side.
    pub const fn side_min(self) -> u32 {
        match self {
            Self::H264 | Self::Vp9 => 1,
            Self::Hevc => 16,
            Self::Av1 => 64,
        }
    }

    /// How much dearer it is to encode a pixel than to decode one of H.264, with the usual effort: CPU time of ffmpeg 5.1 over a
    /// noisy 720p clip, less that of decoding it (docs/EXPERIMENTS.md). It need not be exact: it makes jobs comparable, and their
    /// speed is learned.
    pub(super) const fn encode_weight(self) -> u64 {
        match self {
            Self::H264 => 4,
            Self::Hevc | Self::Av1 => 7,
            Self::Vp9 => 12,
        }
    }
}

impl AudioCodec {
    /// Its name in a profile file, and ffprobe's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
        }
    }

    /// ffmpeg's name of the encoder.
    pub const fn encoder(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "libopus",
        }
    }
}

impl Layout {
    /// Its name in a profile file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stereo => "stereo",
            Self::Surround => "5.1",
        }
    }
}

impl Preset {
    /// x264's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
        }
    }
}
