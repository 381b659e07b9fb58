//! Streams that say nowhere how long they are, but of what pieces they consist: a file that ends within one of those is cut off. Where it ends
//! between two of them nothing tells that from a recording that was ended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much of the end of a transport stream is looked at, and how many packets that has to be at least to be known as one.
const TRANSPORT_LOOK_BYTES: u64 = 64 << 10;
const TRANSPORT_PACKETS_MIN: usize = 4;
const TRANSPORT_SYNC: u8 = 0x47;
const TRANSPORT_PACKET_BYTES: usize = 188;
/// Forms of its packets: length with what stands before and behind (a Blu-ray's time, a broadcast's parity), and where the packet begins.
const TRANSPORT_FORMS: [(usize, usize); 3] = [(TRANSPORT_PACKET_BYTES, 0), (192, 4), (204, 0)];

/// A pack of a program stream is not longer than this, as a rule: a packet has 64 KiB at most.
const PROGRAM_LOOK_BYTES: u64 = 256 << 10;
const PACK: &[u8] = b"\0\0\x01\xba";

/// Length of a sequence of DIF blocks, and where a frame says of what kind it is (SMPTE 314M and 370M).
const DV_SEQUENCE_BYTES: u64 = 150 * 80;
const DV_KIND_AT: usize = 5 * 80 + 48 + 3;

/// The end of a file, and how much of it.
fn end_of(file: &File, length: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let from = length.saturating_sub(bytes);
    let mut end = vec![0; (length - from) as usize];
    file.read_exact_at(&mut end, from)?;
    Ok(end)
}

/// The last packet of a transport stream is not all there.
pub(super) fn transport(file: &File, length: u64) -> io::Result<bool> {
    let end = end_of(file, length, TRANSPORT_LOOK_BYTES)?;
    let begins =
        TRANSPORT_FORMS.into_iter().flat_map(|(bytes, sync)| (0..bytes).map(move |at| (bytes, sync, at)));
    // Where the first whole packet of its form begins, if this is one: all have their sync byte up to the end.
    let mut found = begins.filter(|(bytes, sync, at)| {
        let syncs = end.get(at + sync..).unwrap_or_default().iter().step_by(*bytes);
        syncs.len() >= TRANSPORT_PACKETS_MIN && syncs.copied().all(|byte| byte == TRANSPORT_SYNC)
    });
    let Some((bytes, sync, at)) = found.next() else { return Ok(false) };
    let last = (end.len() - at) % bytes;
    Ok(last > 0 && last < sync + TRANSPORT_PACKET_BYTES)
}

/// The last packet of a program stream reaches beyond the file.
pub(super) fn program(file: &File, length: u64) -> io::Result<bool> {
    let end = end_of(file, length, PROGRAM_LOOK_BYTES)?;
    let Some(mut at) = memchr::memmem::rfind(&end, PACK) else { return Ok(false) };
    while at < end.len() {
        let unit = &end[at..];
        let (Some([0, 0, 1]), Some(kind)) = (unit.get(..3), unit.get(3)) else { return Ok(false) };
        let byte = |at: usize| unit.get(at).copied().map(usize::from);
        let bytes = match kind {
            // A pack of MPEG-2 or MPEG-1 (ISO/IEC 13818-1 and 11172-1); what has no length of its own ends the stream.
            0xba if byte(4).is_some_and(|mark| mark >> 6 == 1) => {
                byte(13).map(|stuffing| 14 + (stuffing & 7))
            }
            0xba => Some(12),
            0xbb.. => byte(4).zip(byte(5)).map(|(high, low)| 6 + (high << 8) + low),
            _ => return Ok(false),
        };
        let Some(bytes) = bytes.filter(|bytes| *bytes <= unit.len()) else { return Ok(true) };
        at += bytes;
    }
    Ok(false)
}

/// The last frame of a DV stream is not all there.
pub(super) fn dv(file: &File, length: u64) -> io::Result<bool> {
    let mut head = [0; DV_KIND_AT + 1];
    file.read_exact_at(&mut head, 0)?;
    let sequences = if head[3] & 0x80 == 0 { 10 } else { 12 };
    let channels = match head[DV_KIND_AT] & 0x1f {
        0x04 | 0x18 => 2,
        0x14 => 4,
        _ => 1,
    };
    let frame = DV_SEQUENCE_BYTES * sequences * channels;
    let last = length % frame;
    let mut begins = [0; 3];
    let begins = &mut begins[..last.min(3) as usize];
    file.read_exact_at(begins, length - last)?;
    // What begins otherwise is no frame.
    Ok(last > 0 && *begins == head[..begins.len()])
}
