//! What a profile file says. The schema is that of builtin.toml; docs/OPERATIONS.md describes it.

use toml::de::DeTable;

use super::codec::{Audio, AudioCodec, Container, Effort, Layout, Preset, VideoCodec};
use super::fields::{Fault, Faults, Fields, Found};
use super::spec::{Profile, Recipe, Rung, Scale};
use super::{ProfileName, ProfileNameError};

/// A file, read and found good by itself.
#[derive(Debug)]
pub(super) struct ProfileFile {
    /// Which profile a request gets that names none, and the line that says so.
    pub(super) default: Option<(ProfileName, usize)>,
    /// Whether the built-in profiles are there, too.
    pub(super) builtin: bool,
    /// Its profiles, as they stand there.
    pub(super) profiles: Vec<Profile>,
}

/// A text of so many profiles is none that a person wrote.
const PROFILES_MAX: usize = 200;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 300;
const FPS_MAX_DEFAULT: u16 = 60;
const SEGMENT_S_DEFAULT: u8 = 6;
/// Sizes of one ladder: all are encoded at once.
const RUNGS_MAX: usize = 8;
const A_LADDER: &str = "[{ short-side = 720, crf = 24 }, ...]";

#[derive(Clone, Copy)]
enum Kind {
    Video,
    Audio,
    Poster,
    Sprite,
    Gif,
    Hls,
}

const KINDS: [(&str, Kind); 6] = [
    ("video", Kind::Video),
    ("audio", Kind::Audio),
    ("poster", Kind::Poster),
    ("sprite", Kind::Sprite),
    ("gif", Kind::Gif),
    ("hls", Kind::Hls),
];
const CONTAINERS: [(&str, Container); 2] = [("mp4", Container::Mp4), ("webm", Container::Webm)];
const CODECS: [(&str, VideoCodec); 4] = [
    ("h264", VideoCodec::H264),
    ("hevc", VideoCodec::Hevc),
    ("av1", VideoCodec::Av1),
    ("vp9", VideoCodec::Vp9),
];
const SOUND_CODECS: [(&str, AudioCodec); 2] = [("aac", AudioCodec::Aac), ("opus", AudioCodec::Opus)];
const LAYOUTS: [(&str, Layout); 2] = [("stereo", Layout::Stereo), ("5.1", Layout::Surround)];
const PRESETS: [(&str, Preset); 7] = [
    ("ultrafast", Preset::Ultrafast),
    ("superfast", Preset::Superfast),
    ("veryfast", Preset::Veryfast),
    ("faster", Preset::Faster),
    ("fast", Preset::Fast),
    ("medium", Preset::Medium),
    ("slow", Preset::Slow),
];
const A_SCALE: &str = "{ short-side = PIXELS }, { within = [LONG, SHORT] } or { exact = [WIDTH, HEIGHT] }";
/// Of a tile of a sprite, and of a GIF.
const TILE_SIDE_MAX: u16 = 320;
const GIF_SIDE_MAX: u16 = 640;
const AN_AUDIO: &str = "{ codec = \"aac\", kbps = 128 } or the like";

/// Reads a file. Else everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<ProfileFile, Vec<Fault>> {
    let mut faults = Faults::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        faults
            .add(error.span().map_or(0, |span| span.start), format!("this is not TOML: {}", error.message()));
    }
    if faults.count() > 0 {
        return Err(faults.into_found());
    }
    let file = root_of(&mut Fields::new(root.get_ref(), &root.span()), &mut faults);
    if faults.count() == 0 { Ok(file) } else { Err(faults.into_found()) }
}

fn root_of(root: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> ProfileFile {
    let default = root.text("default", faults).and_then(|found| {
        let line = faults.line(found.at);
        name(&found, "default", faults).map(|name| (name, line))
    });
    let builtin = root.flag("builtin", true, faults);
    let mut profiles: Vec<Profile> = Vec::new();
    let tables = root.tables("profile", faults, "a list of tables: begin each profile with [[profile]]");
    if tables.len() > PROFILES_MAX {
        faults.add(
            tables[PROFILES_MAX].at(),
            format!("there are more than {PROFILES_MAX} profiles: give fewer"),
        );
    }
    for mut table in tables.into_iter().take(PROFILES_MAX) {
        let at = table.at();
        let Some(profile) = profile(&mut table, faults) else { continue };
        if profiles.iter().any(|other| other.name == profile.name) {
            faults.add(at, format!("profile {} is defined twice: remove one", profile.name));
        }
        profiles.push(profile);
    }
    root.end(faults);
    ProfileFile { default, builtin, profiles }
}

fn name(found: &Found<String>, field: &str, faults: &mut Faults<'_>) -> Option<ProfileName> {
    let name = found.value.parse();
    if let Err(ProfileNameError) = name {
        let given: String = found.value.chars().take(40).collect();
        faults.add(found.at, format!("{field}: {given:?} is no name: {ProfileNameError}"));
    }
    name.ok()
}

fn profile(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Profile> {
    faults.owner = None;
    let name = match table.text("name", faults) {
        Some(found) => name(&found, "name", faults),
        None if table.has("name") => None,
        None => {
            table.missing("name", faults, "a name for clients to ask by");
            None
        }
    };
    faults.owner = name.as_ref().map(ToString::to_string);
    let description = description(table, faults);
    let recipe = table.word("kind", &KINDS, faults).and_then(|kind| {
        let recipe = match kind.value {
            Kind::Video => video(table, faults),
            Kind::Audio => audio(table, faults).map(|audio| Recipe::Audio { audio: audio.value }),
            Kind::Poster => poster(table, faults),
            Kind::Sprite => sprite(table, faults),
            Kind::Gif => gif(table, faults),
            Kind::Hls => hls(table, faults),
        };
        table.end(faults);
        recipe
    });
    faults.owner = None;
    Some(Profile { name: name?, description, recipe: recipe? })
}

fn description(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> String {
    let Some(found) = table.text("description", faults) else { return String::new() };
    if found.value.len() > DESCRIPTION_BYTES_MAX || found.value.contains(char::is_control) {
        faults.add(found.at, format!("description: give one line of at most {DESCRIPTION_BYTES_MAX} bytes"));
    }
    found.value
}

fn video(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Recipe> {
    let container = table.word("container", &CONTAINERS, faults);
    let codec = table.word("codec", &CODECS, faults);
    let scale = scale(table, "scale", faults);
    let codec_or_any = codec.as_ref().map_or(VideoCodec::Vp9, |codec| codec.value);
    let effort = effort(table, codec_or_any, faults);
    let crf = table.number("crf", 0..=codec_or_any.crf_max(), faults);
    let bounded = table.flag("bounded", true, faults);
    let hardware = table.flag("hardware", false, faults);
    let fps_max = fps_max(table, faults);
    let audio = audio(table, faults);
    let (container, codec, audio) = (container?, codec?, audio?);
    if !container.value.takes(codec.value) {
        let (holds, codec) = (container.value.codecs(), codec.value.as_str());
        let container = container.value.as_str();
        faults.add(table.at(), format!("container: {container} takes {holds}, not {codec}"));
    } else if container.value.sound() != audio.value.codec {
        let (wanted, given) = (container.value.sound().as_str(), audio.value.codec.as_str());
        let container = container.value.as_str();
        faults.add(audio.at, format!("audio.codec: {container} takes {wanted} here, not {given}"));
    }
    Some(Recipe::Video {
        container: container.value,
        codec: codec.value,
        scale: scale?,
        effort,
        crf: crf?,
        bounded,
        hardware,
        fps_max,
        audio: audio.value,
    })
}

/// Speed against size: a preset's name, or a number, as the encoder has it.
fn effort(table: &mut Fields<'_, '_>, codec: VideoCodec, faults: &mut Faults<'_>) -> Effort {
    let preset = table.word_if_given("preset", &PRESETS, faults);
    let speed = table.number_if_given("speed", 0..=13, faults);
    match (codec.speeds(), preset, speed) {
        (None, preset, None) => Effort::Preset(preset.map(|found| found.value).unwrap_or_default()),
        (None, _, Some(speed)) => {
            faults.add(speed.at, format!("speed: {} takes a preset instead, as in \"fast\"", codec.as_str()));
            Effort::Preset(Preset::default())
        }
        (Some((usual, _)), Some(preset), _) => {
            faults.add(preset.at, format!("preset: {} takes a speed instead, as in {usual}", codec.as_str()));
            Effort::Speed(usual)
        }
        (Some((_, max)), None, Some(speed)) if speed.value > max => {
            let what =
                format!("speed: {} takes a number from 0 to {max}, not {}", codec.as_str(), speed.value);
            faults.add(speed.at, what);
            Effort::Speed(max)
        }
        (Some((usual, _)), None, speed) => Effort::Speed(speed.map_or(usual, |found| found.value)),
    }
}

fn poster(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Recipe> {
    let scale = scale(table, "scale", faults);
    let quality = table.number("quality", 2..=31, faults);
    Some(Recipe::Poster { scale: scale?, quality: quality? })
}

fn sprite(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Recipe> {
    let tile = bounded_scale(table, "tile", TILE_SIDE_MAX, faults);
    let quality = table.number("quality", 2..=31, faults);
    Some(Recipe::Sprite { tile: tile?, quality: quality? })
}

fn gif(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Recipe> {
    let scale = bounded_scale(table, "scale", GIF_SIDE_MAX, faults);
    let fps = table.number("fps", 1..=15, faults);
    Some(Recipe::Gif { scale: scale?, fps: fps? })
}

fn hls(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Recipe> {
    let rungs = rungs(table, faults);
    let preset = table.word_if_given("preset", &PRESETS, faults).map(|found| found.value).unwrap_or_default();
    let fps_max = fps_max(table, faults);
    let segment_s = match table.number_if_given("segment-s", 2..=12u8, faults) {
        Some(found) if !found.value.is_multiple_of(2) => {
            faults
                .add(found.at, "segment-s: give an even number: pictures that need no other come every 2 s");
            found.value
        }
        found => found.map_or(SEGMENT_S_DEFAULT, |found| found.value),
    };
    let audio = audio(table, faults)?;
    if audio.value.codec != AudioCodec::Aac {
        faults.add(audio.at, "audio.codec: hls takes aac, not opus");
    }
    Some(Recipe::Hls { rungs: rungs?, preset, fps_max, segment_s, audio: audio.value })
}

/// The sizes of a ladder, each smaller than the one before.
fn rungs(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<Rung>> {
    if !table.has("rungs") {
        table.missing("rungs", faults, A_LADDER);
    }
    let before = faults.count();
    let at = table.position("rungs");
    let tables = table.tables("rungs", faults, A_LADDER);
    let given = table.has("rungs") && faults.count() == before;
    let mut rungs: Vec<Rung> = Vec::new();
    for mut fields in tables {
        let short_side = fields.number("short-side", 16..=4320, faults);
        let crf = fields.number("crf", 0..=VideoCodec::H264.crf_max(), faults);
        fields.end(faults);
        if let (Some(short_side), Some(crf)) = (short_side, crf) {
            let falls = rungs.last().is_none_or(|last| short_side < last.short_side);
            if !falls || !short_side.is_multiple_of(2) {
                faults.add(fields.at(), "rungs: give even sizes, each smaller than the one before");
            }
            rungs.push(Rung { short_side, crf });
        }
    }
    if given && faults.count() == before && !(1..=RUNGS_MAX).contains(&rungs.len()) {
        faults.add(at, format!("rungs: give 1 to {RUNGS_MAX} of them"));
    }
    (faults.count() == before).then_some(rungs)
}

fn fps_max(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> u16 {
    table.number_if_given("fps-max", 1..=240, faults).map_or(FPS_MAX_DEFAULT, |found| found.value)
}

fn scale(table: &mut Fields<'_, '_>, field: &'static str, faults: &mut Faults<'_>) -> Option<Scale> {
    let (sides, before) = (16..=4320, faults.count());
    let mut scale = table.table(field, faults, A_SCALE)?;
    let side = scale.number_if_given("short-side", sides.clone(), faults);
    let within = scale.numbers("within", &sides, faults);
    let exact = scale.numbers("exact", &sides, faults);
    let at = scale.at();
    scale.end(faults);
    let even = |side: u16| side.is_multiple_of(2);
    let pair = |found: &Found<Vec<u16>>| match found.value[..] {
        [a, b] if even(a) && even(b) => Some((a, b)),
        _ => None,
    };
    let scale = match (side, &within, &exact) {
        (Some(side), None, None) => Some(Scale::ShortSide(side.value)).filter(|_| even(side.value)),
        (None, Some(within), None) => {
            pair(within).filter(|(long, short)| short <= long).map(|(long, short)| Scale::Within(long, short))
        }
        (None, None, Some(exact)) => pair(exact).map(|(width, height)| Scale::Exact(width, height)),
        _ => None,
    };
    if scale.is_none() && faults.count() == before {
        faults.add(at, format!("{field}: give {A_SCALE}, in even numbers, the longer side first"));
    }
    scale
}

/// A size of which no side is longer than this, whatever the video's shape.
fn bounded_scale(
    table: &mut Fields<'_, '_>,
    field: &'static str,
    side_max: u16,
    faults: &mut Faults<'_>,
) -> Option<Scale> {
    let at = table.position(field);
    let scale = scale(table, field, faults)?;
    if !scale.is_bounded(side_max) {
        faults.add(at, format!("{field}: give within or exact, at most {side_max} by {side_max}"));
    }
    Some(scale)
}

fn audio(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Found<Audio>> {
    let mut audio = table.table("audio", faults, AN_AUDIO)?;
    let codec = audio.word("codec", &SOUND_CODECS, faults);
    let kbps = audio.number("kbps", 16..=640, faults);
    let channels = audio.word_if_given("channels", &LAYOUTS, faults);
    let at = audio.at();
    audio.end(faults);
    let codec = codec?.value;
    if let Some(found) = &channels
        && found.value == Layout::Surround
        && codec == AudioCodec::Opus
    {
        faults.add(found.at, "audio.channels: 5.1 goes with aac, not with opus");
    }
    let channels = channels.map(|found| found.value).unwrap_or_default();
    Some(Found { value: Audio { codec, kbps: kbps?, channels }, at })
}
