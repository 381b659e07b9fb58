use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::estimate::Work;
use super::line::millis;
use super::{Desk, ReservationId};
use crate::content::ClientTag;
use crate::profile::ProfileName;

/// When a job's result is ready at a node, from the moment on at which the node says so: first the job waits for a worker, then it
/// keeps that worker. What the node can't tell it leaves out, and an older one says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Until a worker is free for the job, in milliseconds. Its video may come meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
    /// How long it keeps that worker, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_ms: Option<u32>,
    /// The standard error of that, in thousandths of it. A node of an older release does not say it, and is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_error_permille: Option<u32>,
}

impl Ready {
    /// Whether it says nothing.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Desk {
    /// When a client's job is done that holds this place. `work_pixels` is what is known of it.
    pub fn ready(
        &self,
        now: Instant,
        (client, profile): (ClientTag, &ProfileName),
        work_pixels: Option<u64>,
        own: ReservationId,
    ) -> Ready {
        let wait = self.begins_after(now, client, Some(own));
        // Before anything was learned a wait is a guess, unless there is none.
        let known = wait.is_zero() || self.speeds.service(now).is_some();
        let learned =
            |pixels| self.learned(Work { client, profile, pixels, memo: None }, now).map(|known| known.time);
        let time = work_pixels.map_or_else(|| self.usual_service(now, client, profile), learned);
        // What other clients' jobs take says nothing of this one's that gossip does not say as well.
        let work = time.zip(self.speeds.error(client, profile));
        Ready {
            wait_ms: known.then(|| millis(wait)),
            work_ms: work.map(|(time, _)| millis(time)),
            work_error_permille: work.map(|(_, error)| (error * 1000.0).ceil() as u32),
        }
    }
}
