//! How samples stand for colours, in ITU-T H.273's terms and by ffmpeg's names.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A closed set of names that ffprobe writes and ffmpeg's filters take.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            /// Not said, or a name that is not known here.
            #[default]
            Unknown,
            $($(#[$what])* $variant,)*
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer).map(|text| Self::parse(&text))
            }
        }

        impl $name {
            /// What ffprobe's word means.
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// ffmpeg's name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Unknown => "unknown",
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

named! {
    /// Which codes a sample uses.
    Range {
        /// 16 to 235 (chroma: to 240) of 255.
        Limited = "tv",
        /// All of them.
        Full = "pc",
    }
}

named! {
    /// How luma and chroma are made of red, green and blue (`MatrixCoefficients`).
    Matrix {
        /// HD.
        Bt709 = "bt709",
        /// SD of NTSC.
        Smpte170m = "smpte170m",
        /// SD of PAL: the numbers of [`Self::Smpte170m`].
        Bt470bg = "bt470bg",
        /// Early HD.
        Smpte240m = "smpte240m",
        /// Title 47 of the FCC.
        Fcc = "fcc",
        /// UHD.
        Bt2020nc = "bt2020nc",
        /// UHD, constant luminance.
        Bt2020c = "bt2020c",
        /// Green and two differences.
        Ycgco = "ycgco",
        /// No matrix: the planes are green, blue and red.
        Gbr = "gbr",
    }
}

named! {
    /// Which red, green and blue are meant (`ColourPrimaries`).
    Primaries {
        /// HD, and sRGB.
        Bt709 = "bt709",
        /// SD of NTSC.
        Smpte170m = "smpte170m",
        /// SD of PAL.
        Bt470bg = "bt470bg",
        /// NTSC of 1953.
        Bt470m = "bt470m",
        /// Early HD.
        Smpte240m = "smpte240m",
        /// UHD.
        Bt2020 = "bt2020",
        /// Display P3.
        Smpte432 = "smpte432",
        /// Cinema P3.
        Smpte431 = "smpte431",
    }
}

named! {
    /// How light becomes a signal (`TransferCharacteristics`).
    Transfer {
        /// HD.
        Bt709 = "bt709",
        /// SD: the same curve.
        Smpte170m = "smpte170m",
        /// UHD of 10 bits: the same curve.
        Bt2020Bits10 = "bt2020-10",
        /// UHD of 12 bits: the same curve.
        Bt2020Bits12 = "bt2020-12",
        /// sRGB.
        Srgb = "iec61966-2-1",
        /// Gamma 2.2.
        Bt470m = "bt470m",
        /// Gamma 2.8.
        Bt470bg = "bt470bg",
        /// Early HD.
        Smpte240m = "smpte240m",
        /// xvYCC.
        Xvycc = "iec61966-2-4",
        /// No curve.
        Linear = "linear",
        /// PQ: HDR of SMPTE ST 2084.
        Pq = "smpte2084",
        /// HLG: HDR of ARIB STD-B67.
        Hlg = "arib-std-b67",
    }
}

impl Transfer {
    /// Whether it reaches further than a display of standard range.
    pub const fn is_hdr(self) -> bool {
        matches!(self, Self::Pq | Self::Hlg)
    }
}

/// All that is said of a stream's colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Color {
    /// Which codes are used.
    pub range: Range,
    /// How luma and chroma are made.
    pub matrix: Matrix,
    /// Which red, green and blue.
    pub primaries: Primaries,
    /// How light becomes a signal.
    pub transfer: Transfer,
}
