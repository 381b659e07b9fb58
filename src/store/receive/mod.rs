//! Uploads: from a request's body to a hashed file on disk.
//!
//! Bytes flow from the body through bounded batches to the disk and the hash, side by side and off the runtime threads;
//! a slow disk holds back the sender, and a slow sender holds no thread.

mod batch;
mod budget;
mod checksum;
mod error;
mod other_kinds;
mod part;
mod rate;
mod sniff;
mod stream;
#[cfg(test)]
mod tests;

pub use budget::{Budget, NoRoom, PerClient, Room, Share};
pub use checksum::Checksum;
pub use error::IngestError;
pub use part::{AppendError, Checkpoint, Order, Part};
pub use rate::Rate;
pub(super) use sniff::head_of;
pub use sniff::{Container, NotVideo, sniff};
pub use stream::{Limits, Received, Upload, receive, receive_result};
