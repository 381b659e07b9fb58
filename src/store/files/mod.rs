//! A result that is more than one file, kept and sent as one: an uncompressed tar (POSIX `ustar`).
//!
//! So whatever works on results (cache, digests, offers, transfer between nodes, entity tags) works on sets, too, and every
//! machine has a program that unpacks one. The bytes follow from the names and the contents alone: no time, no owner, no order
//! but that of the files. [`Index::read`] takes nothing else: what a stranger's tar may hold beside that (links, folders, names
//! that lead outside, what stands behind the end) does not have to be told apart, since it is all refused.
//!
//! The first file of a set is the one that a person opens.

mod entry;
mod index;
mod name;
mod pack;
#[cfg(test)]
mod tests;

pub use entry::{BLOCK_BYTES, END_BYTES, header, padding};
pub use index::{Entry, FILES_MAX, FilesError, Index};
pub use name::{FileName, FileNameError, MemberPath};
pub use pack::pack;

/// Content-Type of a set as a whole.
pub const MEDIA_TYPE: &str = "application/x-tar";
