//! Where the fragments of a fragmented MP4 (CMAF track file; ISO/IEC 14496-12 and 23000-19) are, read in this process: what
//! playlists are made of, and checked against.

use std::io;
use std::time::Duration;

use mp4parse::{AudioCodecSpecific, CodecType, SampleEntry, Track, TrackType, VideoCodecSpecific};

/// A longer index or head of a fragment, in bytes, is none that is written here: a fragment has seconds.
const BOX_BYTES_MAX: u64 = 4 << 20;
/// More fragments than this are of no film that is taken: a day in pieces of a second.
const FRAGMENTS_MAX: usize = 100_000;

/// A track file: one track, its index, and its fragments one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrackFile {
    /// Bytes before the first fragment: what a player loads first.
    pub(crate) init_bytes: u64,
    pub(crate) kind: TrackKind,
    /// Three letters of ISO 639-2; none where it is not said.
    pub(crate) language: Option<String>,
    /// RFC 6381.
    pub(crate) codec: String,
    /// Ticks a second.
    pub(crate) timescale: u64,
    pub(crate) fragments: Vec<Fragment>,
}

/// What is in a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackKind {
    Pictures { width: u32, height: u32 },
    Sound { channels: u32 },
}

/// A piece of a track that begins with a sample which needs no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Where its head begins in the file, and how long it is with all of its samples.
    pub(crate) at: u64,
    pub(crate) bytes: u64,
    /// Head and first sample.
    pub(crate) first_bytes: u64,
    /// When it begins and how long it plays, in ticks.
    pub(crate) start: u64,
    pub(crate) ticks: u64,
    pub(crate) samples: u32,
    /// How long its first sample lasts, and the shortest one, in ticks.
    pub(crate) first_ticks: u64,
    pub(crate) shortest: u32,
}

impl TrackFile {
    /// How long it plays.
    pub(crate) fn duration(&self) -> Duration {
        let end = self.fragments.last().map_or(0, |last| last.start + last.ticks);
        let start = self.fragments.first().map_or(0, |first| first.start);
        Duration::from_secs_f64((end - start) as f64 / self.timescale as f64)
    }

    /// How long its first sample lasts.
    pub(crate) fn first_lasts(&self) -> Duration {
        let ticks = self.fragments.first().map_or(0, |first| first.first_ticks);
        Duration::from_secs_f64(ticks as f64 / self.timescale as f64)
    }

    pub(crate) fn samples(&self) -> u64 {
        self.fragments.iter().map(|fragment| u64::from(fragment.samples)).sum()
    }
}

/// Reads a track file of `total` bytes through a function: a buffer to fill, and from which byte on. What is wrong with it, where it is
/// not of the one form that is written here.
pub(crate) fn read(
    total: u64,
    mut fill: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Result<TrackFile, &'static str>> {
    let mut at = 0;
    let mut heads: Vec<([u8; 4], u64, u64)> = Vec::new();
    while at < total {
        let mut head = [0; 16];
        if total - at < 8 || heads.len() > 2 * FRAGMENTS_MAX {
            return Ok(Err("it is cut off, or of too many boxes"));
        }
        let available = (total - at).min(16) as usize;
        fill(&mut head[..available], at)?;
        let kind = [head[4], head[5], head[6], head[7]];
        let short = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let bytes = match short {
            1 if available == 16 => u128::from_be_bytes(head) as u64,
            short => short,
        };
        match at.checked_add(bytes) {
            Some(end) if bytes >= 8 && end <= total => heads.push((kind, at, bytes)),
            _ => return Ok(Err("it is cut off")),
        }
        at += bytes;
    }
    let [(ftyp, ..), (moov, moov_at, moov_bytes), fragments @ ..] = heads.as_slice() else {
        return Ok(Err("it has no index in front"));
    };
    if ftyp != b"ftyp" || moov != b"moov" || *moov_bytes > BOX_BYTES_MAX {
        return Ok(Err("it has no index in front"));
    }
    let mut index = vec![0; *moov_bytes as usize];
    fill(&mut index, *moov_at)?;
    let mut track = match init(&index) {
        Ok(track) => track,
        Err(what) => return Ok(Err(what)),
    };
    track.init_bytes = moov_at + moov_bytes;
    for pair in fragments.chunks(2) {
        let [(moof, at, head_bytes), (data, mdat, mdat_bytes)] = pair else {
            return Ok(Err("its fragments are not each a head and its samples"));
        };
        if moof != b"moof" || data != b"mdat" || *head_bytes > BOX_BYTES_MAX {
            return Ok(Err("its fragments are not each a head and its samples"));
        }
        let mut head = vec![0; *head_bytes as usize];
        fill(&mut head, *at)?;
        let Some(fragment) = fragment(&head, *at, (*mdat, *mdat_bytes)) else {
            return Ok(Err("the samples of a fragment do not lie in it"));
        };
        let expected = track.fragments.last().map_or(fragment.start, |last| last.start + last.ticks);
        if fragment.start != expected {
            return Ok(Err("its fragments do not follow each other in time"));
        }
        track.fragments.push(fragment);
    }
    Ok(if track.fragments.is_empty() { Err("there is nothing in it") } else { Ok(track) })
}

/// What the index says of the only track.
fn init(moov: &[u8]) -> Result<TrackFile, &'static str> {
    // The parser is a browser's, and made for hostile files; should one make it panic, the file is none.
    let parsed = std::panic::catch_unwind(|| mp4parse::read_mp4(&mut &*moov)).ok().and_then(Result::ok);
    let context = parsed.ok_or("its index can't be read")?;
    let [track] = context.tracks.as_slice() else { return Err("it has not one track") };
    if context.mvex.is_none() {
        return Err("its index tells of no fragments");
    }
    let timescale =
        track.timescale.map(|timescale| timescale.0).filter(|ticks| (1..=1 << 32).contains(ticks));
    let (kind, codec) = described(track).ok_or("its codec is not known here")?;
    Ok(TrackFile {
        init_bytes: 0,
        kind,
        language: language(moov),
        codec,
        timescale: timescale.ok_or("it has no clock")?,
        fragments: Vec::new(),
    })
}

/// The language that the only track's head tells (ISO/IEC 14496-12, section 8.4.2): three letters of five bits each.
fn language(moov: &[u8]) -> Option<String> {
    let media = only(only(moov.get(8..)?, *b"trak")?, *b"mdia")?;
    let head = only(media, *b"mdhd")?;
    let at = if *head.first()? == 1 { 32 } else { 20 };
    let packed = u16::from_be_bytes(head.get(at..at + 2)?.try_into().ok()?);
    let letter = |shift: u16| char::from(0x60 + ((packed >> shift) & 0x1f) as u8);
    let letters: String = [10, 5, 0].map(letter).iter().collect();
    super::language::three_letters(&letters)
}

fn described(track: &Track) -> Option<(TrackKind, String)> {
    let [entry] = track.stsd.as_ref()?.descriptions.as_slice() else { return None };
    match (&track.track_type, entry) {
        (TrackType::Video, SampleEntry::Video(entry)) => {
            let VideoCodecSpecific::AVCConfig(config) = &entry.codec_specific else { return None };
            let [1, profile, compatible, level, ..] = config.as_slice() else { return None };
            let kind = TrackKind::Pictures { width: entry.width.into(), height: entry.height.into() };
            (entry.codec_type == CodecType::H264)
                .then(|| (kind, format!("avc1.{profile:02x}{compatible:02x}{level:02x}")))
        }
        (TrackType::Audio, SampleEntry::Audio(entry)) => {
            let AudioCodecSpecific::ES_Descriptor(esds) = &entry.codec_specific else { return None };
            let object = esds.audio_object_type?;
            let channels = esds.audio_channel_count.map_or(entry.channelcount, u32::from);
            (entry.codec_type == CodecType::AAC)
                .then(|| (TrackKind::Sound { channels }, format!("mp4a.40.{object}")))
        }
        _ => None,
    }
}

/// A fragment by its head, and the box of its samples: where that is, and how long.
fn fragment(moof: &[u8], at: u64, (mdat, mdat_bytes): (u64, u64)) -> Option<Fragment> {
    let traf = only(moof.get(8..)?, *b"traf")?;
    let mut tfhd = Cursor(only(traf, *b"tfhd")?);
    let flags = tfhd.u32()? & 0xff_ffff;
    tfhd.u32()?;
    // Offsets are of the fragment (default-base-is-moof), and given by no other.
    if flags & 0x2_0000 == 0 || flags & 0x1 != 0 {
        return None;
    }
    if flags & 0x2 != 0 {
        tfhd.u32()?;
    }
    let mut default = |flag: u32| if flags & flag != 0 { tfhd.u32().map(Some) } else { Some(None) };
    let (duration, size) = (default(0x8)?, default(0x10)?);
    let mut tfdt = Cursor(only(traf, *b"tfdt")?);
    let start = if tfdt.u32()? >> 24 == 1 { tfdt.u64()? } else { tfdt.u32()?.into() };
    let mut trun = Cursor(only(traf, *b"trun")?);
    let flags = trun.u32()? & 0xff_ffff;
    let samples = trun.u32()?;
    let offset = if flags & 0x1 != 0 { u64::from(trun.u32()?) } else { return None };
    if flags & 0x4 != 0 {
        trun.u32()?;
    }
    let mut optional = |flag: u32| if flags & flag != 0 { trun.u32().map(Some) } else { Some(None) };
    let (mut bytes, mut ticks, mut first, mut shortest) = (0u64, 0u64, None, u32::MAX);
    let mut first_ticks = None;
    for _ in 0..samples {
        let lasts = optional(0x100)?.or(duration)?;
        let sample = optional(0x200)?.or(size)?;
        optional(0x400)?;
        optional(0x800)?;
        bytes = bytes.checked_add(sample.into())?;
        ticks = ticks.checked_add(lasts.into())?;
        first.get_or_insert(u64::from(sample));
        first_ticks.get_or_insert(u64::from(lasts));
        if lasts > 0 {
            shortest = shortest.min(lasts);
        }
    }
    let data = at.checked_add(offset)?;
    let inside = data == mdat + 8 && bytes == mdat_bytes - 8;
    start.checked_add(ticks)?;
    (inside && ticks > 0).then_some(Fragment {
        at,
        bytes: mdat + mdat_bytes - at,
        first_bytes: data + first? - at,
        start,
        ticks,
        samples,
        first_ticks: first_ticks?,
        shortest,
    })
}

/// The content of the only box of this kind among these.
fn only(mut boxes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    let mut found = None;
    while !boxes.is_empty() {
        let bytes = u32::from_be_bytes(boxes.get(..4)?.try_into().ok()?) as usize;
        let content = boxes.get(8..bytes)?;
        if boxes.get(4..8)? == kind.as_slice() && found.replace(content).is_some() {
            return None;
        }
        boxes = boxes.get(bytes..)?;
    }
    found
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn u64(&mut self) -> Option<u64> {
        Some((u64::from(self.u32()?) << 32) | u64::from(self.u32()?))
    }
}
