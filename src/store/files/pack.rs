use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::entry::{END_BYTES, header, padding};
use super::index::FILES_MAX;
use super::name::FileName;

/// Zeros enough for any fill and for the end.
const ZEROS: [u8; END_BYTES as usize] = [0; END_BYTES as usize];

/// Writes these files as a set, in this order; what a person opens is the first. Only regular files are taken, and no links: the
/// program that wrote them may be taken over by a stranger. Blocks on the disk.
pub fn pack<P: AsRef<Path>>(files: &[(FileName, P)], mut out: &File) -> io::Result<()> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(wrong(format!("a set has 1 to {FILES_MAX} files, and not {}", files.len())));
    }
    for (at, (name, path)) in files.iter().enumerate() {
        if files[..at].iter().any(|(other, _)| other == name) {
            return Err(wrong(format!("two files of a set are named {name}")));
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut file = File::options().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(wrong(format!("{name} is no file")));
        }
        out.write_all(&header(name.as_str(), meta.len())?)?;
        let copied = io::copy(&mut file, &mut out)?;
        if copied != meta.len() {
            return Err(io::Error::other(format!("{name} changed while it was read")));
        }
        out.write_all(&ZEROS[..padding(copied) as usize])?;
    }
    out.write_all(&ZEROS)
}
