//! What can be asked for: named, typed recipes, turned into ffmpeg's command line by code.
//!
//! No string of a client ever reaches a command line: a client names a profile, and the profile's typed fields become
//! arguments in `argv`.

mod argv;
mod name;
mod set;
mod spec;
#[cfg(test)]
mod tests;

pub use argv::{DEMUXERS, Run};
pub(crate) use argv::{OWN_DEMUXERS, probe_argv};
pub use name::{ProfileName, ProfileNameError};
pub use set::{ProfileSet, ProfileSetError};
pub use spec::{Audio, AudioCodec, Container, Preset, Profile, Recipe, Scale, Unsuitable, VideoCodec};
