//! The playlists of an HLS ladder (RFC 8216, and Apple's authoring specification), written from what its track files are. So they are
//! right by what is in those, and a set from a peer is checked by writing them again.

use super::fragments::{Fragment, TrackFile, TrackKind};

/// What opens the ladder.
pub(crate) const MASTER: &str = "master.m3u8";
/// The track file of the sound, without its ending.
pub(crate) const SOUND: &str = "audio";
/// Byte ranges in one file and `EXT-X-MAP` in a playlist of all kinds need this version.
const VERSION: u32 = 7;

/// A track file and what it is called, without the ending.
pub(crate) struct Rendition<'a> {
    pub(crate) name: String,
    pub(crate) track: &'a TrackFile,
}

/// Pieces of a track that a player loads at once.
struct Segment {
    at: u64,
    bytes: u64,
    seconds: f64,
}

/// Bits a second: the most, and on average.
#[derive(Clone, Copy, Default)]
struct Rate {
    peak: u64,
    average: u64,
}

/// All playlists with their names, the master first. `segment_s`: seconds of a segment.
pub(crate) fn write(
    pictures: &[Rendition<'_>],
    sound: Option<&Rendition<'_>>,
    segment_s: u8,
) -> Vec<(String, String)> {
    let mut all = vec![(MASTER.to_owned(), master(pictures, sound, segment_s))];
    for rendition in pictures.iter().chain(sound) {
        let segments = segments(rendition.track, segment_s);
        all.push((format!("{}.m3u8", rendition.name), media(rendition, &segments, "")));
        if matches!(rendition.track.kind, TrackKind::Pictures { .. }) {
            let only = "#EXT-X-I-FRAMES-ONLY\n";
            all.push((
                format!("{}-iframes.m3u8", rendition.name),
                media(rendition, &key_frames(rendition.track), only),
            ));
        }
    }
    all
}

fn master(pictures: &[Rendition<'_>], sound: Option<&Rendition<'_>>, segment_s: u8) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let heard = sound.map(|sound| rate(&segments(sound.track, segment_s))).unwrap_or_default();
    let mut line = |said: std::fmt::Arguments<'_>| {
        text.push_str(&said.to_string());
        text.push('\n');
    };
    if let Some(sound) = sound {
        let TrackKind::Sound { channels } = sound.track.kind else { return String::new() };
        let language = sound.track.language.as_deref().map(super::language::tag);
        let language = language.map(|tag| format!("LANGUAGE=\"{tag}\",")).unwrap_or_default();
        line(format_args!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",{language}DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{}.m3u8\"",
            sound.name
        ));
    }
    let (codec, group) = match sound {
        Some(sound) => (format!(",{}", sound.track.codec), ",AUDIO=\"audio\""),
        None => (String::new(), ""),
    };
    for rendition in pictures {
        let seen = rate(&segments(rendition.track, segment_s));
        line(format_args!(
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}{codec}\",RESOLUTION={},FRAME-RATE={:.3}{group}\n{}.m3u8",
            seen.peak + heard.peak,
            seen.average + heard.average,
            rendition.track.codec,
            resolution(rendition.track),
            frame_rate(rendition.track),
            rendition.name
        ));
    }
    for rendition in pictures {
        let Rate { peak, average } = rate(&key_frames(rendition.track));
        line(format_args!(
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{}\",RESOLUTION={},URI=\"{}-iframes.m3u8\"",
            rendition.track.codec,
            resolution(rendition.track),
            rendition.name
        ));
    }
    text
}

fn resolution(track: &TrackFile) -> String {
    match track.kind {
        TrackKind::Pictures { width, height } => format!("{width}x{height}"),
        TrackKind::Sound { .. } => String::new(),
    }
}

/// The most pictures a second.
fn frame_rate(track: &TrackFile) -> f64 {
    let shortest = track.fragments.iter().map(|fragment| fragment.shortest).min().unwrap_or(1).max(1);
    track.timescale as f64 / f64::from(shortest)
}

fn media(rendition: &Rendition<'_>, segments: &[Segment], more: &str) -> String {
    let target = segments.iter().map(|segment| segment.seconds.round() as u64).max().unwrap_or(0).max(1);
    let Rendition { name, track } = rendition;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n{more}#EXT-X-MAP:URI=\"{name}.mp4\",BYTERANGE=\"{}@0\"\n",
        track.init_bytes
    );
    let lines = segments.iter().map(|Segment { at, bytes, seconds }| {
        format!("#EXTINF:{seconds:.6},\n#EXT-X-BYTERANGE:{bytes}@{at}\n{name}.mp4\n")
    });
    text.extend(lines);
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// Fragments by the whole multiple of a segment's time in which they begin: so the cuts of all renditions are the same.
fn segments(track: &TrackFile, segment_s: u8) -> Vec<Segment> {
    let scale = track.timescale as f64;
    // Rounded to its clock, a cut may come a tick too soon; the sound's come where its frames end, most of a frame too soon.
    let early = match track.kind {
        TrackKind::Pictures { .. } => 0.002,
        TrackKind::Sound { .. } => 0.05,
    };
    let of =
        |fragment: &Fragment| ((fragment.start as f64 / scale + early) / f64::from(segment_s)).floor() as u64;
    let mut segments: Vec<(u64, Segment)> = Vec::new();
    for fragment in &track.fragments {
        let (number, seconds) = (of(fragment), fragment.ticks as f64 / scale);
        match segments.last_mut() {
            Some((last, segment)) if *last == number => {
                segment.bytes += fragment.bytes;
                segment.seconds += seconds;
            }
            _ => segments.push((number, Segment { at: fragment.at, bytes: fragment.bytes, seconds })),
        }
    }
    segments.into_iter().map(|(_, segment)| segment).collect()
}

/// The first picture of each fragment needs no other, and is shown until the next one's.
fn key_frames(track: &TrackFile) -> Vec<Segment> {
    let seconds = |fragment: &Fragment| fragment.ticks as f64 / track.timescale as f64;
    let first = |fragment: &Fragment| Segment {
        at: fragment.at,
        bytes: fragment.first_bytes,
        seconds: seconds(fragment),
    };
    track.fragments.iter().map(first).collect()
}

/// RFC 8216, section 4.3.4.2: the peak is that of any run of segments which lasts half to one and a half times the target duration.
fn rate(segments: &[Segment]) -> Rate {
    let target = segments.iter().map(|segment| segment.seconds.round()).fold(1.0, f64::max);
    let bits = |bytes: u64, seconds: f64| (bytes as f64 * 8.0 / seconds).ceil() as u64;
    let (mut all_bytes, mut all_seconds, mut peak) = (0, 0.0, 0);
    for (number, segment) in segments.iter().enumerate() {
        all_bytes += segment.bytes;
        all_seconds += segment.seconds;
        let (mut bytes, mut seconds) = (0, 0.0);
        for next in &segments[number..] {
            bytes += next.bytes;
            seconds += next.seconds;
            if seconds > 1.5 * target {
                break;
            }
            if seconds >= 0.5 * target {
                peak = peak.max(bits(bytes, seconds));
            }
        }
    }
    let average = bits(all_bytes, all_seconds);
    Rate { peak: peak.max(average), average }
}
