//! Whether a file is several files, put one behind the other, of the kinds of which ffmpeg reads the first one alone: what is behind it has its
//! own index, or a clock that begins anew. Transport and program streams, Ogg, AVI, DV and MP3 may be joined so.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

const EBML: &[u8] = b"\x1a\x45\xdf\xa3";
const SEGMENT: u32 = 0x1853_8067;
/// The name of what an EBML file is, and how near its begin it stands.
const DOC_TYPE: &[u8] = b"\x42\x82";
const DOC_TYPE_WITHIN_BYTES: usize = 64;
/// How much is looked through at once.
const PIECE_BYTES: usize = 1 << 20;
/// No honest file has more boxes on its first level: a fragment of a picture each, for hours.
const BOXES_MAX: u32 = 2_000_000;

/// Whether another file begins in this one. `container`: ffprobe's name of it.
pub(in super::super) fn another_begins(path: &Path, container: &str) -> io::Result<bool> {
    let file = File::open(path)?;
    let found = match container {
        "flv" => flv(BufReader::new(file)),
        kind if kind.starts_with("matroska") => matroska(&file),
        kind if kind.starts_with("mov,") => mp4(&file),
        _ => return Ok(false),
    };
    match found {
        // It ends before that could be told, and so before another one.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        found => found,
    }
}

/// A header where a tag would begin.
fn flv(mut file: BufReader<File>) -> io::Result<bool> {
    let mut head = [0; 11];
    file.read_exact(&mut head[..9])?;
    let begins = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    file.seek(SeekFrom::Start(u64::from(begins) + 4))?;
    loop {
        file.read_exact(&mut head)?;
        match head {
            [b'F', b'L', b'V', 1, ..] => return Ok(true),
            [8 | 9 | 18, high, middle, low, ..] => {
                let bytes = i64::from(u32::from_be_bytes([0, high, middle, low]));
                file.seek_relative(bytes + 4)?;
            }
            // Of no kind that is known: what is behind it can't be told.
            _ => return Ok(false),
        }
    }
}

/// A header behind the segment; of a segment that does not say how long it is, anywhere.
fn matroska(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let (_, at, bytes) = element(file, 0)?;
    let Some(segment) = bytes.and_then(|bytes| at.checked_add(bytes)) else { return Ok(false) };
    let (kind, at, bytes) = element(file, segment)?;
    if kind != SEGMENT {
        return Ok(false);
    }
    if let Some(bytes) = bytes {
        let mut head = [0; 4];
        file.read_exact_at(&mut head, at.saturating_add(bytes))?;
        return Ok(head == EBML);
    }
    let mut piece = vec![0; PIECE_BYTES];
    let mut from = at;
    while from < length {
        let bytes = (length - from).min(PIECE_BYTES as u64) as usize;
        file.read_exact_at(&mut piece[..bytes], from)?;
        let is_header = |at: usize| {
            let near = &piece[at..bytes.min(at + DOC_TYPE_WITHIN_BYTES)];
            memchr::memmem::find(near, DOC_TYPE).is_some_and(|at| {
                [&b"webm"[..], b"matr"].contains(&near.get(at + 3..at + 7).unwrap_or_default())
            })
        };
        if memchr::memmem::find_iter(&piece[..bytes], EBML).any(is_header) {
            return Ok(true);
        }
        // A header that is cut by the end of this piece is whole in the next one.
        from += if bytes < PIECE_BYTES { bytes } else { bytes - DOC_TYPE_WITHIN_BYTES } as u64;
    }
    Ok(false)
}

/// An element of Matroska: what it is, where its content begins, and how long that is, where it says so.
fn element(file: &File, at: u64) -> io::Result<(u32, u64, Option<u64>)> {
    let mut head = [0; 12];
    file.read_exact_at(&mut head, at)?;
    let kind = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let width = head[4].leading_zeros() as usize + 1;
    if width > 8 {
        return Ok((0, at, None));
    }
    let bits = 7 * width as u32;
    let all = u64::from_be_bytes(std::array::from_fn(|byte| head[4 + byte])) >> (64 - 8 * width);
    let bytes = all & ((1 << bits) - 1);
    let unknown = bytes == (1 << bits) - 1;
    Ok((kind, at + 4 + width as u64, (!unknown).then_some(bytes)))
}

/// Two files with an index each. One index, told twice, has no second head; fragments follow their times.
fn mp4(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let (mut at, mut heads, mut indexes) = (0u64, 0, 0);
    for _ in 0..BOXES_MAX {
        if at + 8 > length {
            break;
        }
        let mut head = [0; 16];
        let there = (length - at).min(16) as usize;
        file.read_exact_at(&mut head[..there], at)?;
        let short = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let bytes = match short {
            0 => break,
            1 => u64::from_be_bytes(std::array::from_fn(|byte| head[8 + byte])),
            short => short.into(),
        };
        match &head[4..8] {
            b"ftyp" => heads += 1,
            b"moov" => indexes += 1,
            b"moof" => return Ok(false),
            _ => {}
        }
        at = match at.checked_add(bytes) {
            Some(next) if bytes >= 8 => next,
            _ => break,
        };
    }
    Ok(heads > 1 && indexes > 1)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn told(bytes: &[u8], container: &str) -> bool {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        another_begins(file.path(), container).unwrap()
    }

    fn of_boxes(kinds: &[&[u8]]) -> Vec<u8> {
        kinds.iter().flat_map(|kind| [&12u32.to_be_bytes()[..], kind, &[7; 4]].concat()).collect()
    }

    fn webm(known: bool, bytes: usize) -> Vec<u8> {
        let size =
            if known { [&[0x10][..], &(bytes as u32).to_be_bytes()[1..]].concat() } else { vec![0xff] };
        let head = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm";
        [&head[..], &SEGMENT.to_be_bytes(), &size, &vec![7; bytes]].concat()
    }

    #[test]
    fn a_file_behind_another_one_is_seen() {
        let flv = [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], b"\x09\0\0\x05", &[0; 7], &[7; 5], b"\0\0\0\x10"]
            .concat();
        let mp4 = of_boxes(&[b"ftyp", b"moov", b"mdat"]);
        for (one, container) in [
            (flv, "flv"),
            (mp4, "mov,mp4,m4a,3gp,3g2,mj2"),
            (webm(true, 500), "matroska,webm"),
            (webm(false, 500), "matroska,webm"),
            (webm(false, PIECE_BYTES - 20), "matroska,webm"),
            (webm(false, 3 * PIECE_BYTES), "matroska,webm"),
        ] {
            assert!(!told(&one, container), "{container}");
            assert!(told(&one.repeat(2), container), "{container}");
            for behind in [&b"junk behind"[..], &[0; 50]] {
                assert!(!told(&[&one, behind].concat(), container), "{container}");
            }
            assert!(!told(&one[..one.len() / 2], container), "{container}");
        }
        // An index that is there twice, and the heads of fragments.
        assert!(!told(&of_boxes(&[b"ftyp", b"moov", b"mdat", b"moov"]), "mov,mp4"));
        assert!(!told(
            &of_boxes(&[b"ftyp", b"moov", b"moof", b"mdat", b"ftyp", b"moov", b"moof"]),
            "mov,mp4"
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, kind in 0usize..3) {
            let (begin, container) = [
                (&b"FLV\x01\x05\0\0\0\x09"[..], "flv"),
                (b"\0\0\0\x08ftyp", "mov,mp4"),
                (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", "matroska,webm"),
            ][kind];
            told(&[begin, &bytes].concat(), container);
            told(&bytes, container);
        }
    }
}
