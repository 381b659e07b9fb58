//! What a piece of video is called and what is known of it: content ids and probed facts.

mod id;
mod limits;
mod media;

pub use id::{ContentId, ParseContentIdError};
pub use limits::{MediaLimits, RESULT_BYTES_MAX};
pub use media::{AudioInfo, MediaInfo, VideoInfo};
