use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::other_kinds::looks_like;

/// A family of container formats, told by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// ISO base media and QuickTime: .mp4, .mov, .m4a, .3gp.
    Mp4,
    /// .mkv and .webm.
    Matroska,
    /// .avi
    Avi,
    /// .ts, also with the 4-byte prefix of .m2ts.
    MpegTs,
    /// .mpg, .vob
    MpegPs,
    /// .flv
    Flv,
    /// .wmv, .asf
    Asf,
    /// .ogv, .ogg
    Ogg,
    /// .wav
    Wav,
    /// .flac
    Flac,
    /// .mp3, .aac
    MpegAudio,
    /// .gif
    Gif,
    /// .png that moves, .apng
    Apng,
    /// .webp that moves; one that does not is told by the probe.
    Webp,
    /// .mxf
    Mxf,
    /// .dv
    Dv,
}

impl Container {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Mp4,
        Self::Matroska,
        Self::Avi,
        Self::MpegTs,
        Self::MpegPs,
        Self::Flv,
        Self::Asf,
        Self::Ogg,
        Self::Mxf,
        Self::Dv,
        Self::Gif,
        Self::Apng,
        Self::Webp,
        Self::Wav,
        Self::Flac,
        Self::MpegAudio,
    ];

    /// What people call it.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Mp4 => "MP4, QuickTime",
            Self::Matroska => "Matroska, WebM",
            Self::Avi => "AVI",
            Self::MpegTs => "MPEG transport streams",
            Self::MpegPs => "MPEG program streams",
            Self::Flv => "FLV",
            Self::Asf => "ASF (WMV)",
            Self::Ogg => "Ogg",
            Self::Mxf => "MXF",
            Self::Dv => "DV",
            Self::Gif => "GIF",
            Self::Apng => "APNG",
            Self::Webp => "animated WebP",
            Self::Wav => "WAV",
            Self::Flac => "FLAC",
            Self::MpegAudio => "MPEG audio (MP3, AAC)",
        }
    }
}

/// The first bytes are of no media container that is taken here. What they are of, in words for the client, where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct NotVideo(Option<&'static str>);

impl fmt::Display for NotVideo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(told) = self.0 {
            return f.write_str(told);
        }
        let taken: Vec<_> = Container::ALL.into_iter().map(Container::told).collect();
        let (last, others) = taken.split_last().unwrap_or((&"", &[]));
        write!(
            f,
            "neither a video nor sound by its first bytes: {} and {last} are taken; convert it to one of these, or send the original file if \
             it is a part of one",
            others.join(", ")
        )
    }
}

/// With this many of the first bytes a refusal is final for a text, and for all that has a word of its own to be known by.
pub(super) const HEAD_BYTES: usize = 1024;
/// With this many it is final for all else: as far as ffmpeg looks for the first packet of a transport stream that was cut, and some
/// packets.
pub(super) const HEAD_BYTES_MAX: usize = (64 << 10) + SYNCS_CUT * 204;
/// Sync bytes in a row by which a stream is known that begins anywhere.
const SYNCS_CUT: usize = 5;
/// With fewer than these a format can be taken for another.
pub(super) const HEAD_BYTES_MIN: usize = 16;

/// The first bytes of a file that has so many, as many as are looked at.
pub(in crate::store) fn head_of(file: &File, bytes: u64) -> io::Result<Bytes> {
    let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX)];
    file.read_exact_at(&mut head, 0)?;
    Ok(head.into())
}

/// Tells the container by the first bytes of a file, or refuses it. Text formats that name other files (HLS, DASH,
/// ffconcat, SDP) are refused here first of all.
pub fn sniff(head: &[u8]) -> Result<Container, NotVideo> {
    container(head).ok_or_else(|| NotVideo(looks_like(head)))
}

fn container(head: &[u8]) -> Option<Container> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if names_other_files(head) {
        return None;
    }
    if iso_box(head) {
        return Some(Container::Mp4);
    }
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        return Some(Container::Matroska);
    }
    if at(0, b"RIFF") && at(8, b"AVI ") {
        return Some(Container::Avi);
    }
    if at(0, b"RIFF") && at(8, b"WAVE") {
        return Some(Container::Wav);
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some(Container::Webp);
    }
    if at(0, b"FLV\x01") {
        return Some(Container::Flv);
    }
    if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) {
        return Some(Container::Asf);
    }
    if at(0, b"OggS") {
        return Some(Container::Ogg);
    }
    if at(0, b"fLaC") {
        return Some(Container::Flac);
    }
    if at(0, &[0, 0, 1, 0xba]) || at(0, &[0, 0, 1, 0xb3]) {
        return Some(Container::MpegPs);
    }
    if at(0, b"GIF87a") || at(0, b"GIF89a") {
        return Some(Container::Gif);
    }
    if at(0, b"\x89PNG\r\n\x1a\n") {
        return if moving_png(head) { Some(Container::Apng) } else { None };
    }
    if at(0, &[0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, 0x01, 0x01, 0x02]) {
        return Some(Container::Mxf);
    }
    if dv(head) {
        return Some(Container::Dv);
    }
    if transport_stream(head) {
        return Some(Container::MpegTs);
    }
    if at(0, b"ID3") || mpeg_audio_frame(head) {
        return Some(Container::MpegAudio);
    }
    if may_be_cut(head) && cut_transport_stream(head) {
        return Some(Container::MpegTs);
    }
    None
}

/// How texts begin that make ffmpeg open other files: HLS, ffconcat, DASH, SDP.
const TEXTS: [&[u8]; 6] = [b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"<!--", b"v=0"];

/// Whether it begins as such a text does. Whatever comes behind, sync bytes of a transport stream included, it is no video.
fn names_other_files(head: &[u8]) -> bool {
    let begin = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    TEXTS.iter().any(|text| begin.starts_with(text))
}

/// Whether more bytes than [`HEAD_BYTES`] may show what a file is: not for a text, and not for a picture that stands still.
pub(super) fn may_be_cut(head: &[u8]) -> bool {
    let text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80;
    !names_other_files(head) && !head.iter().take(HEAD_BYTES).all(text) && !head.starts_with(b"\x89PNG")
}

/// A PNG with an animation's control before its first picture.
fn moving_png(head: &[u8]) -> bool {
    let kind = |name: &[u8; 4]| head.windows(4).position(|window| window == name);
    match (kind(b"acTL"), kind(b"IDAT")) {
        (Some(control), Some(picture)) => control < picture,
        (control, None) => control.is_some(),
        (None, Some(_)) => false,
    }
}

/// Raw DV: the first block is a header, and the next ones are subcode (IEC 61834).
fn dv(head: &[u8]) -> bool {
    let block = |number: usize, kind: u8| head.get(number * 80).is_some_and(|byte| byte & 0xe0 == kind);
    head.starts_with(&[0x1f, 0x07, 0x00])
        && matches!(head.get(3), Some(0x3f | 0xbf))
        && (head.len() <= 160 || (block(1, 0x20) && block(2, 0x20)))
}

/// A transport stream that begins in the middle of a packet, or behind other bytes.
fn cut_transport_stream(head: &[u8]) -> bool {
    let starts =
        |packet: usize| (0..head.len().saturating_sub((SYNCS_CUT - 1) * packet)).map(move |at| (at, packet));
    [188, 192, 204].into_iter().flat_map(starts).any(|(at, packet)| {
        head[at] == 0x47 && (1..SYNCS_CUT).all(|number| head[at + number * packet] == 0x47)
    })
}

/// The first box of an ISO file; other than `ftyp` first is old QuickTime. Its size stands before its name, and where that
/// is four letters it is a text in disguise: ffmpeg takes `<!--free-->` before a DASH manifest for a DASH manifest. Only
/// `mdat` may be as long as four letters are as a number.
fn iso_box(head: &[u8]) -> bool {
    let Some((&size, rest)) = head.split_first_chunk() else { return false };
    // No letter, no line's end and no tab in the first of them: 150 MB.
    let short = u32::from_be_bytes(size) < u32::from_be_bytes([b'\t', 0, 0, 0]);
    let kinds = [b"ftyp", b"moov", b"wide", b"free", b"skip", b"pnot", b"styp"];
    rest.starts_with(b"mdat") || (short && kinds.iter().any(|kind| rest.starts_with(*kind)))
}

/// A sync byte at the head of each 188-byte packet (192 with a time code in front, 204 with parity behind), as many as there are to
/// see: one alone is the letter G.
fn transport_stream(head: &[u8]) -> bool {
    [(188, 0), (192, 4), (204, 0)].into_iter().any(|(packet, first)| {
        let syncs: Vec<_> = head.iter().skip(first).step_by(packet).take(8).collect();
        syncs.len() >= 3 && syncs.iter().all(|byte| **byte == 0x47)
    })
}

/// The sync word of an MPEG audio or ADTS frame with fields that are not reserved.
fn mpeg_audio_frame(head: &[u8]) -> bool {
    let &[sync, kind, rate, ..] = head else { return false };
    let adts = kind & 0xf6 == 0xf0;
    let mpeg = kind & 0xe0 == 0xe0
        && kind & 0x18 != 0x08
        && kind & 0x06 != 0
        && rate & 0xf0 != 0xf0
        && rate & 0x0c != 0x0c;
    sync == 0xff && (adts || mpeg)
}
