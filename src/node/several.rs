//! Several profiles of one upload: received once and looked at once; each is a job of its own, with its own way to its result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use starling_placement::error::WorkError;

use super::{Facts, Job, Node, NotAll, Served};
use crate::profile::ProfileName;

/// Time to find nodes for jobs of which it is known what they are.
const DECIDED_AFTER_LOOK: Duration = Duration::from_millis(300);
/// From when it is decided whether a job is refused until its refusal is here.
const REFUSAL_DELAY: Duration = Duration::from_millis(300);

impl Node {
    /// The results of all these jobs of one upload, in their order; or what keeps one of them from being made. Then work on the
    /// others ends, unless another request waits for it, and what is done stays in the cache. `made` is told of each that is done, by
    /// its place.
    pub async fn transcode_all(
        self: &Arc<Self>,
        mut jobs: Vec<Job>,
        made: impl Fn(usize) + Send,
    ) -> Result<Vec<Served>, NotAll> {
        self.look_for_all(&mut jobs).await?;
        let decide_by = jobs.iter().map(|job| job.budget.decide_by()).max().unwrap_or_else(Instant::now);
        let profiles: Vec<_> = jobs.iter().map(|job| job.key.profile.clone()).collect();
        let work = jobs.into_iter().enumerate().map(|(at, job)| async move {
            // Boxed: what each of them holds while it waits is large.
            (at, Box::pin(self.transcode(job)).await)
        });
        let mut under_way: FuturesUnordered<_> = work.collect();
        let mut served: Vec<Option<Served>> = profiles.iter().map(|_| None).collect();
        let mut refused: Option<(usize, WorkError)> = None;
        // To come back makes sense when there is time for all of them: a refusal waits for those of the others.
        let refusals_by = tokio::time::Instant::from_std(decide_by + REFUSAL_DELAY);
        loop {
            let next = match &refused {
                None => under_way.next().await,
                Some(_) => tokio::time::timeout_at(refusals_by, under_way.next()).await.unwrap_or(None),
            };
            match next {
                None => break,
                Some((at, Ok(result))) => {
                    made(at);
                    served[at] = Some(result);
                }
                Some((at, Err(error))) if error.retry_after().is_none() => {
                    return Err(of_one(&profiles[at], error));
                }
                Some((at, Err(error))) => {
                    let longer =
                        refused.as_ref().is_none_or(|(_, other)| error.retry_after() > other.retry_after());
                    if longer {
                        refused = Some((at, error));
                    }
                }
            }
        }
        if let Some((at, error)) = refused {
            return Err(of_one(&profiles[at], error));
        }
        let mut served: Vec<_> = served.into_iter().flatten().collect();
        // The upload came once.
        served.iter_mut().skip(1).for_each(|served| served.bytes_in = 0);
        Ok(served)
    }

    /// Has ffprobe look at an upload once for all its jobs, where more than one has no result yet: what can't be made of it is found
    /// before any work begins. Where this node can't look at it, each job finds out by itself who can.
    async fn look_for_all(&self, jobs: &mut [Job]) -> Result<(), NotAll> {
        let mut missing = Vec::new();
        for job in jobs.iter_mut() {
            if self.cached(&job.key).await.is_none() {
                missing.push(job);
            }
        }
        let [first, _, ..] = &missing[..] else { return Ok(()) };
        let begun = Instant::now();
        let looked = tokio::time::timeout_at(first.budget.deadline().into(), self.look(first)).await;
        let info = match looked {
            Ok(Ok(info)) => Arc::new(info),
            Ok(Err(WorkError::Fault { .. } | WorkError::Crashed { .. })) => return Ok(()),
            // Of the video, and not of a profile.
            Ok(Err(verdict)) => return Err(verdict.into()),
            Err(_) => return Err(WorkError::TooLate.into()),
        };
        for job in &missing {
            self.suits(job, &info).map_err(|error| of_one(&job.key.profile, error))?;
        }
        for job in missing {
            job.timings.mark("look");
            job.facts = Some(Facts::new(Arc::clone(&info), &job.input.profile));
            job.budget.looked_at(begun.elapsed());
            job.budget.decide_within(DECIDED_AFTER_LOOK);
        }
        Ok(())
    }
}

fn of_one(profile: &ProfileName, error: WorkError) -> NotAll {
    NotAll { profile: Some(profile.clone()), error }
}
