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
}

/// The first bytes are of no media container that is taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a video by its first bytes: MP4, QuickTime, Matroska, WebM, AVI, MPEG, FLV, ASF and Ogg are taken"
)]
pub struct NotVideo;

/// With this many of the first bytes a refusal is final: three packets of a transport stream, and some.
pub(super) const HEAD_BYTES: usize = 1024;
/// With fewer than these a format can be taken for another.
pub(super) const HEAD_BYTES_MIN: usize = 16;

/// Tells the container by the first bytes of a file, or refuses it. Text formats that name other files (HLS, DASH,
/// ffconcat, SDP) are refused here first of all.
pub fn sniff(head: &[u8]) -> Result<Container, NotVideo> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if iso_box(head) {
        return Ok(Container::Mp4);
    }
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        return Ok(Container::Matroska);
    }
    if at(0, b"RIFF") && at(8, b"AVI ") {
        return Ok(Container::Avi);
    }
    if at(0, b"RIFF") && at(8, b"WAVE") {
        return Ok(Container::Wav);
    }
    if at(0, b"FLV\x01") {
        return Ok(Container::Flv);
    }
    if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) {
        return Ok(Container::Asf);
    }
    if at(0, b"OggS") {
        return Ok(Container::Ogg);
    }
    if at(0, b"fLaC") {
        return Ok(Container::Flac);
    }
    if at(0, &[0, 0, 1, 0xba]) || at(0, &[0, 0, 1, 0xb3]) {
        return Ok(Container::MpegPs);
    }
    if transport_stream(head) {
        return Ok(Container::MpegTs);
    }
    if at(0, b"ID3") || mpeg_audio_frame(head) {
        return Ok(Container::MpegAudio);
    }
    Err(NotVideo)
}

/// The first box of an ISO file; other than `ftyp` first is old QuickTime. Its size stands before its name, and where that
/// is four letters it is a text in disguise: ffmpeg takes `<!--free-->` before a DASH manifest for a DASH manifest. Only
/// `mdat` may be as long as four letters are as a number.
fn iso_box(head: &[u8]) -> bool {
    let Some((&size, rest)) = head.split_first_chunk() else { return false };
    let short = u32::from_be_bytes(size) < u32::from_be_bytes([b' '; 4]);
    let kinds = [b"ftyp", b"moov", b"wide", b"free", b"skip", b"pnot", b"styp"];
    rest.starts_with(b"mdat") || (short && kinds.iter().any(|kind| rest.starts_with(*kind)))
}

/// A sync byte at the head of each 188-byte packet (192 with a time code in front), as many as there are to see: one
/// alone is the letter G.
fn transport_stream(head: &[u8]) -> bool {
    [(188, 0), (192, 4)].into_iter().any(|(packet, first)| {
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
