//! From a job to its answer: what is here, what is under way, and what has to be begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::doubts::Doubts;
use super::flights::{Flights, Role};
use super::{CacheState, Done, Event, Job, Journey, Outcome, Ports, Served, What, clock};
use crate::content::Key;
use crate::error::WorkError;
use crate::policy::RouteKind;

/// A request that has so much more time than the one that was refused may fare better.
const MORE_TIME: Duration = Duration::from_millis(250);

/// How shared work ended.
#[derive(Clone, Debug)]
pub(super) struct Ended<O> {
    outcome: Outcome<O>,
    /// The deadline of the request that began it.
    deadline: Instant,
}

impl<O> Ended<O> {
    /// Whether it says nothing of a request with this deadline that joined it.
    fn is_another_case(&self, deadline: Instant) -> bool {
        match &self.outcome {
            // The request that began it had less time than this one has.
            Err(WorkError::TooLate) => true,
            Err(error) => error.is_want_of_time() && deadline > self.deadline + MORE_TIME,
            Ok(_) => false,
        }
    }
}

/// The result of a job: from the cache, from work under way, or made for it by the best node there is.
pub async fn answer<P: Ports>(ports: &Arc<P>, job: Job<P>) -> Result<Served<P::Object>, WorkError> {
    let begin = |job: Job<P>, reservation| {
        let journey = Journey { ports: Arc::clone(ports), job, reservation, doubts: Doubts::default() };
        // Boxed: what it holds while it waits is large.
        Box::pin(journey.run())
    };
    shared(ports, &ports.journeys().answers, &job, None, begin).await
}

/// The result of a job, made by this node's own workers if it has to be made. `reservation`: its place in the queue, if it has one.
pub async fn work_here<P: Ports>(
    ports: &Arc<P>,
    job: &Job<P>,
    reservation: Option<P::Reservation>,
) -> Result<Served<P::Object>, WorkError> {
    let begin = |job: Job<P>, reservation| {
        let ports = Arc::clone(ports);
        async move {
            let life = ports.journeys().lives.enter(&job.key);
            let object = ports.run(&job, reservation, &life).await?;
            let (by, route) = (Arc::clone(ports.identity()), RouteKind::Local);
            Ok::<_, WorkError>(Done { object, by, route, cache: CacheState::Miss, scores: "".into() })
        }
    };
    shared(ports, &ports.journeys().works, job, reservation, begin).await
}

async fn shared<P: Ports, F>(
    ports: &Arc<P>,
    flights: &Flights<Key, Ended<P::Object>>,
    job: &Job<P>,
    mut reservation: Option<P::Reservation>,
    begin: impl Fn(Job<P>, Option<P::Reservation>) -> F,
) -> Result<Served<P::Object>, WorkError>
where
    F: Future<Output = Outcome<P::Object>> + Send + 'static,
{
    let deadline = job.budget.deadline();
    loop {
        if let Some(object) = ports.cached(&job.key).await {
            return Ok(Served::hit(ports.identity(), job.bytes, object));
        }
        let spawn = |task| ports.spawn(task);
        let (flight, role) = flights.join_or_lead(job.key.clone(), spawn, || {
            let work = begin(job.clone(), reservation.take());
            async move { Ended { outcome: work.await, deadline } }
        });
        if role == Role::Joined {
            ports.tell(Event { key: job.key.clone(), what: What::Joined });
        }
        // A request that joins needs none.
        drop(reservation.take());
        let ended = clock::timeout_at(deadline, flight.outcome()).await.map_err(|_| WorkError::TooLate)?;
        let ended = ended
            .ok_or_else(|| WorkError::fault("the work ended without an outcome; the node's log says why"))?;
        if role == Role::Joined && ended.is_another_case(deadline) {
            continue;
        }
        return ended.outcome.map(|done| served(ports, job, done, role));
    }
}

fn served<P: Ports>(ports: &Arc<P>, job: &Job<P>, done: Done<P::Object>, role: Role) -> Served<P::Object> {
    Served {
        object: done.object,
        cache: if role == Role::Leader { done.cache } else { CacheState::Joined },
        via: Arc::clone(ports.identity()),
        by: done.by,
        route: done.route,
        bytes_in: job.bytes,
        scores: done.scores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn a_refusal_for_want_of_time_concerns_those_with_as_little() {
        let deadline = start();
        let ended = |error: WorkError| Ended::<()> { outcome: Err(error), deadline };
        let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
        let refused = ended(WorkError::Saturated { retry_after: second });
        assert!(refused.is_another_case(deadline + second));
        assert!(!refused.is_another_case(deadline + millisecond));
        let short = ended(WorkError::TooShort { needs: second });
        assert!(short.is_another_case(deadline + second));
        assert!(!short.is_another_case(deadline));
        assert!(ended(WorkError::TooLate).is_another_case(deadline));
        assert!(!ended(WorkError::DiskFull).is_another_case(deadline + second));
    }
}
