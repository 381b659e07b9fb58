use std::io;

/// A tar consists of blocks of so many bytes.
pub const BLOCK_BYTES: u64 = 512;
/// Two blocks of zeros are its end.
pub const END_BYTES: u64 = 2 * BLOCK_BYTES;
/// Everybody may read what is unpacked, and its owner may change it.
const MODE: u32 = 0o644;

/// What stands before a file of this path and length: a POSIX `ustar` header that says no more than that. Fails where a tar can't
/// have it: paths end at 100 bytes, and files at 8 GiB.
pub fn header(path: &str, bytes: u64) -> io::Result<[u8; BLOCK_BYTES as usize]> {
    let too_long = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: {what}"));
    let mut header = tar::Header::new_ustar();
    let ustar = header.as_ustar_mut().ok_or_else(|| too_long("no ustar header"))?;
    // Not `set_path`: it would split a long path in two.
    let name = ustar.name.get_mut(..path.len()).ok_or_else(|| too_long("its path is too long for a tar"))?;
    name.copy_from_slice(path.as_bytes());
    if bytes >= 1 << 33 {
        return Err(too_long("it is too long for a tar"));
    }
    header.set_mode(MODE);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// How many zeros stand behind a file of this length.
pub const fn padding(bytes: u64) -> u64 {
    bytes.wrapping_neg() % BLOCK_BYTES
}
