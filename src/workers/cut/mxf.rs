//! MXF: a chain of keys, lengths and values (SMPTE ST 377-1, section 6). ffmpeg's demuxer looks for the next key that it knows, and says at
//! most in a warning that it has lost some.

use std::io::{self, Read, Seek, SeekFrom};

/// What each key begins with: a label of SMPTE's.
const LABEL: [u8; 4] = *b"\x06\x0e\x2b\x34";
/// The key of a partition's head, of which the 14th byte says which partition: 2 header, 3 body, 4 footer.
const PARTITION: [u8; 9] = *b"\x02\x05\x01\x01\x0d\x01\x02\x01\x01";
const FOOTER: u8 = 4;
/// The first key may stand behind so many other bytes.
const RUN_IN_BYTES_MAX: u64 = 65_536;
const KEY_BYTES: usize = 16;

/// Whether the chain breaks before its footer.
pub(super) fn broken(file: &mut (impl Read + Seek), length: u64) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.by_ref().take(RUN_IN_BYTES_MAX + KEY_BYTES as u64).read_to_end(&mut begin)?;
    let Some(first) = memchr::memmem::find(&begin, &LABEL) else { return Ok(false) };
    let mut at = first as u64;
    let mut in_footer = false;
    while at < length {
        file.seek(SeekFrom::Start(at))?;
        let mut key = [0; KEY_BYTES];
        if let Err(error) = file.read_exact(&mut key) {
            return if in_footer { Ok(false) } else { Err(error) };
        }
        if key[..4] != LABEL {
            // Behind a footer there may be anything.
            return Ok(!in_footer);
        }
        if key[4..13] == PARTITION {
            in_footer = key[13] == FOOTER;
        }
        let Some(value) = value_bytes(file)? else { return Ok(!in_footer) };
        let Some(next) = file.stream_position()?.checked_add(value) else { return Ok(true) };
        at = next;
    }
    Ok(at > length)
}

/// A length: one byte of less than 128, or so many bytes as the low bits of the first say. None where it is none.
fn value_bytes(file: &mut impl Read) -> io::Result<Option<u64>> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let count = usize::from(first[0] & 0x7f);
    if first[0] < 0x80 {
        return Ok(Some(first[0].into()));
    }
    if !(1..=8).contains(&count) {
        return Ok(None);
    }
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes[8 - count..])?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use proptest::prelude::*;

    fn item(kind: &[u8; 12], value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u32).to_be_bytes();
        [&LABEL, kind.as_slice(), &[0x84], &length, value].concat()
    }

    fn partition(which: u8) -> Vec<u8> {
        item(&[&PARTITION[..], &[which, 4, 0]].concat().try_into().unwrap(), &[0; 40])
    }

    fn told(bytes: Vec<u8>) -> Option<bool> {
        let length = bytes.len() as u64;
        broken(&mut Cursor::new(bytes), length).ok()
    }

    #[test]
    fn a_chain_with_a_hole_is_told_from_a_whole_one() {
        let essence = item(b"\x01\x02\x01\x01\x0d\x01\x03\x01\x15\x01\x05\x00", &[7; 300]);
        let whole = [partition(2), essence.clone(), essence.clone(), essence, partition(4)].concat();
        assert_eq!(told(whole.clone()), Some(false));
        assert_eq!(told([vec![0; 100], whole.clone()].concat()), Some(false), "behind a run-in");
        assert_eq!(told([whole.clone(), vec![0; 50]].concat()), Some(false), "padding behind the footer");
        let mut hole = whole.clone();
        hole[200..500].fill(0);
        assert_eq!(told(hole), Some(true));
        assert_ne!(told(whole[..700].to_vec()), Some(false), "cut");
        // A hole inside of a value is its decoder's to tell.
        let mut inside = whole;
        inside[100..300].fill(0);
        assert_eq!(told(inside), Some(false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, at in 0usize..100, byte: u8) {
            told(bytes.clone());
            let mut chain = [partition(2), bytes, partition(4)].concat();
            let at = at % chain.len();
            chain[at] = byte;
            told(chain);
        }
    }
}
