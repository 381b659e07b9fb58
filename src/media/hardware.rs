//! Encoders in hardware: what ffmpeg calls them, and what it has to be told before they take a picture.
//!
//! Names and options are ffmpeg's: libavcodec's `nvenc`, `vaapi_encode`, `qsvenc`, `v4l2_m2m_enc`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::profile::VideoCodec;

/// A kind of encoder in hardware, by the interface that ffmpeg reaches it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// NVIDIA's.
    Nvenc,
    /// Intel's, by its own library.
    Qsv,
    /// Intel's and AMD's, by the Video Acceleration API.
    Vaapi,
    /// Those of small boards, by the memory-to-memory devices of V4L2.
    V4l2,
}

impl Family {
    /// All of them, those first that are asked first.
    pub const ALL: [Self; 4] = [Self::Nvenc, Self::Qsv, Self::Vaapi, Self::V4l2];

    /// Whether a device of this kind is there, whoever may use it.
    pub(crate) fn has_device(self) -> bool {
        let any = |folder: &str, prefix: &str| {
            std::fs::read_dir(folder).is_ok_and(|entries| {
                entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            })
        };
        match self {
            Self::Nvenc => any("/dev", "nvidia") || any("/dev", "dxg"),
            Self::Qsv | Self::Vaapi => any("/dev/dri", "renderD"),
            Self::V4l2 => any("/dev", "video"),
        }
    }

    /// Its name in options and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvenc => "nvenc",
            Self::Qsv => "qsv",
            Self::Vaapi => "vaapi",
            Self::V4l2 => "v4l2",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of hardware encoder: use nvenc, qsv, vaapi or v4l2")]
pub struct UnknownFamily(String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|family| family.as_str() == text)
            .ok_or_else(|| UnknownFamily(text.chars().take(80).collect()))
    }
}

/// One encoder in hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareEncoder {
    /// The interface.
    pub family: Family,
    /// What it writes.
    pub codec: VideoCodec,
}

/// The device that VAAPI and QSV are reached through where there are several: the first.
pub(crate) const RENDER_NODE: &str = "/dev/dri/renderD128";

impl HardwareEncoder {
    /// ffmpeg's name for it; none where ffmpeg has none.
    pub const fn name(self) -> Option<&'static str> {
        use {Family as F, VideoCodec as C};
        match (self.family, self.codec) {
            (F::Nvenc, C::H264) => Some("h264_nvenc"),
            (F::Nvenc, C::Hevc) => Some("hevc_nvenc"),
            (F::Nvenc, C::Av1) => Some("av1_nvenc"),
            (F::Qsv, C::H264) => Some("h264_qsv"),
            (F::Qsv, C::Hevc) => Some("hevc_qsv"),
            (F::Qsv, C::Av1) => Some("av1_qsv"),
            (F::Qsv, C::Vp9) => Some("vp9_qsv"),
            (F::Vaapi, C::H264) => Some("h264_vaapi"),
            (F::Vaapi, C::Hevc) => Some("hevc_vaapi"),
            (F::Vaapi, C::Av1) => Some("av1_vaapi"),
            (F::Vaapi, C::Vp9) => Some("vp9_vaapi"),
            (F::V4l2, C::H264) => Some("h264_v4l2m2m"),
            (F::V4l2, C::Hevc) => Some("hevc_v4l2m2m"),
            (F::Nvenc | F::V4l2, C::Vp9) | (F::V4l2, C::Av1) => None,
        }
    }

    /// All encoders that ffmpeg may have, by the order in which they are asked.
    pub fn all() -> impl Iterator<Item = Self> {
        Family::ALL
            .into_iter()
            .flat_map(|family| VideoCodec::ALL.into_iter().map(move |codec| Self { family, codec }))
    }

    /// Options before the input: the device.
    pub(super) fn device_options(self) -> Vec<(&'static str, String)> {
        match self.family {
            Family::Nvenc | Family::V4l2 => Vec::new(),
            Family::Vaapi => vec![
                ("-init_hw_device", format!("vaapi=hw:{RENDER_NODE}")),
                ("-filter_hw_device", "hw".to_owned()),
            ],
            Family::Qsv => vec![
                ("-init_hw_device", format!("qsv=hw,child_device={RENDER_NODE}")),
                ("-filter_hw_device", "hw".to_owned()),
            ],
        }
    }

    /// What pictures go through at the end of their chain: into the form and the memory that the encoder takes.
    pub(super) const fn last_filter(self) -> &'static str {
        match self.family {
            Family::Nvenc | Family::V4l2 => "format=yuv420p",
            Family::Qsv => "format=nv12",
            Family::Vaapi => "format=nv12,hwupload",
        }
    }

    /// The encoder's own options. `quality` is the profile's constant rate factor; `kbps_max` bounds the bit rate, and an encoder
    /// that can't hold a quality within a bound aims at half of it.
    pub(super) fn options(self, quality: u8, kbps_max: Option<u64>) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        let bound = |options: &mut Vec<_>, kbps: u64| {
            options.push(("-maxrate", format!("{kbps}k")));
            options.push(("-bufsize", format!("{}k", 2 * kbps)));
        };
        let aim = |kbps: u64| ("-b:v", format!("{}k", kbps.div_ceil(2)));
        match (self.family, kbps_max) {
            (Family::Nvenc, kbps_max) => {
                options.extend([
                    ("-preset", "p4".to_owned()),
                    ("-rc", "vbr".to_owned()),
                    ("-cq", quality.to_string()),
                    ("-b:v", "0".to_owned()),
                    ("-forced-idr", "1".to_owned()),
                ]);
                if let Some(kbps) = kbps_max {
                    bound(&mut options, kbps);
                }
            }
            (Family::Qsv, None) => {
                options.extend([("-global_quality", quality.to_string()), ("-forced_idr", "1".to_owned())]);
            }
            (Family::Qsv, Some(kbps)) => {
                options.extend([aim(kbps), ("-forced_idr", "1".to_owned())]);
                bound(&mut options, kbps);
            }
            (Family::Vaapi, None) => {
                options.extend([("-rc_mode", "CQP".to_owned()), ("-qp", quality.to_string())]);
            }
            (Family::Vaapi, Some(kbps)) => {
                options.extend([("-rc_mode", "VBR".to_owned()), aim(kbps)]);
                bound(&mut options, kbps);
            }
            (Family::V4l2, kbps_max) => options.push(aim(kbps_max.unwrap_or(V4L2_KBPS))),
        }
        match self.codec {
            VideoCodec::H264 if self.family != Family::V4l2 => {
                options.push(("-profile:v", "high".to_owned()));
            }
            // As Apple's players take it.
            VideoCodec::Hevc => options.push(("-tag:v", "hvc1".to_owned())),
            _ => {}
        }
        options
    }
}

/// Encoders of V4L2 know no constant quality: of this bit rate half is aimed at where a profile has no bound, in thousands
/// of bits a second.
const V4L2_KBPS: u64 = 8_000;

impl fmt::Display for HardwareEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_each_encoder_has_one_of_its_own() {
        for family in Family::ALL {
            assert_eq!(family.as_str().parse(), Ok(family));
        }
        let names: std::collections::BTreeSet<_> =
            HardwareEncoder::all().filter_map(HardwareEncoder::name).collect();
        let all = HardwareEncoder::all().filter(|encoder| encoder.name().is_some()).count();
        assert_eq!((names.len(), all), (13, 13));
    }

    #[test]
    fn each_kind_is_told_what_it_understands() {
        let told = |family, kbps_max| {
            let encoder = HardwareEncoder { family, codec: VideoCodec::H264 };
            let options = encoder.device_options().into_iter().chain(encoder.options(24, kbps_max));
            let options = options.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
            format!("{} | {}", options.join(" "), encoder.last_filter())
        };
        assert_eq!(
            told(Family::Nvenc, Some(1_000)),
            "-preset p4 -rc vbr -cq 24 -b:v 0 -forced-idr 1 -maxrate 1000k -bufsize 2000k -profile:v high | format=yuv420p"
        );
        assert_eq!(
            told(Family::Qsv, Some(1_001)),
            "-init_hw_device qsv=hw,child_device=/dev/dri/renderD128 -filter_hw_device hw -b:v 501k -forced_idr 1 \
             -maxrate 1001k -bufsize 2002k -profile:v high | format=nv12"
        );
        assert_eq!(
            told(Family::Qsv, None),
            "-init_hw_device qsv=hw,child_device=/dev/dri/renderD128 -filter_hw_device hw -global_quality 24 -forced_idr 1 \
             -profile:v high | format=nv12"
        );
        assert_eq!(
            told(Family::Vaapi, Some(1_000)),
            "-init_hw_device vaapi=hw:/dev/dri/renderD128 -filter_hw_device hw -rc_mode VBR -b:v 500k -maxrate 1000k \
             -bufsize 2000k -profile:v high | format=nv12,hwupload"
        );
        assert_eq!(
            told(Family::Vaapi, None),
            "-init_hw_device vaapi=hw:/dev/dri/renderD128 -filter_hw_device hw -rc_mode CQP -qp 24 -profile:v high | \
             format=nv12,hwupload"
        );
        assert_eq!(told(Family::V4l2, Some(1_000)), "-b:v 500k | format=yuv420p");
        assert_eq!(told(Family::V4l2, None), "-b:v 4000k | format=yuv420p");
    }
}
