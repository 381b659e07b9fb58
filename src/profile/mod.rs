//! What can be asked for: named, typed recipes, turned into ffmpeg's command line by code.
//!
//! No string of a client ever reaches a command line: a client names a profile, and the profile's typed fields become
//! arguments in `media`. Profiles come with Starling (builtin.toml), and from files of the same schema.

mod codec;
mod fields;
mod file;
mod made;
mod set;
mod spec;
#[cfg(test)]
mod tests;

pub use codec::{Audio, AudioCodec, Container, Effort, Layout, Preset, VideoCodec};
pub use fields::Fault;
pub use made::{Made, MadeAudio, MadeVideo};
pub use set::{ProfileSet, ProfileSetError};
pub use spec::{Profile, Recipe, Rung, Scale, Unsuitable};
pub use starling_placement::profile::{ProfileName, ProfileNameError};

/// Part of every cache key: raised whenever the same recipe makes something else of the same file than before.
pub const RECIPE_VERSION: u32 = 4;
