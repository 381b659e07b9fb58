use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What ffprobe found in a file. Travels with a job that is handed to a peer, so that no content is probed twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// ffprobe's names of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// How long it plays. `None` where the container doesn't say (live recordings of browsers, for one).
    pub duration: Option<Duration>,
    /// The first real video stream; cover art is not one.
    pub video: Option<VideoInfo>,
    /// The first audio stream.
    pub audio: Option<AudioInfo>,
    /// Number of streams of any kind.
    pub streams: u32,
}

/// The facts of one video stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// Decoder name, such as `h264`.
    pub codec: String,
    /// Coded width in pixels, before any rotation.
    pub width: u32,
    /// Coded height in pixels, before any rotation.
    pub height: u32,
    /// Frames a second, on average; 0 where it isn't known.
    pub fps: f64,
    /// Number of frames: counted by the container, or else fps x duration; 0 where neither is known.
    pub frames: u64,
    /// How long this stream plays, where the container says.
    pub duration: Option<Duration>,
}

/// The facts of one audio stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// Decoder name, such as `aac`.
    pub codec: String,
    /// Number of channels.
    pub channels: u32,
}

impl MediaInfo {
    /// Pixels that a decoder has to produce: width x height x frames, the unit in which the cost of a job is learned.
    /// 0 where the number of frames isn't known.
    pub fn pixels(&self) -> u64 {
        self.video.as_ref().map_or(0, |video| {
            u64::from(video.width).saturating_mul(u64::from(video.height)).saturating_mul(video.frames)
        })
    }

    /// How long the pictures play: the video stream's own duration, else the container's.
    pub fn picture_duration(&self) -> Option<Duration> {
        self.video.as_ref().and_then(|video| video.duration).or(self.duration)
    }
}
