//! What only the bytes of an ISO media file tell: that it is a still picture, or that it is encrypted. ffprobe names neither.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Brands of single pictures (ISO/IEC 23008-12, AVIF).
const PICTURE_BRANDS: [&[u8; 4]; 6] = [b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"];
/// More boxes than this are not looked at.
const BOXES_MAX: usize = 10_000;
/// Of an index, no more than so many bytes are looked at: where the kinds of its samples stand, the tables follow.
const INDEX_BYTES_MAX: u64 = 32 << 20;

/// Which kinds of streams are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encrypted {
    pub(super) video: bool,
    pub(super) audio: bool,
}

/// Whether the file says of itself that it is one picture.
pub(super) fn is_still_picture(path: &Path) -> io::Result<bool> {
    let mut head = [0; 12];
    match File::open(path)?.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(&head[4..8] == b"ftyp" && PICTURE_BRANDS.iter().any(|brand| &head[8..] == *brand)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Which streams the index calls encrypted (ISO/IEC 23001-7): their samples are of a kind of its own, which names the true one.
pub(super) fn encrypted_kinds(path: &Path) -> io::Result<Encrypted> {
    let Some(index) = index(path)? else { return Ok(Encrypted::default()) };
    let has = |name: &[u8; 4]| memchr::memmem::find(&index, name).is_some();
    let scheme = has(b"sinf") && has(b"schm");
    Ok(Encrypted { video: scheme && has(b"encv"), audio: scheme && has(b"enca") })
}

/// The `moov` box, as much of it as there is.
fn index(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut at = 0u64;
    for _ in 0..BOXES_MAX {
        let mut head = [0; 16];
        let available = length.saturating_sub(at).min(16) as usize;
        if available < 8 {
            return Ok(None);
        }
        file.read_exact_at(&mut head[..available], at)?;
        let short = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let bytes = match short {
            0 => length - at,
            1 if available == 16 => u64::from_be_bytes(std::array::from_fn(|i| head[8 + i])),
            short => short.into(),
        };
        if &head[4..8] == b"moov" {
            let mut index = vec![0; bytes.min(length - at).min(INDEX_BYTES_MAX) as usize];
            file.read_exact_at(&mut index, at)?;
            return Ok(Some(index));
        }
        match at.checked_add(bytes) {
            Some(next) if bytes >= 8 => at = next,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_still_picture_says_so_in_its_brand() {
        for (head, still) in [
            (&b"\0\0\0\x18ftypheic"[..], true),
            (b"\0\0\0\x18ftypavif", true),
            (b"\0\0\0\x18ftypisom", false),
            (b"\0\0\0\x18ftyp", false),
            (b"", false),
        ] {
            assert_eq!(is_still_picture(file(head).path()).unwrap(), still, "{head:?}");
        }
    }

    #[test]
    fn what_is_encrypted_is_told_by_the_index_alone() {
        let moov =
            |content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes()[..], b"moov", content].concat();
        let of = |bytes: &[u8]| encrypted_kinds(file(bytes).path()).unwrap();
        let both = moov(b"..stsd..encv..sinf..frma..schm....enca..");
        assert_eq!(of(&both), Encrypted { video: true, audio: true });
        assert_eq!(
            of(&[&b"\0\0\0\x08free"[..], &moov(b"encv sinf schm")].concat()),
            Encrypted { video: true, audio: false }
        );
        assert_eq!(of(&moov(b"avc1 encv")), Encrypted::default());
        for bad in [
            &b""[..],
            b"\0\0\0\x01mdat",
            b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\x07xxxx",
            &both[..20],
        ] {
            assert_eq!(of(bad), Encrypted::default(), "{bad:?}");
        }
    }
}
