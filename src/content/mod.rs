//! What a piece of video is called and what is known of it: content ids and probed facts.

mod color;
mod damage;
mod id;
mod limits;
mod media;

pub use color::{Color, Matrix, Primaries, Range, Transfer};
pub use damage::{Damage, ParseDamageError};
pub use id::{ContentId, ParseContentIdError};
pub use limits::{MediaLimits, RESULT_BYTES_MAX};
pub use media::{AudioInfo, FieldOrder, Lack, MediaInfo, Ratio, Samples, VideoInfo};
