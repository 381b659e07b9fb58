//! Uploads: from a request's body to a hashed file on disk.
//!
//! Bytes flow from the body through bounded batches to the disk and the hash, side by side and off the runtime threads;
//! a slow disk holds back the sender, and a slow sender holds no thread.

mod batch;
mod budget;
mod datadir;
mod error;
mod form_digest;
pub mod layout;
pub mod multipart;
mod rate;
mod receive;
mod sniff;
#[cfg(test)]
mod tests;

pub use budget::{Budget, NoRoom, PerClient, Room, Share};
pub use datadir::{DataDir, DataDirError, Reserve, Scratch};
pub use error::{IngestError, is_full};
pub use form_digest::FormBody;
pub use rate::Rate;
pub use receive::{Limits, Received, Upload, receive, receive_result};
pub use sniff::{Container, NotVideo, sniff};
