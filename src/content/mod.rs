//! What a piece of video is called, what is known of it, and whose it is: content ids, probed facts, clients.

mod client;
mod color;
mod damage;
mod id;
mod limits;
mod media;

pub use client::{ClientTag, ClientTagError, network_of};
pub use color::{Color, Matrix, Primaries, Range, Transfer};
pub use damage::{Damage, ParseDamageError};
pub use id::{ContentId, ParseContentIdError};
pub use limits::{MediaLimits, RESULT_BYTES_MAX};
pub use media::{AudioInfo, FieldOrder, Lack, MediaInfo, Ratio, Samples, VideoInfo};
