//! Jobs that a node gives to others, because it leaves or is to rest.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::ASKED_MAX;
use crate::jobs::Record;
use crate::node::Node;

/// Jobs on their way to others at once.
const HANDED_AT_ONCE: usize = 8;

impl Node {
    /// Gives jobs that this node holds to others, those alone that wait or all of them, for so long at the most. How many it gave, and how many
    /// it holds still.
    pub async fn hand_over_jobs(self: &Arc<Self>, waiting: bool, bound: Duration) -> (usize, usize) {
        let held = self.jobs().held_unfinished(waiting);
        let (mut given, all) = (0, held.len());
        let mut handed = stream::iter(held)
            .map(|record| async move { self.hand_over_job(&record).await })
            .buffer_unordered(HANDED_AT_ONCE);
        let in_time = timeout(bound, async {
            while let Some(was_given) = handed.next().await {
                given += usize::from(was_given);
            }
        });
        if in_time.await.is_err() {
            tracing::warn!(
                ?bound,
                "not all jobs are handed over in time: their second nodes take them over later"
            );
        }
        if all > 0 {
            tracing::info!(given, jobs = all, "jobs handed over");
        }
        (given, all - given)
    }

    /// The same of one job: first to the node that has a copy.
    async fn hand_over_job(self: &Arc<Self>, record: &Record) -> bool {
        let second = record.keeping.second.as_ref().and_then(|name| self.live(name));
        for peer in second.into_iter().chain(self.could_keep(record)).take(ASKED_MAX) {
            let given = record.handed_over(&peer.name);
            match self.say_keep(&peer, &given).await {
                Ok(answer) if answer.newer.is_empty() => match self.jobs().handed_over(given).await {
                    Ok(()) => return true,
                    // It learns of it when it is told of its next change.
                    Err(error) => {
                        tracing::warn!(job = %record.id(), %error, "a job that was given away is here still");
                        return false;
                    }
                },
                Ok(_) => return false,
                Err(error) => {
                    tracing::debug!(job = %record.id(), peer = %peer.name, %error, "a node does not take a job");
                }
            }
        }
        false
    }
}
