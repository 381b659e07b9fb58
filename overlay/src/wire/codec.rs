//! The only file that names bincode: values to bytes and back, in its standard configuration (integers as varints), within a
//! datagram's size. docs/PROTOCOL.md, section 2.5, says what another codec would have to write.

pub(super) use bincode::de::{BorrowDecoder, Decoder};
pub(super) use bincode::enc::Encoder;
pub(super) use bincode::error::{DecodeError, EncodeError};
pub(super) use bincode::{BorrowDecode, Decode, Encode, impl_borrow_decode};

use super::DATAGRAM_BYTES_MAX;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DATAGRAM_BYTES_MAX>()
}

/// Appends a value. It must be of plain fields.
pub(super) fn put(value: &impl Encode, bytes: &mut Vec<u8>) {
    // Writing plain fields to a growing vector can't fail: errors here come from locks and clocks.
    bincode::encode_into_std_write(value, bytes, config()).expect("plain fields always encode");
}

/// The value that the bytes begin with, and how many of them it takes; none where they are no such value.
pub(super) fn take<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Option<(T, usize)> {
    bincode::borrow_decode_from_slice(bytes, config()).ok()
}
