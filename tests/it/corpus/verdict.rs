//! Holds what came back against what is true of the input.

use super::inputs::{Input, PATCHES, Picture};
use super::measure::{Audio, Measured, Video};

/// Farthest that a tone may lie from where it belongs.
const BEEP_SECONDS_MAX: f64 = 0.05;
/// Greatest distance of a colour from its patch, where the input does not say otherwise.
const TOLERANCE: u8 = 6;
/// Pictures a second that a profile gives at the most; a little more for the rounding of a container's clock.
const RATE_MAX: f64 = 60.0 * 1.02;

/// What a profile makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video,
    /// Moving pictures without sound.
    Silent,
    Still,
    Audio,
}

impl Kind {
    /// By the media type of its results; `None` for sets of files.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default() {
            "video/mp4" | "video/webm" => Some(Self::Video),
            "image/gif" => Some(Self::Silent),
            "image/jpeg" => Some(Self::Still),
            "audio/mp4" => Some(Self::Audio),
            _ => None,
        }
    }

    /// What such a profile has to answer for this input.
    pub fn status(self, input: &Input) -> u16 {
        if let Some(status) = input.refuse {
            return status;
        }
        let there = match self {
            Self::Video | Self::Silent => input.picture == Picture::Moving,
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
pub fn faults(input: &Input, profile: &str, kind: Kind, result: &Measured) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    match (&result.video, kind) {
        (None, Kind::Audio) => {}
        (Some(_), Kind::Audio) => faults.0.push("has a picture".into()),
        (None, _) => faults.0.push("has no picture".into()),
        (Some(video), _) => {
            picture(&mut faults, input, profile, video);
            if kind != Kind::Still {
                motion(&mut faults, input, kind, video);
            }
        }
    }
    match (&result.audio, kind) {
        (None, Kind::Still | Kind::Silent) => {}
        (Some(_), Kind::Still | Kind::Silent) => faults.0.push("has sound".into()),
        (None, _) => faults.unless(!input.sound, || "has no sound".into()),
        (Some(_), _) if !input.sound => faults.0.push("has sound that the input lacks".into()),
        (Some(audio), _) => sound(&mut faults, input, audio),
    }
    if profile != "webm" && matches!(kind, Kind::Video | Kind::Audio) {
        faults.unless(result.faststart, || "its index stands behind its data".into());
    }
    faults.0
}

fn picture(faults: &mut Faults, input: &Input, profile: &str, video: &Video) {
    faults.unless((video.pixel_aspect - 1.0).abs() < 0.001, || {
        format!("pixels are {} wide", video.pixel_aspect)
    });
    if let Some([width, height]) = input.size {
        let (width, height) = (f64::from(width), f64::from(height));
        let got = f64::from(video.width) / f64::from(video.height);
        // A pixel more or less, since sizes are even, is no distortion.
        let slack = 2.0 / f64::from(video.width.min(video.height)) + 0.01;
        let told = || format!("{}x{} for {width}x{height}", video.width, video.height);
        let exact = profile == "paper";
        faults.unless(exact || (got / (width / height) - 1.0).abs() < slack, told);
        let fits = f64::from(video.width) <= width + 2.0 && f64::from(video.height) <= height + 2.0;
        faults.unless(exact || fits, || format!("{}x{}: enlarged", video.width, video.height));
    }
    if input.patches {
        let tolerance = input.tolerance.unwrap_or(TOLERANCE);
        for (got, want) in video.patches.iter().zip(PATCHES) {
            let far = got.iter().zip(want).map(|(got, want)| got.abs_diff(want)).max().unwrap_or_default();
            faults.unless(far <= tolerance, || format!("{got:?} for {want:?}"));
        }
    }
}

fn motion(faults: &mut Faults, input: &Input, kind: Kind, video: &Video) {
    if kind == Kind::Video {
        let tags = [&video.matrix, &video.primaries, &video.transfer];
        faults.unless(video.range == "tv", || format!("range tagged {:?}", video.range));
        faults.unless(tags.iter().all(|tag| !tag.is_empty() && *tag != "unknown"), || {
            format!("colours tagged {tags:?}")
        });
        faults.unless(tags.iter().all(|tag| !tag.contains("2020") && *tag != "smpte2084"), || {
            format!("colours tagged {tags:?} in 8 bits")
        });
        if let Some(frames) = input.frames {
            faults.unless(video.frames == frames, || format!("{} pictures for {frames}", video.frames));
        }
    }
    faults.unless(video.rate_max <= RATE_MAX, || format!("{:.1} pictures a second", video.rate_max));
    faults.unless(!input.interlaced || video.combing < 1.0, || format!("combed: {:.2}", video.combing));
    lasts(faults, input, "picture", video.duration);
}

fn sound(faults: &mut Faults, input: &Input, audio: &Audio) {
    faults.unless((1..=2).contains(&audio.channels), || format!("{} channels", audio.channels));
    faults.unless(audio.rate_hz <= 48_000, || format!("{} Hz", audio.rate_hz));
    let hz = input.hz.unwrap_or(1000.0);
    faults.unless((audio.hz / hz - 1.0).abs() < 0.05, || format!("a tone of {:.0} Hz for {hz}", audio.hz));
    match input.beeps_within(input.duration.unwrap_or(audio.duration)) {
        None => faults.unless(!audio.beeps.is_empty(), || "no tone".into()),
        Some(want) => {
            let near = want.len() == audio.beeps.len()
                && want.iter().zip(&audio.beeps).all(|(want, got)| (want - got).abs() <= BEEP_SECONDS_MAX);
            faults.unless(near, || format!("tones at {:?} for {want:?}", audio.beeps));
        }
    }
}

fn lasts(faults: &mut Faults, input: &Input, what: &str, duration: f64) {
    if let Some(want) = input.duration {
        faults.unless((duration - want).abs() <= 0.1, || format!("{what} of {duration:.2} s for {want}"));
    }
    if let Some(least) = input.duration_min {
        faults.unless(duration >= least, || format!("{what} of {duration:.2} s, at least {least}"));
    }
}
