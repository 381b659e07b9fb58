use starling_placement::content::HasRecipe;

use super::codec::{Audio, AudioCodec, Container, Effort, Preset, VideoCodec};
use super::{ProfileName, RECIPE_VERSION};
use crate::content::{ContentId, Lack, MediaInfo, MediaLimits, VideoInfo};

/// One thing that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How a client names it.
    pub name: ProfileName,
    /// One line for people.
    pub description: String,
    /// What to make.
    pub recipe: Recipe,
}

/// What to make, by kind of result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Moving pictures, with sound when the input has any.
    Video {
        /// File format of the result.
        container: Container,
        /// Encoder.
        codec: VideoCodec,
        /// Size of the pictures.
        scale: Scale,
        /// Speed against size.
        effort: Effort,
        /// Constant rate factor: lower is better and bigger. From 0 to [`VideoCodec::crf_max`].
        crf: u8,
        /// Whether it is made for streaming: bit rate bounded, a picture that needs no other every two seconds.
        bounded: bool,
        /// Whether an encoder in hardware may make it, where there is one: faster, and other bytes each time.
        hardware: bool,
        /// Most pictures a second; what has more is thinned out.
        fps_max: u16,
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
    /// Contact sheets of small pictures from all over the film, with a `WebVTT` file that says which of them shows what time: what
    /// players show above the seek bar. A set of files.
    Sprite {
        /// Size of one small picture.
        tile: Scale,
        /// JPEG quantizer: 2 (best) to 31.
        quality: u8,
    },
    /// An HLS ladder (CMAF): H.264 in several sizes, and the sound, with playlists. A set of files.
    Hls {
        /// The sizes, the largest first: those that a video reaches, or the last one's quality in the size that it has.
        rungs: Vec<Rung>,
        /// Speed against size.
        preset: Preset,
        /// Most pictures a second; what has more is thinned out.
        fps_max: u16,
        /// Seconds of a segment: a multiple of 2.
        segment_s: u8,
        /// The sound, when the input has any.
        audio: Audio,
    },
    /// A few seconds of a film, silent and over and over again.
    Gif {
        /// Size of the pictures.
        scale: Scale,
        /// Pictures a second.
        fps: u16,
    },
}

/// A size of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Pixels of the shorter side.
    pub short_side: u16,
    /// Constant rate factor of x264.
    pub crf: u8,
}

impl Rung {
    /// Which of these are made of a stream, and how large each comes out: none is enlarged, and there is always one.
    pub fn steps(rungs: &[Self], video: &VideoInfo) -> Vec<(Self, (u32, u32))> {
        let (width, height) = video.shown_size();
        let fits = |rung: &&Self| u32::from(rung.short_side) <= width.min(height);
        let sized = |rung: &Self| (*rung, Scale::ShortSide(rung.short_side).fit(width, height));
        let steps: Vec<_> = rungs.iter().filter(fits).map(sized).collect();
        if steps.is_empty() { rungs.last().map(sized).into_iter().collect() } else { steps }
    }
}

/// Size of the pictures that come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Exactly this width and height, whatever the input's shape.
    Exact(u16, u16),
    /// The shorter side at most this, aspect ratio kept, both sides even, never enlarged.
    ShortSide(u16),
    /// The longer side at most the first, and the shorter one at most the second; aspect ratio kept, both sides even, never enlarged.
    Within(u16, u16),
}

/// Longer than this no side is, whatever the shape: encoders take no more.
const SIDE_MAX: u32 = 16_384;

impl Scale {
    /// Width and height of what comes out of a picture that is shown this large.
    pub fn fit(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Exact(width, height) => (width.into(), height.into()),
            Self::ShortSide(side) => {
                let (short, long) = (width.min(height).max(1), width.max(height).max(1));
                let side = (u32::from(side).min(short) / 2 * 2).max(2);
                // To the nearest even number.
                let other = (f64::from(long) * f64::from(side) / f64::from(short) / 2.0).round() * 2.0;
                let other = (other as u32).clamp(2, SIDE_MAX);
                if width >= height { (other, side) } else { (side, other) }
            }
            Self::Within(long_max, short_max) => {
                let (short, long) = (width.min(height).max(1), width.max(height).max(1));
                let by_long = f64::from(long_max) / f64::from(long);
                let by = by_long.min(f64::from(short_max) / f64::from(short)).min(1.0);
                let even = |side: u32, max: u16| {
                    // Rounding must not carry it over what it has to fit into.
                    let side = (f64::from(side) * by / 2.0).round() as u32 * 2;
                    side.clamp(2, u32::from(max).max(2))
                };
                let (long, short) = (even(long, long_max), even(short, short_max));
                if width >= height { (long, short) } else { (short, long) }
            }
        }
    }

    /// Whether pictures of this size can come out.
    pub(crate) fn allows(self, width: u32, height: u32) -> bool {
        let (short, long) = (width.min(height), width.max(height));
        match self {
            Self::Exact(w, h) => (width, height) == (w.into(), h.into()),
            // Two at the least, where the input has but one row.
            Self::ShortSide(side) => short <= u32::from(side).max(2),
            Self::Within(long_max, short_max) => {
                long <= u32::from(long_max).max(2) && short <= u32::from(short_max).max(2)
            }
        }
    }

    /// Width and height of what comes out of this stream.
    pub fn fit_to(self, video: &VideoInfo) -> (u32, u32) {
        let (width, height) = video.shown_size();
        self.fit(width, height)
    }

    /// Pixels of one picture that comes out of this stream.
    fn pixels(self, video: &VideoInfo) -> u64 {
        let (width, height) = self.fit_to(video);
        u64::from(width) * u64::from(height)
    }
}

/// A media file that a profile can't be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// There are no pictures in it.
    #[error("there is no video stream in it: ask for the profile `audio`, or send a video")]
    NoVideo,
    /// There is one picture in it that belongs to the sound.
    #[error(
        "there is no video in it but a cover: ask for the profile `audio`, or for `poster` to have the cover"
    )]
    CoverOnly,
    /// There is no sound in it.
    #[error("there is no sound in it: ask for another profile than one of sound alone")]
    NoAudio,
    /// What is needed of it is there, and can't be used.
    #[error("{}", lack_in_words(*.video, .why))]
    Lacks {
        /// Whether it is the pictures, and not the sound.
        video: bool,
        /// Why.
        why: Lack,
    },
    /// The encoder takes no pictures that small.
    #[error(
        "its pictures are too small for {codec}: {width}x{height}, at least {min} each way; ask for another profile, as 360p"
    )]
    TooSmall {
        /// The codec.
        codec: &'static str,
        /// What would come out.
        width: u32,
        /// The same.
        height: u32,
        /// What it takes.
        min: u32,
    },
    /// It is a media file, and asks for more than this node gives.
    #[error("{what} is over this node's limit: {found}, at most {max}")]
    OverLimit {
        /// Which limit.
        what: &'static str,
        /// What the file asks for.
        found: String,
        /// What is given.
        max: String,
    },
}

fn lack_in_words(video: bool, why: &Lack) -> String {
    let what = if video { "its video" } else { "its sound" };
    match why {
        Lack::Encrypted => format!("{what} is encrypted (DRM): send a file that is not protected"),
        Lack::Undecodable(codec) => {
            format!("{what} is of a kind that can't be decoded here (codec {codec}): convert it to H.264 and AAC first")
        }
        Lack::Empty if video => "there is no picture in its video track: send a video that has some".to_owned(),
        Lack::Empty => "there is no sound in it: its audio track is empty; ask for another profile than one of sound alone"
            .to_owned(),
        Lack::DolbyVisionOnly => {
            "its video is Dolby Vision of profile 5, whose colours no other decoder knows: export it as HDR10, HLG or SDR"
                .to_owned()
        }
    }
}

/// The same of a still picture.
const STILL_WEIGHT: u64 = 4;
/// So many pictures of a film are looked at for a preview, about.
const PREVIEW_PICTURES: u64 = 600;
/// Of a longer film so many seconds are decoded for a moving preview, about: its places, and what comes before them from the last picture
/// on that needs no other.
const PLACES_S: f64 = 60.0;
/// And for a contact sheet, of each of some 150 tiles; to begin at each costs as much as so many pixels.
const TILES_S: f64 = 400.0;
const TILES_BEGIN_PIXELS: u64 = 12_000_000_000;

impl Profile {
    /// What a job of this profile costs, in pixels that are decoded or (weighed) encoded; 0 where the input doesn't tell.
    pub fn work_pixels(&self, info: &MediaInfo) -> u64 {
        let Some(video) = &info.video else { return 0 };
        let coded = u64::from(video.width) * u64::from(video.height);
        let picture = |scale: &Scale, weight: u64| coded.saturating_add(weight * scale.pixels(video));
        match &self.recipe {
            Recipe::Video { scale, codec, .. } => {
                picture(scale, codec.encode_weight()).saturating_mul(video.frames)
            }
            Recipe::Hls { rungs, .. } => {
                let sizes = Rung::steps(rungs, video).into_iter();
                let encoded: u64 =
                    sizes.map(|(_, (width, height))| u64::from(width) * u64::from(height)).sum();
                let weighed = coded.saturating_add(VideoCodec::H264.encode_weight() * encoded);
                weighed.saturating_mul(video.frames)
            }
            Recipe::Poster { scale, .. } => picture(scale, STILL_WEIGHT),
            // All of it is decoded, or some places, and little of that encoded.
            Recipe::Sprite { tile: scale, .. } | Recipe::Gif { scale, .. } => {
                let pixels = |frames: u64| coded.saturating_mul(frames);
                let of_places = |seconds: f64| pixels(((video.fps * seconds) as u64).max(PREVIEW_PICTURES));
                let places = match self.recipe {
                    _ if !info.has_index() => u64::MAX,
                    Recipe::Gif { .. } => of_places(PLACES_S),
                    _ => of_places(TILES_S).saturating_add(TILES_BEGIN_PIXELS),
                };
                let kept = video.frames.min(PREVIEW_PICTURES);
                pixels(video.frames).min(places).saturating_add(STILL_WEIGHT * scale.pixels(video) * kept)
            }
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
            Recipe::Sprite { .. } | Recipe::Hls { .. } => crate::store::files::MEDIA_TYPE,
            Recipe::Gif { .. } => "image/gif",
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
            Recipe::Sprite { .. } | Recipe::Hls { .. } => "tar",
            Recipe::Gif { .. } => "gif",
        }
    }

    /// Whether its result is a set of files, which is kept and sent as one: see [`files`](crate::store::files).
    pub const fn makes_set(&self) -> bool {
        matches!(self.recipe, Recipe::Sprite { .. } | Recipe::Hls { .. })
    }

    /// Whether it is put together from pictures of the whole film.
    pub(crate) const fn is_preview(&self) -> bool {
        matches!(self.recipe, Recipe::Sprite { .. } | Recipe::Gif { .. })
    }

    /// Whether this profile can be made of that input.
    pub fn suits(&self, info: &MediaInfo) -> Result<(), Unsuitable> {
        let lacks = |video, why: &Option<Lack>, else_| {
            why.clone().map_or(else_, |why| Unsuitable::Lacks { video, why })
        };
        match self.recipe {
            Recipe::Video { .. } | Recipe::Hls { .. } | Recipe::Sprite { .. } | Recipe::Gif { .. }
                if info.video.is_none() && info.cover.is_some() =>
            {
                Err(Unsuitable::CoverOnly)
            }
            Recipe::Poster { .. } if info.cover.is_some() => Ok(()),
            Recipe::Video { .. }
            | Recipe::Hls { .. }
            | Recipe::Poster { .. }
            | Recipe::Sprite { .. }
            | Recipe::Gif { .. }
                if info.video.is_none() =>
            {
                Err(lacks(true, &info.video_lack, Unsuitable::NoVideo))
            }
            Recipe::Audio { .. } if info.audio.is_none() => {
                Err(lacks(false, &info.audio_lack, Unsuitable::NoAudio))
            }
            Recipe::Video { codec, scale, .. } => match &info.video {
                Some(video) => codec.takes(scale.fit_to(video)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Whether what has to be decoded for it is within the limits: a picture that is not used may be of any size.
    pub fn within(&self, limits: &MediaLimits, info: &MediaInfo) -> Result<(), Unsuitable> {
        let picture = match self.recipe {
            Recipe::Video { .. } | Recipe::Hls { .. } | Recipe::Sprite { .. } | Recipe::Gif { .. } => {
                info.video.as_ref()
            }
            Recipe::Poster { .. } => info.video.as_ref().or(info.cover.as_ref()),
            Recipe::Audio { .. } => None,
        };
        let Some(picture) = picture else { return Ok(()) };
        if u64::from(picture.width) * u64::from(picture.height) <= limits.picture_pixels_max {
            return Ok(());
        }
        Err(Unsuitable::OverLimit {
            what: "the picture's size",
            found: format!("{}x{}", picture.width, picture.height),
            max: format!("{} pixels", limits.picture_pixels_max),
        })
    }

    /// A digest of what the recipe says (not of its name or description): a changed recipe makes a new cache key, and so does a
    /// change of what is made of the same recipe.
    pub fn recipe_id(&self) -> ContentId {
        // The derived Debug text is the one canonical form that can't miss a field added later.
        ContentId::of(format!("{RECIPE_VERSION} {:?}", self.recipe).as_bytes())
    }
}

impl HasRecipe for Profile {
    fn profile_name(&self) -> &ProfileName {
        &self.name
    }

    fn recipe_id(&self) -> ContentId {
        Self::recipe_id(self)
    }
}

impl Profile {
    /// Whether that is what this profile makes; else what is wrong with it.
    pub(crate) fn delivers(&self, result: &MediaInfo) -> Result<(), &'static str> {
        match (&self.recipe, &result.video, &result.audio) {
            (Recipe::Audio { .. }, _, None) => Err("there is no sound in it"),
            (Recipe::Audio { .. }, Some(_), _) => Err("there are pictures in it"),
            (_, None, _) if !matches!(self.recipe, Recipe::Audio { .. }) => {
                Err("there are no pictures in it")
            }
            (Recipe::Audio { audio } | Recipe::Video { audio, .. }, _, Some(sound))
                if sound.codec != audio.codec.as_str() =>
            {
                Err("its sound is of another codec")
            }
            (Recipe::Video { codec, scale, .. }, Some(video), _) => match scale {
                _ if video.codec != codec.as_str() => Err("its pictures are of another codec"),
                Scale::Exact(w, h) if (video.width, video.height) != (u32::from(*w), u32::from(*h)) => {
                    Err("its pictures are of another size")
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Whether a result of this profile is as large as what it was made of asks for; else what is wrong with it.
    pub(crate) fn fits(&self, input: &MediaInfo, result: &MediaInfo) -> Result<(), &'static str> {
        if let (Recipe::Hls { rungs, .. }, Some(from), Some(made)) =
            (&self.recipe, &input.video, &result.video)
        {
            let steps = Rung::steps(rungs, from);
            let largest = steps.first().map(|(_, size)| *size);
            let streams = steps.len() + usize::from(result.audio.is_some());
            let fits = largest == Some((made.width, made.height)) && streams == result.streams as usize;
            return if fits { Ok(()) } else { Err("it has other sizes") };
        }
        let (
            Recipe::Video { scale, .. } | Recipe::Sprite { tile: scale, .. } | Recipe::Gif { scale, .. },
            Some(from),
            Some(made),
        ) = (&self.recipe, &input.video, &result.video)
        else {
            return Ok(());
        };
        let (width, height) = from.shown_size();
        if scale.fit(width, height) == (made.width, made.height) {
            Ok(())
        } else {
            Err("its pictures are of another size")
        }
    }
}

impl Profile {
    /// The codec for which an encoder in hardware may be used.
    pub const fn hardware_codec(&self) -> Option<VideoCodec> {
        match self.recipe {
            Recipe::Video { codec, hardware: true, .. } => Some(codec),
            _ => None,
        }
    }

    /// ffmpeg's names of the encoders that it takes.
    pub fn encoders(&self) -> Vec<&'static str> {
        match &self.recipe {
            Recipe::Video { codec, audio, .. } => vec![codec.encoder(), audio.codec.encoder()],
            Recipe::Audio { audio } => vec![audio.codec.encoder()],
            Recipe::Poster { .. } => vec!["mjpeg"],
            Recipe::Hls { audio, .. } => vec![VideoCodec::H264.encoder(), audio.codec.encoder()],
            Recipe::Sprite { .. } => vec!["mjpeg", "ffv1"],
            Recipe::Gif { .. } => vec!["gif", "ffv1"],
        }
    }
}

impl Scale {
    /// Whether no side can be longer than this, whatever the shape.
    pub(super) fn is_bounded(self, side_max: u16) -> bool {
        matches!(self, Self::Exact(a, b) | Self::Within(a, b) if a.max(b) <= side_max)
    }
}
