//! Finished results on disk, found by what they were made of. Only what was verified is put in.
//!
//! An entry is a folder `objects/ab/<content>-<profile>-<tag>/` with `data` and `meta.json`, where the tag is a digest of
//! the profile's recipe and the encoder's version. It is made in `tmp/`, synced, and renamed into place, so at any moment
//! it is there whole or not at all, and a node that was killed has nothing to repair: at start the index is read back
//! from the folders, and what isn't whole is removed. The file `objects/version` says of which version all of them are: entries of
//! another one are removed then.

mod disk;
mod evict;
mod hot;
mod index;
mod insert;
mod key;
mod object;
mod rebuild;
mod results;
#[cfg(test)]
mod tests;
mod version;

pub(super) use disk::{check, digest_of};
pub use hot::ENTRIES_MAX as OPEN_RESULTS_MAX;
pub use key::{Key, Meta};
pub(super) use object::Hold;
pub use object::Object;
pub use results::{Cache, CacheError, CacheStats};
