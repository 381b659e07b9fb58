//! The worker pool: a bounded queue in front of ffmpeg children, and the capped ffprobe.
//!
//! A [`Job`] goes through [`Pool::submit`] into the queue; a worker thread takes it, runs ffmpeg in the sandbox, has
//! ffprobe look at what came out, and only then hands it to whoever holds the [`Ticket`]. Dropping the ticket kills the
//! child. Each child is waited for by the thread that spawned it, since a child dies with its parent *thread*.

mod cancel;
mod child;
mod cut;
mod error;
mod fault;
mod ffmpeg;
mod gate;
mod hardware;
mod job;
mod ladders;
mod larger;
mod lengths;
pub(crate) mod mp4_boxes;
mod own_time;
mod pool;
mod previews;
pub mod probe;
mod progress;
mod protected;
mod refusals;
mod reservation;
mod samples;
pub mod sandbox;
mod sets;
mod shared;
#[cfg(test)]
mod tests;
mod ticket;
mod tools;
mod verify;
pub mod webp;

pub use error::{SubmitError, TranscodeError};
pub use hardware::HardwareMode;
pub use job::{Job, Transcoded};
pub use pool::{Pool, PoolConfig, PoolStats, Queued};
pub use probe::{ProbeError, Prober};
pub use progress::Progress;
pub use reservation::Reservation;
pub use starling_placement::desk::{Backlog, Estimate};
pub use ticket::Ticket;
pub use tools::{FfmpegVersion, Located, Tools, ToolsError};
pub use verify::{Unfit, Verified, Wanted};
