//! What is in an animated WebP, as facts of a video.

use std::io::{self, BufRead, Seek};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::container::{Container, Frame};
use crate::content::{MediaInfo, Ratio, Samples, VideoInfo};
use crate::media::constant_rate;

/// The container's name, as ffmpeg's newer versions call it.
const CONTAINER: &str = "webp_anim";

/// What the confined process says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) width: u32,
    pub(super) height: u32,
    /// None: it is one picture.
    pub(super) frames: u64,
    pub(super) ms: u64,
    /// How long each frame is shown, where that is the same.
    pub(super) each_ms: Option<u32>,
}

impl Description {
    /// Of all frames of a container.
    pub(super) fn of(container: &mut Container<impl BufRead + Seek>) -> io::Result<Self> {
        let mut this = Self { width: container.width, height: container.height, ..Self::default() };
        while let Some(frame) = container.next(0)? {
            let Frame { ms, .. } = frame;
            this.each_ms = (this.frames == 0 || this.each_ms == Some(ms)).then_some(ms);
            this.frames += 1;
            this.ms += u64::from(ms);
            container.skip(&frame)?;
        }
        Ok(this)
    }

    pub(super) fn still() -> Self {
        Self::default()
    }
}

/// Reads what [`Description`] was written as; `None` for a picture that does not move.
pub(crate) fn read(json: &[u8]) -> Result<Option<MediaInfo>, serde_json::Error> {
    let said: Description = serde_json::from_slice(json)?;
    if said.frames == 0 || said.ms == 0 {
        return Ok(None);
    }
    let duration = Duration::from_millis(said.ms);
    let each = said.each_ms.and_then(|ms| Ratio::new(1000, ms));
    let video = VideoInfo {
        codec: "webp".to_owned(),
        width: said.width,
        height: said.height,
        samples: Samples::Rgb,
        fps: said.frames as f64 / duration.as_secs_f64(),
        constant_rate: constant_rate(each, each),
        frames: said.frames,
        duration: Some(duration),
        ..VideoInfo::default()
    };
    Ok(Some(MediaInfo {
        container: CONTAINER.to_owned(),
        duration: Some(duration),
        video: Some(video),
        streams: 1,
        ..MediaInfo::default()
    }))
}
