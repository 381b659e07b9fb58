//! What a piece of video is called, what is known of it, and whose it is: content ids, probed facts, clients.

mod color;
mod damage;
mod digest;
mod limits;
mod media;

pub use color::{Color, Matrix, Primaries, Range, Transfer};
pub use damage::{Damage, ParseDamageError};
pub use digest::{REPR_DIGEST, parse_digest, repr_digest};
pub use limits::{MediaLimits, RESULT_BYTES_MAX};
pub use media::{AudioInfo, Backdrop, FieldOrder, Lack, MediaInfo, Ratio, Samples, VideoInfo};
pub use starling_placement::content::{
    ClientTag, ClientTagError, ContentId, ParseContentIdError, network_of,
};
