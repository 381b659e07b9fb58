//! Zeros behind the end of a file, as a recorder leaves them that took room on its disk ahead, or a file system after a crash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::ends_early;

/// How much is read at once, from the end of the file.
const LOOK_BYTES: u64 = 256 << 10;

/// From which byte on a file has nothing but zeros, if it ends in some and its structure does not say that more should be there.
pub(in super::super) fn zeros_behind(path: &Path, container: &str) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut piece = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(LOOK_BYTES);
        piece.resize((end - from) as usize, 0);
        file.read_exact_at(&mut piece, from)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            end = from + last as u64 + 1;
            break;
        }
        end = from;
    }
    Ok(if end == length || ends_early(path, container)? { None } else { Some(end) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn zeros_are_found_from_the_end_on() {
        let found = |bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            zeros_behind(file.path(), "matroska,webm").unwrap()
        };
        assert_eq!(found(b""), None);
        assert_eq!(found(b"\0\0a"), None);
        assert_eq!(found(b"\0a\0"), Some(2));
        for zeros in [LOOK_BYTES - 1, LOOK_BYTES, 2 * LOOK_BYTES + 1] {
            assert_eq!(found(&[&b"ab"[..], &vec![0; zeros as usize]].concat()), Some(2), "{zeros}");
        }
    }
}
