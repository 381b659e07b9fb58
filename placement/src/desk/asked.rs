//! What a desk answers to a peer that offers it a job.

use std::time::{Duration, Instant};

use super::{Backlog, Desk, Entry, Granted, JobSpec, Ready, Unseen};
use crate::content::{ClientTag, ContentId};
use crate::error::WorkError;
use crate::profile::ProfileName;

/// A job that a peer offers.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whose it is.
    pub client: ClientTag,
    /// The input.
    pub content: ContentId,
    /// What is made of it.
    pub profile: &'a ProfileName,
    /// What it costs; none where no node has looked at it yet.
    pub work_pixels: Option<u64>,
    /// By when its result is wanted.
    pub deadline: Instant,
    /// How much stands before it at the peer; none from a peer that has not said so.
    pub backlog: Option<Backlog>,
}

impl Desk {
    /// Gives a peer's job a place, and says when its result would be ready; or says no. A job from a peer that has no work may come
    /// as the policy likes; from one that is full only to begin sooner.
    pub fn consider(&mut self, now: Instant, asked: &Asked<'_>) -> Result<(Granted, Ready), WorkError> {
        let Asked { client, content, profile, work_pixels, deadline, backlog } = *asked;
        let own = self.backlog(now, client, None);
        let in_vain =
            |there: Backlog| own.is_worse_than(&there) || (there.is_full() && !there.is_worse_than(&own));
        let retry_after = Duration::from_millis(own.wait_ms.unwrap_or_default().into());
        if backlog.is_some_and(in_vain) {
            return Err(WorkError::Saturated { retry_after });
        }
        let granted = if let Some(work_pixels) = work_pixels {
            let job = JobSpec { client, content, profile: profile.clone(), work_pixels, deadline };
            self.reserve(now, &job, Entry::Newcomer)?
        } else {
            let job = Unseen { client, content, profile, deadline };
            self.reserve_unseen(now, &job).ok_or(WorkError::Saturated { retry_after })?
        };
        let ready = self.ready(now, (client, profile), work_pixels, granted.reservation);
        Ok((granted, ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(profile: &ProfileName, work_pixels: Option<u64>, backlog: Option<Backlog>) -> Asked<'_> {
        let (client, content) = (ClientTag(1), ContentId::of(b"clip"));
        Asked { client, content, profile, work_pixels, deadline: start() + 40 * SECOND, backlog }
    }

    const fn backlog(jobs_per_worker_permille: u32) -> Backlog {
        Backlog { jobs_per_worker_permille, wait_ms: None }
    }

    #[test]
    fn from_a_full_peer_a_job_is_taken_only_to_begin_sooner() {
        let (now, profile) = (start(), "360p".parse().unwrap());
        let mut desk = Desk::new(1, 4);
        for (seen, there, is_taken) in [
            (Some(1_000), None, true),
            (None, Some(backlog(0)), false),
            (Some(1_000), Some(backlog(1_000)), false),
            (None, Some(backlog(3_000)), true),
            (Some(1_000), Some(backlog(2_000)), false),
            (Some(1_000), None, true),
        ] {
            let answer = desk.consider(now, &asked(&profile, seen, there));
            assert_eq!(answer.is_ok(), is_taken, "{seen:?} {there:?}: {answer:?}");
        }
        assert_eq!(desk.places_held(), 3);
        desk.drain();
        assert_eq!(desk.consider(now, &asked(&profile, Some(1), None)), Err(WorkError::Draining));
    }

    #[test]
    fn what_is_full_or_too_late_is_refused_with_a_time() {
        let (now, profile) = (start(), "360p".parse().unwrap());
        let mut desk = Desk::new(1, 0);
        desk.consider(now, &asked(&profile, Some(1), None)).unwrap();
        let full = desk.consider(now, &asked(&profile, Some(1), None)).unwrap_err();
        assert!(full.retry_after().is_some(), "{full:?}");
        let over = Asked { deadline: now, ..asked(&profile, Some(1), None) };
        assert!(matches!(desk.consider(now, &over), Err(WorkError::Saturated { .. })));
    }
}
