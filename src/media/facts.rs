//! What ffprobe says of a file, read into typed facts, and which of its streams are used.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Deserialize;

use super::{Features, language, rate};
use crate::content::{
    AudioInfo, Backdrop, Color, FieldOrder, Lack, Matrix, MediaInfo, Primaries, Range, Ratio, Samples,
    Transfer, VideoInfo,
};

/// A description that says nothing of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Its fields are of the wrong kinds.
    #[error("what is in it can't be told: it is damaged; send the original file")]
    Unreadable,
    /// There is nothing to see and nothing to hear.
    #[error("there is no video and no sound in it: send a file that has some")]
    NoMedia,
}

#[derive(Deserialize)]
struct Probed {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Format {
    #[serde(rename = "format_name")]
    name: String,
    nb_streams: u32,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stream {
    index: u32,
    codec_type: String,
    codec_name: Option<String>,
    width: u32,
    height: u32,
    sample_aspect_ratio: String,
    pix_fmt: String,
    color_range: String,
    color_space: String,
    color_transfer: String,
    color_primaries: String,
    field_order: String,
    channels: u32,
    channel_layout: Option<String>,
    sample_rate: Option<String>,
    avg_frame_rate: String,
    r_frame_rate: String,
    nb_frames: Option<String>,
    duration: Option<String>,
    disposition: Disposition,
    tags: Tags,
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disposition {
    default: u8,
    comment: u8,
    attached_pic: u8,
    visual_impaired: u8,
    timed_thumbnails: u8,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    language: Option<String>,
    title: Option<String>,
    #[serde(rename = "DURATION")]
    duration: Option<String>,
    alpha_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SideData {
    #[serde(rename = "side_data_type")]
    kind: Option<String>,
    rotation: Option<i64>,
    dv_profile: Option<u8>,
    dv_bl_signal_compatibility_id: Option<u8>,
}

/// Reads ffprobe's JSON. Every field may be missing or nonsense; what is left has to be a media file.
pub(crate) fn read(
    described: serde_json::Map<String, serde_json::Value>,
    features: &Features,
) -> Result<MediaInfo, FactsError> {
    let probed: Probed = serde_json::from_value(described.into()).map_err(|_| FactsError::Unreadable)?;
    let container = probed.format.name;
    let family = Family::of(&container);
    let counted_longest = probed.streams.iter().filter_map(counted_duration).max();
    // Where the clock of a Matroska file begins late, what it says counts from the clock's zero.
    let begin = seconds(probed.format.start_time.as_deref()).filter(|_| family == Family::Matroska);
    let begin = begin.unwrap_or_default();
    let duration = seconds(probed.format.duration.as_deref()).map(|until| since(begin, until));
    let duration = duration.max(counted_longest.filter(|_| family == Family::Avi));
    let unknown = family == Family::Mov && duration.is_some_and(is_mark_of_unknown);
    let longest = || probed.streams.iter().filter_map(|stream| seconds(stream.duration.as_deref())).max();
    let duration = if unknown { longest().filter(|longest| !is_mark_of_unknown(*longest)) } else { duration };
    let counted = |stream: &Stream| stream.codec_type == "video" && stream.nb_frames.is_some();
    let counts_frames = family == Family::Mov && probed.streams.iter().any(counted);
    let is_picture_in_motion = matches!(container.as_str(), "gif" | "apng");
    let file = File { family, begin, duration, counts_frames, is_picture_in_motion, features };
    let of_kind = |kind: &'static str| probed.streams.iter().filter(move |stream| stream.codec_type == kind);
    let pictures = || of_kind("video").filter(|stream| stream.width > 0 && stream.height > 0);
    let moving = || pictures().filter(|stream| !stream.is_still());
    let has_film = moving().any(|stream| stream.counted().is_some_and(|frames| frames > 1));
    // A single picture beside a film is its thumbnail, wherever it stands and whatever it is marked as.
    let is_thumbnail = |stream: &&Stream| has_film && stream.counted() == Some(1);
    let (video, video_lack) = file.best(moving().filter(|stream| !is_thumbnail(stream)));
    let (audio, audio_lack) = file.best(of_kind("audio"));
    let cover = pictures().find(|stream| stream.disposition.attached_pic != 0 && file.lack(stream).is_none());
    let info = MediaInfo {
        duration,
        video: video.map(|stream| file.video(stream)),
        audio: audio.map(|stream| file.audio(stream)),
        cover: cover.map(|stream| file.video(stream)),
        video_lack,
        audio_lack,
        streams: probed.format.nb_streams.max(u32::try_from(probed.streams.len()).unwrap_or(u32::MAX)),
        container,
    };
    let nothing = info.video.is_none() && info.audio.is_none() && info.cover.is_none();
    if nothing && info.video_lack.is_none() && info.audio_lack.is_none() {
        return Err(FactsError::NoMedia);
    }
    Ok(info)
}

/// What is known of a container's own word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Its index counts the frames of each stream, and says how long it plays.
    Mov,
    /// Its tags may say how long a stream plays; what ffprobe says of one is a guess.
    Matroska,
    /// Its header counts the frames of each stream; how long they play is reckoned from what there is of the file.
    Avi,
    Other,
}

impl Family {
    fn of(container: &str) -> Self {
        match container {
            names if names.starts_with("mov,") => Self::Mov,
            names if names.starts_with("matroska,") => Self::Matroska,
            "avi" => Self::Avi,
            _ => Self::Other,
        }
    }
}

struct File<'a> {
    family: Family,
    /// When its first packet is shown, where its durations count from before that.
    begin: Duration,
    duration: Option<Duration>,
    /// Whether the index counts the frames of each stream; that of a file in fragments does not.
    counts_frames: bool,
    /// Whether it is one of those that are shown on pages.
    is_picture_in_motion: bool,
    features: &'a Features,
}

impl File<'_> {
    /// The stream that is used: one that can be decoded, then the default one, then no commentary, then the first. Else, why
    /// there is none though there are some.
    fn best<'s>(&self, streams: impl Iterator<Item = &'s Stream>) -> (Option<&'s Stream>, Option<Lack>) {
        let streams: Vec<_> = streams.collect();
        let usable = streams.iter().copied().filter(|stream| self.lack(stream).is_none());
        let best = usable.min_by_key(|stream| {
            let default = stream.disposition.default != 0;
            (Reverse(default), stream.is_commentary(), stream.index)
        });
        let lack = if best.is_none() { streams.first().and_then(|stream| self.lack(stream)) } else { None };
        (best, lack)
    }

    /// Why a stream can't be used.
    fn lack(&self, stream: &Stream) -> Option<Lack> {
        let encrypted =
            |data: &SideData| data.kind.as_deref().is_some_and(|kind| kind.starts_with("Encryption"));
        if stream.side_data_list.iter().any(encrypted) {
            return Some(Lack::Encrypted);
        }
        if stream.side_data_list.iter().any(SideData::is_dolby_vision_only) {
            return Some(Lack::DolbyVisionOnly);
        }
        match stream.codec_name.as_deref() {
            None | Some("none" | "unknown") => return Some(Lack::Undecodable("unknown".to_owned())),
            Some(codec) if !self.features.decodes(codec) => {
                return Some(Lack::Undecodable(codec.chars().take(40).collect()));
            }
            Some(_) => {}
        }
        self.is_empty(stream).then_some(Lack::Empty)
    }

    /// Whether the index says that there is nothing in a stream.
    fn is_empty(&self, stream: &Stream) -> bool {
        self.counts_frames && stream.codec_type == "audio" && stream.nb_frames.is_none()
    }

    fn video(&self, stream: &Stream) -> VideoInfo {
        let average = ratio(&stream.avg_frame_rate);
        let on_ticks = ratio(&stream.r_frame_rate);
        let fps = average.map_or_else(|| on_ticks.map_or(0.0, usual_rate), Ratio::value);
        let duration = self.stream_duration(stream);
        let counted = stream.counted();
        let frames = counted
            .or_else(|| Some((duration.or(self.duration)?.as_secs_f64() * fps).round() as u64))
            .unwrap_or(0);
        let rotation = stream.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0);
        VideoInfo {
            index: stream.index,
            codec: stream.codec_name.clone().unwrap_or_default(),
            width: stream.width,
            height: stream.height,
            pixel_aspect: ratio_of(&stream.sample_aspect_ratio, ':'),
            rotation: i16::try_from(rotation.rem_euclid(360)).unwrap_or(0),
            samples: samples(stream),
            color: color(stream),
            backdrop: (has_alpha(&stream.pix_fmt) || stream.has_alpha_beside()).then_some(self.backdrop()),
            interlaced: match stream.field_order.as_str() {
                "tt" | "bt" => Some(FieldOrder::Top),
                "bb" | "tb" => Some(FieldOrder::Bottom),
                _ => None,
            },
            fps,
            constant_rate: rate::constant_rate(on_ticks, average),
            frames,
            counted: counted.is_some(),
            duration,
        }
    }

    fn backdrop(&self) -> Backdrop {
        if self.is_picture_in_motion { Backdrop::White } else { Backdrop::Black }
    }

    fn audio(&self, stream: &Stream) -> AudioInfo {
        let language = stream.tags.language.as_deref().and_then(language::three_letters);
        let known = |layout: &str| !layout.is_empty() && layout != "unknown" && !layout.ends_with("channels");
        AudioInfo {
            index: stream.index,
            codec: stream.codec_name.clone().unwrap_or_default(),
            channels: stream.channels,
            known_layout: stream.channel_layout.as_deref().is_some_and(known),
            sample_rate: stream.sample_rate.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0),
            language,
            duration: self.stream_duration(stream),
        }
    }

    /// How long a stream plays by the word of somebody who knows.
    fn stream_duration(&self, stream: &Stream) -> Option<Duration> {
        match self.family {
            Family::Matroska => {
                // Tags may be those of a longer file that this one was cut from; its header is of all that it has.
                let own = clock(stream.tags.duration.as_deref()).map(|until| since(self.begin, until));
                own.map(|own| self.duration.map_or(own, |all| own.min(all)))
            }
            Family::Mov | Family::Other => seconds(stream.duration.as_deref()),
            // What its sound has left is no word of how much it had.
            Family::Avi if stream.codec_type == "audio" => None,
            Family::Avi => seconds(stream.duration.as_deref()).max(counted_duration(stream)),
        }
    }
}

impl Stream {
    /// How many frames the container counts in it.
    fn counted(&self) -> Option<u64> {
        self.nb_frames.as_deref()?.parse().ok()
    }

    /// One picture, and not a film of one.
    const fn is_still(&self) -> bool {
        self.disposition.attached_pic != 0 || self.disposition.timed_thumbnails != 0
    }

    /// Whether what is transparent is a second picture beside each, of which only some decoders know.
    fn has_alpha_beside(&self) -> bool {
        let of_webm = matches!(self.codec_name.as_deref(), Some("vp8" | "vp9"));
        of_webm && self.tags.alpha_mode.as_deref() == Some("1")
    }

    fn is_commentary(&self) -> bool {
        let titled = |title: &str| title.to_ascii_lowercase().contains("commentary");
        self.disposition.comment != 0
            || self.disposition.visual_impaired != 0
            || self.tags.title.as_deref().is_some_and(titled)
    }
}

impl SideData {
    /// Profile 5: its base picture is in colours that only Dolby Vision knows.
    fn is_dolby_vision_only(&self) -> bool {
        self.dv_profile == Some(5) && self.dv_bl_signal_compatibility_id.unwrap_or(0) == 0
    }
}

/// Whether a format has a plane or a channel for what is transparent.
fn has_alpha(format: &str) -> bool {
    ["rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "pal8", "ya8", "ya16"]
        .iter()
        .any(|begin| format.starts_with(begin))
}

fn samples(stream: &Stream) -> Samples {
    let format = stream.pix_fmt.as_str();
    let rgb = ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "bayer", "xyz", "mono", "ya"];
    // Of a film's codec grey is luma; of a picture's it is of full range.
    let film = matches!(stream.codec_name.as_deref(), Some("h264" | "hevc" | "av1" | "vp9"));
    match format {
        _ if rgb.iter().any(|begin| format.starts_with(begin)) => Samples::Rgb,
        _ if format.starts_with("yuvj") || (format.starts_with("gray") && !film) => Samples::FullRangeYuv,
        _ => Samples::Yuv,
    }
}

fn color(stream: &Stream) -> Color {
    Color {
        range: Range::parse(&stream.color_range),
        matrix: Matrix::parse(&stream.color_space),
        primaries: Primaries::parse(&stream.color_primaries),
        transfer: Transfer::parse(&stream.color_transfer),
    }
}

/// "5.041667"; not "N/A", negative, or beyond a Duration.
fn seconds(text: Option<&str>) -> Option<Duration> {
    Duration::try_from_secs_f64(text?.parse().ok()?).ok().filter(|duration| !duration.is_zero())
}

/// More ticks a second no clock of a movie has.
const TICKS_PER_S_MAX: f64 = 1e6;

/// Whether a length is what ffprobe reads where an MP4 says that it does not know one: all bits of a number of 32, in some ticks a second.
fn is_mark_of_unknown(length: Duration) -> bool {
    let (mark, length_s) = (f64::from(u32::MAX), length.as_secs_f64());
    let ticks_per_s = (mark / length_s).round();
    // ffprobe writes microseconds.
    ticks_per_s <= TICKS_PER_S_MAX && (ticks_per_s * length_s - mark).abs() <= ticks_per_s * 1e-6
}

/// How long it is from one time to a later one; what is said not to be later is no time but a length.
fn since(begin: Duration, until: Duration) -> Duration {
    until.checked_sub(begin).filter(|length| !length.is_zero()).unwrap_or(until)
}

/// How long the frames play that a header counts.
fn counted_duration(stream: &Stream) -> Option<Duration> {
    let frames = u32::try_from(stream.counted()?).ok()?;
    // That of the header, which is what it counts in: pictures out of order may take two of its ticks each.
    let rate = ratio(&stream.avg_frame_rate).or_else(|| ratio(&stream.r_frame_rate));
    let rate = rate.filter(|_| stream.codec_type == "video")?;
    Duration::try_from_secs_f64(f64::from(frames) / rate.value()).ok()
}

/// "00:00:08.014000000", as in Matroska's tags.
fn clock(text: Option<&str>) -> Option<Duration> {
    let mut parts = text?.trim().split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds: f64 = seconds.parse().ok()?;
    let whole = f64::from(hours) * 3600.0 + f64::from(minutes) * 60.0 + seconds;
    Duration::try_from_secs_f64(whole).ok().filter(|duration| !duration.is_zero())
}

/// "24000/1001"; not "0/0".
fn ratio(text: &str) -> Option<Ratio> {
    ratio_of(text, '/')
}

fn ratio_of(text: &str, between: char) -> Option<Ratio> {
    let (over, under) = text.split_once(between)?;
    Ratio::new(over.parse().ok()?, under.parse().ok()?)
}

/// A rate where none is known but the ticks of a clock: that of a camera, or 0 for a clock's own.
fn usual_rate(ticks: Ratio) -> f64 {
    let rate = ticks.value();
    if rate <= 240.0 { rate } else { 0.0 }
}
