//! From what a file is to what ffmpeg is told to do with it: typed facts, and pure functions over them.
//!
//! ```text
//! ffprobe's JSON -> facts::read -> MediaInfo (the streams that are used, and what they are)
//! (MediaInfo, Profile, Features) -> Plan::new -> streams, filters, rate, tags -> Plan::argv -> ffmpeg
//! what ffmpeg wrote -> verification: picture with picture, sound with sound, by packets where a file's own word is short
//! ```
//!
//! Nothing here runs a process or opens a file; `workers` does.

mod argv;
mod complaints;
pub(crate) mod facts;
mod features;
pub(crate) mod fragments;
mod hardware;
pub(crate) mod hardware_test;
pub(crate) mod ladder;
mod language;
pub(crate) mod last_sample;
mod packet_times;
mod packets;
mod picture;
mod places;
mod plan;
pub(crate) mod playlists;
pub(crate) mod preview;
mod rate;
mod sound;
#[cfg(test)]
mod tests;

pub use argv::{DEMUXERS, Run};
pub(crate) use argv::{OWN_DEMUXERS, PIPE, held_argv, packets_argv, probe_argv, samples_argv};
pub(crate) use complaints::{Complaints, Said};
pub use features::Features;
pub use hardware::{Family, HardwareEncoder, UnknownFamily};
pub(crate) use packets::Packets;
pub use picture::{Surface, picture_filters};
pub use plan::{Plan, Sound, Video};
pub(crate) use rate::constant_rate;
pub use rate::{Rate, Thinning};
