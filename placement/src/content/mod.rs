//! What a piece of video is called, and whose it is.

mod client;
mod hex;
mod id;
mod key;

pub use client::{ClientTag, ClientTagError, network_of};
pub use id::{ContentId, ParseContentIdError};
pub use key::{HasRecipe, Key};
