//! A job as this node has it: its video on disk, and what is to be made of it.

use std::sync::Arc;

use starling_placement::content::Key;
use starling_placement::journey::{self, TimeBudget, Timings};

use super::Node;
use crate::content::{ClientTag, MediaInfo};
use crate::profile::{Profile, VideoCodec};
use crate::store::{Object, Upload};

/// A video that is on this node's disk, and what is to be made of it.
pub type Job = journey::Job<Node>;

/// A request's answer and where it came from.
pub type Served = journey::Served<Object>;

/// What a job is made of and what is made of it.
#[derive(Clone)]
pub struct Input {
    /// The video; its file is deleted when the last job that uses it is gone.
    pub upload: Arc<Upload>,
    /// What to make.
    pub profile: Arc<Profile>,
}

/// What ffprobe found in a job's video.
#[derive(Clone, Debug)]
pub struct Facts {
    /// All of it.
    pub info: Arc<MediaInfo>,
    /// What the job costs.
    work_pixels: u64,
}

impl Facts {
    /// The facts of a video for what this profile makes of it.
    pub fn new(info: Arc<MediaInfo>, profile: &Profile) -> Self {
        let work_pixels = profile.work_pixels(&info);
        Self { info, work_pixels }
    }
}

impl journey::Facts for Facts {
    fn work_pixels(&self) -> u64 {
        self.work_pixels
    }
}

impl Input {
    /// A job of its own for this input, whose video is here now.
    pub fn into_job(self, client: ClientTag, budget: TimeBudget, timings: Timings) -> Job {
        let Self { upload, profile } = &self;
        let named = (Key::new(upload.content, profile), upload.bytes);
        let hardware = profile.hardware_codec().map_or(0, VideoCodec::bit);
        let mut job = Job::new(named, client, budget, timings, self);
        job.hardware = hardware;
        job
    }
}
