use super::ladder::Ladder;
use super::preview::{self, Preview};
use super::{Features, Rate, Surface, language, picture_filters, places, sound};
use crate::content::{MediaInfo, VideoInfo};
use crate::profile::{Audio, Profile, Recipe, Scale, Unsuitable};

/// What ffmpeg is to do with a file for a profile: which streams, through which filters, how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The pictures.
    pub video: Option<Video>,
    /// The sound.
    pub sound: Option<Sound>,
    /// For one still picture: where it is looked for.
    pub(super) still: Option<Still>,
    /// For pictures that are put together in a second run: what of.
    pub(crate) preview: Option<Preview>,
    /// For a ladder: its sizes.
    pub(crate) ladder: Option<Ladder>,
    /// Whether the first picture that there is will do.
    pub(super) from_start: bool,
    /// The stream that takes another decoder than the usual one, and which.
    pub(super) decoder: Option<(u32, &'static str)>,
    /// Whether the pictures are decoded by one thread, however many there are.
    pub(super) one_decodes: bool,
}

/// Pictures of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Number of their stream in the file.
    pub stream: u32,
    /// What they go through, in order.
    pub filters: Vec<String>,
    /// When they are shown.
    pub rate: Rate,
    /// Width and height.
    pub size: (u32, u32),
}

/// Sound of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Number of its stream in the file.
    pub stream: u32,
    /// What it goes through, in order.
    pub filters: Vec<String>,
    /// Thousands of bits a second.
    pub kbps: u16,
    /// Its language, as three letters of ISO 639-3.
    pub language: Option<String>,
}

/// Where a still picture is looked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Still {
    /// How much of the input is looked at, in seconds; all of it where it isn't said.
    pub(super) within_s: Option<f64>,
    /// Whether that is so much that only pictures are decoded that need no other.
    pub(super) key_frames_only: bool,
}

/// A still picture is looked for in this part of a film.
const STILL_PART: f64 = 0.1;
/// So many pictures are compared.
const STILL_SAMPLES_MAX: f64 = 50.0;
/// In a longer part than this only pictures that need no other are looked at, in seconds.
const STILL_ALL_FRAMES_MAX_S: f64 = 30.0;
/// Where all of that part is black, this many times as much of the film is looked at, or so many seconds.
const STILL_BLACK_PARTS: f64 = 3.0;
const STILL_BLACK_MIN_S: f64 = 60.0;
/// Of a film that does not say how long it is, in seconds.
const STILL_UNKNOWN_S: f64 = 1.0;
/// Distance of pictures that need no other, at most as a rule, in seconds.
const KEY_FRAME_DISTANCE_S: f64 = 10.0;

impl Plan {
    /// The plan for a profile. `from_start`: a still picture is the first that there is, and so is all of
    /// a preview.
    pub fn new(
        info: &MediaInfo,
        profile: &Profile,
        features: &Features,
        from_start: bool,
    ) -> Result<Self, Unsuitable> {
        profile.suits(info)?;
        let decoder = info.video.as_ref().and_then(|video| decoder(video, features));
        // Its decoder reads the heads of a second film in the same file with one thread alone: with several, no picture of that one.
        let one_decodes = info.video.as_ref().is_some_and(|video| video.codec == "theora");
        let none = Self {
            video: None,
            sound: None,
            still: None,
            preview: None,
            ladder: None,
            from_start,
            decoder,
            one_decodes,
        };
        Ok(match (&profile.recipe, &info.video, &info.cover) {
            (Recipe::Video { scale, fps_max, audio, .. }, Some(video), _) => Self {
                video: Some(moving(video, *scale, u32::from(*fps_max), features)),
                sound: sound(info, *audio, features),
                ..none
            },
            (Recipe::Hls { rungs, preset, fps_max, audio, .. }, Some(video), _) => Self {
                ladder: Some(Ladder::plan(video, rungs, (*preset, *fps_max), features)),
                sound: sound(info, *audio, features),
                ..none
            },
            (Recipe::Audio { audio }, ..) => Self { sound: sound(info, *audio, features), ..none },
            (Recipe::Poster { scale, quality }, Some(video), _) if !from_start => {
                let (still, choice) = look_for(info, video, features);
                let until_s = still.within_s.unwrap_or(choice.part_s);
                let places = places::of_still(info, video, (choice.part_s, until_s));
                if still.key_frames_only && !places.is_empty() {
                    return Ok(still_of_places((places, choice), (video, *scale, *quality), features, none));
                }
                Self { video: Some(still_of(video, *scale, features, choice)), still: Some(still), ..none }
            }
            (Recipe::Poster { scale, .. }, Some(picture), _)
            | (Recipe::Poster { scale, .. }, None, Some(picture)) => {
                let still = Still { within_s: None, key_frames_only: false };
                let choice = Choice::default();
                Self { video: Some(still_of(picture, *scale, features, choice)), still: Some(still), ..none }
            }
            (recipe, Some(video), _) => {
                let (filters, size, preview) =
                    preview::plan(recipe, info, video, features, from_start).ok_or(Unsuitable::NoVideo)?;
                let video = Some(preview::video(video.index, filters, size, video));
                Self { video, preview: Some(preview), ..none }
            }
            (_, None, _) => return Err(Unsuitable::NoVideo),
        })
    }
}

/// WebM keeps what is transparent in a second picture beside each; ffmpeg's own decoders don't look at it.
fn decoder(video: &VideoInfo, features: &Features) -> Option<(u32, &'static str)> {
    let decoder = match video.codec.as_str() {
        "vp8" => "libvpx",
        "vp9" => "libvpx-vp9",
        _ => return None,
    };
    (video.backdrop.is_some() && features.lists_decoder(decoder)).then_some((video.index, decoder))
}

fn moving(video: &VideoInfo, scale: Scale, fps_max: u32, features: &Features) -> Video {
    let rate = Rate::of(video, fps_max);
    let mut filters: Vec<_> = rate.filter().into_iter().collect();
    filters.extend(picture_filters(video, scale, Surface::Video, features));
    let (width, height) = video.shown_size();
    Video { stream: video.index, filters, rate, size: scale.fit(width, height) }
}

fn sound(info: &MediaInfo, audio: Audio, features: &Features) -> Option<Sound> {
    info.audio.as_ref().map(|stream| Sound {
        stream: stream.index,
        filters: sound::filters(stream, audio, features.alimiter),
        kbps: sound::kbps(stream, audio),
        // A peer may have looked at it.
        language: stream.language.as_deref().and_then(language::three_letters),
    })
}

/// Filters around the chain of a still picture: which pictures go in, which of them are not black, and which one comes out.
#[derive(Default)]
struct Choice {
    before: Vec<String>,
    lit: Vec<String>,
    telling: Option<String>,
    /// Length of the part that is looked at first, in seconds.
    part_s: f64,
}

/// The most telling picture of a film's first tenth that is not black.
fn look_for(info: &MediaInfo, video: &VideoInfo, features: &Features) -> (Still, Choice) {
    let whole = info.picture_duration().map(|duration| duration.as_secs_f64());
    let part = whole.map_or(STILL_UNKNOWN_S, |whole| whole * STILL_PART);
    let key_frames_only = part >= STILL_ALL_FRAMES_MAX_S;
    let distance =
        if key_frames_only { KEY_FRAME_DISTANCE_S } else { 1.0 / Rate::of(video, 60).nominal.value() };
    let samples = (part / distance).ceil().clamp(1.0, STILL_SAMPLES_MAX);
    let step = part / samples;
    let mut choice = Choice { part_s: part, ..Choice::default() };
    choice.before.push(format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t,{:.4})'", step * 0.999));
    if features.blackframe {
        choice.lit.push("blackframe=amount=0".to_owned());
        choice.lit.push("metadata=mode=select:key=lavfi.blackframe.pblack:value=98:function=less".to_owned());
    }
    if features.thumbnail {
        choice.telling = Some(format!("thumbnail=n={}", (samples as u32).max(2)));
    }
    let within_s = (part * STILL_BLACK_PARTS).max(STILL_BLACK_MIN_S);
    (Still { within_s: Some(within_s), key_frames_only }, choice)
}

/// The same choice of pictures that are picked at some places alone.
fn still_of_places(
    (places, choice): (Vec<f64>, Choice),
    (video, scale, quality): (&VideoInfo, Scale, u8),
    features: &Features,
    plan: Plan,
) -> Plan {
    let mut filters = picture_filters(video, scale, Surface::Jpeg, features);
    let mut jpeg = filters.split_off(filters.len() - 2);
    filters.extend(choice.lit);
    if features.thumbnail {
        jpeg.insert(0, format!("thumbnail=n={}", places::STILL_PLACES));
    }
    let (width, height) = video.shown_size();
    Plan {
        video: Some(preview::video(video.index, filters, scale.fit(width, height), video)),
        still: Some(Still { within_s: Some(places::STILL_PLACE_S), key_frames_only: true }),
        preview: Some(Preview::still(places, jpeg, quality)),
        ..plan
    }
}

fn still_of(picture: &VideoInfo, scale: Scale, features: &Features, choice: Choice) -> Video {
    let mut filters = choice.before;
    let mut chain = picture_filters(picture, scale, Surface::Jpeg, features);
    // The last two make a JPEG of what is chosen; the choice is made before.
    let jpeg = chain.split_off(chain.len() - 2);
    filters.extend(chain);
    filters.extend(choice.lit);
    filters.extend(choice.telling);
    filters.extend(jpeg);
    let (width, height) = picture.shown_size();
    Video { stream: picture.index, filters, rate: Rate::of(picture, 60), size: scale.fit(width, height) }
}
