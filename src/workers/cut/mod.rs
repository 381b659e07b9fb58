//! Whether a file ends before what is in it does, or has a hole, of the kinds of file whose demuxers say nothing of that: by the lengths that
//! their own structure tells.

mod joined;
mod mxf;
mod streams;
mod zeros;

pub(super) use self::joined::another_begins;
pub(super) use self::zeros::zeros_behind;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An Ogg page is shorter than this (RFC 3533, section 6): its head, a table of 255, and as many lengths of 255.
const OGG_PAGE_BYTES_MAX: u64 = 27 + 255 + 255 * 255;
const OGG_HEAD_BYTES: usize = 27;
/// The flag of a page that is the last one of its stream.
const OGG_LAST: u8 = 4;
/// Objects of ASF: a header, with all others in it, and the packets.
const ASF_HEADER: [u8; 16] = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
const ASF_DATA: [u8; 16] = *b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
/// The head of its packets: without any behind it, it was never told how many came.
const ASF_DATA_HEAD_BYTES: u64 = 50;
const PNG_SIGNATURE_BYTES: u64 = 8;

/// Whether the file is cut off or has a hole, as far as its structure tells. `container`: ffprobe's name of it.
pub(super) fn ends_early(path: &Path, container: &str) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let found = match container {
        "ogg" => ogg(&file, length),
        "asf" => asf(&file, length),
        "gif" => gif(BufReader::new(file)),
        "apng" => png(&file, length),
        "mpegts" => streams::transport(&file, length),
        "mpeg" => streams::program(&file, length),
        "dv" => streams::dv(&file, length),
        "mxf" => mxf::broken(&mut BufReader::new(file), length),
        _ => return Ok(false),
    };
    match found {
        // A head that is not all there.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        found => found,
    }
}

/// The last page reaches beyond the file, or its last packet goes on in another one.
fn ogg(file: &File, length: u64) -> io::Result<bool> {
    let from = length.saturating_sub(2 * OGG_PAGE_BYTES_MAX);
    let mut end = vec![0; (length - from) as usize];
    file.read_exact_at(&mut end, from)?;
    // Version 0 is all that there is.
    let Some(at) = memchr::memmem::rfind(&end, b"OggS\0") else { return Ok(false) };
    let Some((head, rest)) = end[at..].split_at_checked(OGG_HEAD_BYTES) else { return Ok(true) };
    let Some((lengths, data)) = rest.split_at_checked(head[26].into()) else { return Ok(true) };
    let bytes: usize = lengths.iter().map(|length| usize::from(*length)).sum();
    let goes_on = lengths.last() == Some(&255) && head[5] & OGG_LAST == 0;
    Ok(data.len() < bytes || (data.len() == bytes && goes_on))
}

/// The packets reach beyond the file.
fn asf(file: &File, length: u64) -> io::Result<bool> {
    let object = |at: u64| -> io::Result<([u8; 16], u64)> {
        let mut head = [0; 24];
        file.read_exact_at(&mut head, at)?;
        let bytes = u64::from_le_bytes(std::array::from_fn(|byte| head[16 + byte]));
        Ok((std::array::from_fn(|byte| head[byte]), bytes))
    };
    let (kind, at) = object(0)?;
    if kind != ASF_HEADER || at >= length {
        return Ok(kind == ASF_HEADER);
    }
    let (kind, bytes) = object(at)?;
    Ok(kind == ASF_DATA && bytes > ASF_DATA_HEAD_BYTES && at.saturating_add(bytes) > length)
}

/// There is no trailer behind the pictures.
fn gif(mut file: impl Read + Seek) -> io::Result<bool> {
    let mut byte = [0];
    let mut next = |file: &mut dyn Read| file.read_exact(&mut byte).map(|()| byte[0]);
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    file.seek(SeekFrom::Start(10))?;
    let flags = next(&mut file)?;
    skip(&mut file, 2 + colours(flags))?;
    loop {
        match next(&mut file)? {
            b';' => return Ok(false),
            b'!' => skip(&mut file, 1)?,
            b',' => {
                skip(&mut file, 8)?;
                let flags = next(&mut file)?;
                skip(&mut file, colours(flags) + 1)?;
            }
            // Padding, or nothing that is known.
            _ => continue,
        }
        loop {
            match next(&mut file)? {
                0 => break,
                bytes => skip(&mut file, bytes.into())?,
            }
        }
    }
}

fn skip(file: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut file.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// There is no last chunk.
fn png(file: &File, length: u64) -> io::Result<bool> {
    let mut at = PNG_SIGNATURE_BYTES;
    loop {
        let mut head = [0; 8];
        file.read_exact_at(&mut head, at)?;
        let bytes = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        // Length, kind and checksum stand around what is in it.
        at += 12 + u64::from(bytes);
        if at > length {
            return Ok(true);
        }
        if &head[4..] == b"IEND" {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use proptest::prelude::*;

    fn told(bytes: &[u8], container: &str) -> bool {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        ends_early(file.path(), container).unwrap()
    }

    fn page(flags: u8, lengths: &[u8]) -> Vec<u8> {
        let data: usize = lengths.iter().map(|length| usize::from(*length)).sum();
        [&b"OggS\0"[..], &[flags], &[7; 20], &[lengths.len() as u8], lengths, &vec![7; data]].concat()
    }

    fn object(kind: [u8; 16], told: usize, content: usize) -> Vec<u8> {
        [&kind[..], &(told as u64).to_le_bytes(), &vec![0; content]].concat()
    }

    fn chunk(kind: &[u8], bytes: usize) -> Vec<u8> {
        [&(bytes as u32).to_be_bytes()[..], kind, &vec![0; bytes + 4]].concat()
    }

    #[test]
    fn a_file_that_is_cut_anywhere_in_what_is_in_it_is_told_from_a_whole_one() {
        let gif = [
            &b"GIF89a\x02\0\x02\0\x80\0\0"[..],
            &[0; 6],
            b"!\xf9\x04\0\0\0\0\0",
            b",\0\0\0\0\x02\0\x02\0\x80",
            &[0; 6],
            b"\x02\x02\x44\x01\0;",
        ]
        .concat();
        let png = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", 13), chunk(b"IDAT", 40), chunk(b"IEND", 0)]
            .concat();
        let asf = [object(ASF_HEADER, 100, 76), object(ASF_DATA, 300, 276)].concat();
        // Behind the first, which may be all that there ever was.
        let ogg = page(OGG_LAST, &[255, 255, 20]);
        for (whole, container, from) in
            [(&gif, "gif", 6), (&png, "apng", 8), (&asf, "asf", 24), (&ogg, "ogg", 5)]
        {
            assert!(!told(whole, container), "{container}");
            for behind in [&b"\0"[..], b"junk behind it"] {
                assert!(!told(&[whole, behind].concat(), container), "{container}");
            }
            for cut in from..whole.len() {
                assert!(told(&whole[..cut], container), "{container} {cut}");
            }
        }
        let two = [page(0, &[255, 3]), page(0, &[9])].concat();
        assert!(!told(&two, "ogg"), "a stream of a station that was recorded for a while");
        assert!(told(&[page(0, &[9]), page(0, &[255, 255])].concat(), "ogg"), "a packet that goes on");
        // A recorder that was never told to end.
        assert!(!told(&[object(ASF_HEADER, 100, 76), object(ASF_DATA, 0, 276)].concat(), "asf"));
        assert!(!told(b"", "matroska,webm"));
    }

    #[test]
    fn a_stream_that_ends_within_a_packet_is_cut_off() {
        for (bytes, before) in [(188, 0), (192, 4), (204, 0)] {
            let packet = [&vec![9; before][..], b"\x47", &vec![7; bytes - before - 1]].concat();
            let packets = packet.repeat(20);
            for begin in [0, 1, 100] {
                let whole = &packets[begin..];
                assert!(!told(whole, "mpegts"), "{bytes} {begin}");
                assert!(!told(&[whole, b"junk"].concat(), "mpegts") || before > 0, "{bytes} {begin}");
                for cut in 1..before + 188 {
                    let more = &packet[..cut];
                    assert!(told(&[whole, more].concat(), "mpegts"), "{bytes} {begin} {cut}");
                }
            }
            // The packet is there, and a part of its parity.
            assert_eq!(told(&[&packets[..], &packet[..bytes - 1]].concat(), "mpegts"), bytes != 204);
        }
        assert!(!told(&[0; 4000], "mpegts"), "of no form that is known");
    }

    #[test]
    fn a_program_stream_and_one_of_frames_tell_where_they_are_cut() {
        let pack2 = [&b"\0\0\x01\xba\x44"[..], &[0; 8], &[0xfa, 0xff, 0xff]].concat();
        let pack1 = [&b"\0\0\x01\xba\x21"[..], &[0; 7]].concat();
        let packet = [&b"\0\0\x01\xe0\x01\x00"[..], &[7; 256]].concat();
        for pack in [pack1, pack2] {
            let one = [&pack[..], &packet.repeat(3)].concat();
            let whole = one.repeat(3);
            for behind in [&b""[..], b"\0\0\x01\xb9", b"\0\0\x01\xb9 and more", &[0; 2048], b"junk"] {
                assert!(!told(&[&whole[..], behind].concat(), "mpeg"), "{behind:?}");
            }
            let last = 2 * one.len();
            for cut in last + 4..whole.len() {
                // Between two packets nothing tells, nor do a few bytes of the next one.
                let between = (0..3).map(|packets| last + pack.len() + packets * packet.len());
                let tells = !between.clone().any(|at| (at..at + 4).contains(&cut));
                assert_eq!(told(&whole[..cut], "mpeg"), tells, "{cut}");
            }
        }
        for (mark, kind, frame) in
            [(0x3f, 0, 120_000), (0xbf, 0, 144_000), (0xbf, 4, 288_000), (0x3f, 0x14, 480_000)]
        {
            let mut one = vec![7; frame];
            one[..4].copy_from_slice(&[0x1f, 0x07, 0, mark]);
            one[5 * 80 + 48 + 3] = kind;
            let two = one.repeat(2);
            assert!(!told(&two, "dv") && !told(&[&two[..], b"junk"].concat(), "dv"), "{frame}");
            for cut in [1, 4, frame / 2, frame - 1] {
                assert!(told(&two[..frame + cut], "dv"), "{frame} {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, begin in 0usize..5) {
            let begins: [&[u8]; 5] =
                [b"GIF89a", b"OggS\0", b"\x89PNG\r\n\x1a\n", &ASF_HEADER, b"\0\0\x01\xba\x44"];
            for container in ["ogg", "asf", "gif", "apng", "mpegts", "mpeg", "dv"] {
                told(&bytes, container);
                told(&[begins[begin], &bytes].concat(), container);
            }
        }
    }
}
