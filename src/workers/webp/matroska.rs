//! Pictures as ffmpeg reads them from a pipe: uncompressed in Matroska (RFC 9559), whose clock counts milliseconds as WebP's does.

use std::io::{self, Write};

/// The milliseconds of a tick, in nanoseconds.
const TICK_NS: u32 = 1_000_000;
/// The size of an element that ends where the file does.
const TO_THE_END: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Red, green and blue of eight bits each, in this order.
const RGB24: [u8; 4] = *b"RGB\x18";

/// Writes what stands before the first picture.
pub(super) fn begin(out: &mut impl Write, (width, height): (u32, u32), ms: u64) -> io::Result<()> {
    let header = [
        element(&[0x42, 0x86], &[1]),
        element(&[0x42, 0xf7], &[1]),
        element(&[0x42, 0xf2], &[4]),
        element(&[0x42, 0xf3], &[8]),
        element(&[0x42, 0x82], b"matroska"),
        element(&[0x42, 0x87], &[4]),
        element(&[0x42, 0x85], &[2]),
    ];
    let info = [
        element(&[0x2a, 0xd7, 0xb1], &TICK_NS.to_be_bytes()),
        element(&[0x44, 0x89], &(ms as f64).to_be_bytes()),
    ];
    let video = [
        element(&[0xb0], &width.to_be_bytes()),
        element(&[0xba], &height.to_be_bytes()),
        element(&[0x2e, 0xb5, 0x24], &RGB24),
    ];
    let track = [
        element(&[0xd7], &[1]),
        element(&[0x73, 0xc5], &[1]),
        element(&[0x83], &[1]),
        element(&[0x9c], &[0]),
        element(&[0x86], b"V_UNCOMPRESSED"),
        element(&[0xe0], &video.concat()),
    ];
    out.write_all(&element(&[0x1a, 0x45, 0xdf, 0xa3], &header.concat()))?;
    out.write_all(&[0x18, 0x53, 0x80, 0x67])?;
    out.write_all(&TO_THE_END)?;
    out.write_all(&element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()))?;
    out.write_all(&element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track.concat())))
}

/// Writes a picture that is shown from a time on, for so long, both in milliseconds: a cluster of its own.
pub(super) fn picture(out: &mut impl Write, at: u64, ms: u32, pixels: &[u8]) -> io::Result<()> {
    let time = element(&[0xe7], &at.to_be_bytes());
    let lasts = element(&[0x9b], &ms.to_be_bytes());
    // Of track 1, at the cluster's time, one picture.
    let block = [&[0xa1][..], &size(4 + pixels.len() as u64), &[0x81, 0, 0, 0]].concat();
    let group_bytes = (lasts.len() + block.len() + pixels.len()) as u64;
    let group = [&[0xa0][..], &size(group_bytes)].concat();
    let cluster_bytes = (time.len() + group.len()) as u64 + group_bytes;
    for part in [&[0x1f, 0x43, 0xb6, 0x75], &size(cluster_bytes)[..], &time, &group, &lasts, &block, pixels] {
        out.write_all(part)?;
    }
    Ok(())
}

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &size(content.len() as u64), content].concat()
}

/// A size in eight bytes.
fn size(bytes: u64) -> [u8; 8] {
    (bytes | 1 << 56).to_be_bytes()
}
