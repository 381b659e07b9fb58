//! Holds what came back against what is true of the input.

use super::inputs::{Input, PATCHES, Picture};
use super::measure::{Audio, Measured, Video};

/// Farthest that a tone may lie from where it belongs.
const BEEP_SECONDS_MAX: f64 = 0.05;
/// Greatest distance of a colour from its patch, where the input does not say otherwise.
const TOLERANCE: u8 = 6;
/// Most pictures that a profile gives in any second.
const IN_A_SECOND_MAX: usize = 60;
/// Lines differ by more than this from their neighbours where two fields show different times, in levels a pixel: woven fields
/// of the corpus's moving bar have 1 to 4, deinterlaced ones less than 0.01.
const COMBING_MAX: f64 = 0.1;
/// Where the first picture may begin, in seconds.
const START_MAX: f64 = 0.15;

/// How long a moving preview is at the most, in seconds.
const PREVIEW_SECONDS_MAX: f64 = 6.0;

/// Whose result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A profile of ours that keeps a picture's shape in square pixels.
    Own,
    /// A profile of ours that makes one size of everything: its pixels have to have the shape that makes up for it.
    Exact,
    /// Another converter, which was not asked for tags, limits of rate and size, or an index in front.
    Other,
}

/// What a profile makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video,
    /// A moving preview: pictures without sound, of a longer film so many seconds.
    Silent,
    /// Contact sheets, of which one tile is looked at.
    Tiles,
    /// A ladder of sizes: the largest, with the sound.
    Ladder,
    Still,
    Audio,
}

/// The extension of files of a media type.
pub fn extension(media_type: &str) -> &'static str {
    match media_type {
        "video/mp4" => "mp4",
        "video/webm" => "webm",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "audio/mp4" => "m4a",
        "application/x-tar" => "tar",
        other => panic!("what does {other} hold? Say what is expected of it here"),
    }
}

impl Kind {
    /// By the profile's kind and the media type of its results.
    pub fn of(kind: &str, media_type: &str) -> Self {
        match media_type {
            _ if kind == "hls" => Self::Ladder,
            "image/gif" => Self::Silent,
            "application/x-tar" => Self::Tiles,
            "image/jpeg" => Self::Still,
            "audio/mp4" => Self::Audio,
            _ => Self::Video,
        }
    }

    /// What such a profile has to answer for this input.
    pub fn status(self, input: &Input) -> u16 {
        if let Some(status) = input.refuse {
            return status;
        }
        let there = match self {
            Self::Video | Self::Silent | Self::Tiles | Self::Ladder => input.picture == Picture::Moving,
            Self::Still => input.picture != Picture::None,
            Self::Audio => input.sound,
        };
        if there { 200 } else { 422 }
    }
}

/// Collects what is wrong.
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, right: bool, told: impl FnOnce() -> String) {
        if !right {
            self.0.push(told());
        }
    }
}

/// All that is wrong with a result; nothing, if it is right.
pub fn faults(input: &Input, maker: Maker, kind: Kind, extension: &str, result: &Measured) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    match (&result.video, kind) {
        (None, Kind::Audio) => {}
        (Some(_), Kind::Audio) => faults.0.push("has a picture".into()),
        (None, _) => faults.0.push("has no picture".into()),
        (Some(video), _) => {
            picture(&mut faults, input, maker, video);
            if matches!(kind, Kind::Video | Kind::Silent | Kind::Ladder) {
                motion(&mut faults, input, kind, video);
            }
            if kind == Kind::Tiles {
                lasts(&mut faults, input, video.duration, f64::INFINITY);
            }
            if maker != Maker::Other && matches!(kind, Kind::Video | Kind::Ladder) {
                tags(&mut faults, video);
            }
        }
    }
    match (&result.audio, kind) {
        (None, Kind::Still | Kind::Silent | Kind::Tiles) => {}
        (Some(_), Kind::Still | Kind::Silent | Kind::Tiles) => faults.0.push("has sound".into()),
        (None, _) => faults.unless(!input.sound, || "has no sound".into()),
        (Some(_), _) if !input.sound => faults.0.push("has sound that the input lacks".into()),
        (Some(audio), _) => {
            // Sound alone keeps the time of its file, and so does a ladder, whose first picture is shown from the beginning on.
            let zero = if matches!(kind, Kind::Audio | Kind::Ladder) { input.begins } else { 0.0 };
            sound(&mut faults, input, maker, audio, zero);
        }
    }
    if maker != Maker::Other && matches!(extension, "mp4" | "m4a") {
        faults.unless(result.faststart, || "its index stands behind its data".into());
    }
    faults.0
}

fn picture(faults: &mut Faults, input: &Input, maker: Maker, video: &Video) {
    let (made_width, made_height) = (f64::from(video.width), f64::from(video.height));
    if maker == Maker::Own {
        faults.unless((video.pixel_aspect - 1.0).abs() < 0.001, || {
            format!("pixels are {} wide", video.pixel_aspect)
        });
    }
    if let Some([width, height]) = input.size {
        let (width, height) = (f64::from(width), f64::from(height));
        let got = made_width * video.pixel_aspect / made_height;
        // A pixel more or less, since sizes are even, is no distortion.
        let slack = 2.0 / made_width.min(made_height) + 0.01;
        let told = || {
            format!(
                "{}x{}, pixels {:.2} wide, for {width}x{height}",
                video.width, video.height, video.pixel_aspect
            )
        };
        // The paper's recipe makes up for it only where the input says what shape its pixels have, which FLV does not.
        let unsaid =
            maker == Maker::Exact && input.name.split_once('.').is_some_and(|(_, kind)| kind == "flv");
        faults.unless(unsaid || (got / (width / height) - 1.0).abs() < slack, told);
        let fits = made_width <= width + 2.0 && made_height <= height + 2.0;
        faults.unless(maker != Maker::Own || fits, || format!("{}x{}: enlarged", video.width, video.height));
    }
    if input.patches {
        let tolerance = input.tolerance.unwrap_or(TOLERANCE);
        for (got, want) in video.patches.iter().zip(input.shown.unwrap_or(PATCHES)) {
            let far = got.iter().zip(want).map(|(got, want)| got.abs_diff(want)).max().unwrap_or_default();
            faults.unless(far <= tolerance, || format!("{got:?} for {want:?}"));
        }
    }
}

fn tags(faults: &mut Faults, video: &Video) {
    let tags = [&video.matrix, &video.primaries, &video.transfer];
    faults.unless(video.range == "tv", || format!("range tagged {:?}", video.range));
    faults.unless(tags.iter().all(|tag| !tag.is_empty() && *tag != "unknown"), || {
        format!("colours tagged {tags:?}")
    });
    let deep = video.pixel_format.contains("10");
    faults.unless(deep || tags.iter().all(|tag| !tag.contains("2020") && *tag != "smpte2084"), || {
        format!("colours tagged {tags:?} in 8 bits")
    });
}

fn motion(faults: &mut Faults, input: &Input, kind: Kind, video: &Video) {
    if let Some(frames) = input.frames.filter(|_| kind != Kind::Silent) {
        faults.unless(video.frames == frames, || format!("{} pictures for {frames}", video.frames));
    }
    faults.unless(video.in_a_second <= IN_A_SECOND_MAX, || {
        format!("{} pictures in a second", video.in_a_second)
    });
    faults.unless(video.start <= START_MAX + input.begins, || format!("begins after {:.3} s", video.start));
    faults
        .unless(!input.interlaced || video.combing < COMBING_MAX, || format!("combed: {:.2}", video.combing));
    let longest = if kind == Kind::Silent { PREVIEW_SECONDS_MAX } else { f64::INFINITY };
    lasts(faults, input, video.duration, longest);
}

fn sound(faults: &mut Faults, input: &Input, maker: Maker, audio: &Audio, zero: f64) {
    if maker != Maker::Other {
        faults.unless((1..=2).contains(&audio.channels), || format!("{} channels", audio.channels));
        faults.unless(audio.rate_hz <= 48_000, || format!("{} Hz", audio.rate_hz));
    }
    let hz = input.hz.unwrap_or(1000.0);
    faults.unless((audio.hz / hz - 1.0).abs() < 0.01, || format!("a tone of {:.0} Hz for {hz}", audio.hz));
    match input.beeps_within(input.duration.unwrap_or(audio.end - zero)) {
        None => faults.unless(!audio.beeps.is_empty(), || "no tone".into()),
        Some(want) => {
            let near = want.len() == audio.beeps.len()
                && want
                    .iter()
                    .zip(&audio.beeps)
                    .all(|(want, got)| (zero + want - got).abs() <= BEEP_SECONDS_MAX);
            faults.unless(near, || format!("tones at {:.3?} for {want:?}", audio.beeps));
        }
    }
}

/// Holds the length of what was made, which is no longer than `longest`, against the input's.
fn lasts(faults: &mut Faults, input: &Input, duration: f64, longest: f64) {
    if let Some(want) = input.duration.map(|want| want.min(longest)) {
        faults.unless((duration - want).abs() <= 0.1, || format!("picture of {duration:.2} s for {want}"));
    }
    if let Some(least) = input.duration_min.map(|least| least.min(longest)) {
        faults.unless(duration >= least, || format!("picture of {duration:.2} s, at least {least}"));
    }
}
