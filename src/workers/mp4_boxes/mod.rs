//! The boxes of an MP4: whether a written file has all of them, and what its index says of it (`describe`).
//!
//! The index stands first and tells of all of the file, so a file that was cut off behind it looks whole to a program that reads only
//! that, as ffprobe does.

mod describe;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

#[cfg(feature = "fuzzing")]
pub(crate) use describe::describe;
pub(super) use describe::look;

/// More boxes than this at the top are of no file that was written here.
const BOXES_MAX: usize = 1000;

/// A box at the top of an ISO media file, with its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopBox {
    pub(crate) kind: [u8; 4],
    /// Where it begins in the file.
    pub(crate) at: u64,
    pub(crate) bytes: u64,
}

/// The boxes of an ISO media file, if they end where it ends. (A size of 0 means: to the end.)
pub(super) fn top_boxes(file: &File) -> io::Result<Option<Vec<TopBox>>> {
    let length = file.metadata()?.len();
    let mut boxes: Vec<TopBox> = Vec::new();
    let mut at = 0u64;
    while boxes.len() < BOXES_MAX {
        if at == length {
            return Ok((length > 0).then_some(boxes));
        }
        let mut head = [0; 16];
        let available = (length - at).min(16) as usize;
        if available < 8 {
            return Ok(None);
        }
        file.read_exact_at(&mut head[..available], at)?;
        let kind = [head[4], head[5], head[6], head[7]];
        // The size, the kind, and where the size is 1 a longer one.
        let head = u128::from_be_bytes(head);
        let bytes = match (head >> 96) as u32 {
            0 => length - at,
            1 if available == 16 => head as u64,
            short => short.into(),
        };
        match at.checked_add(bytes) {
            Some(end) if bytes >= 8 && end <= length => {
                boxes.push(TopBox { kind, at, bytes });
                at = end;
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        top_boxes(&file).unwrap().is_some()
    }

    fn small(kind: &[u8], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_but_between_boxes_is_not_whole() {
        let big = [&[0, 0, 0, 1][..], b"mdat", &24u64.to_be_bytes(), b"pictures"].concat();
        let whole = [small(b"ftyp", b"isom"), small(b"moov", &[7; 100]), big].concat();
        assert!(check(&whole));
        let ends = [12, 120];
        for cut in 0..whole.len() {
            assert_eq!(check(&whole[..cut]), ends.contains(&cut), "{cut}");
        }
        assert!(check(&[&whole[..12], &[0, 0, 0, 0], b"mdat", b"to the end"].concat()));
        assert!(!check(&[&whole[..12], &u32::MAX.to_be_bytes(), b"mdat"].concat()));
        assert!(!check(&[&whole[..12], &[0, 0, 0, 1], b"mdat", &u64::MAX.to_be_bytes()].concat()));
        assert!(!check(&small(b"free", b"").repeat(BOXES_MAX + 1)), "it ends, too");
    }
}
