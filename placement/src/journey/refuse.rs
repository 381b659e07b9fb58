//! What a job is told that no node takes: when to come back, or that it takes too long.

use std::time::Duration;

use starling_overlay::MemberState;

use super::{Journey, Ports, TimeBudget, claim, clock};
use crate::content::{ClientTag, Key};
use crate::error::WorkError;
use crate::journey::Facts;
use crate::lease::Verdict;
use crate::policy::{SAMPLE_AGE_MAX, is_full};

/// Longest wait for the home's word on an upload whose body waits to be asked for.
const UNREAD_ANSWER_MAX: Duration = Duration::from_millis(800);
/// What a client is told when no node could say when a place will be free.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// The refusal of an upload whose body need not come: its content is known, no node has time for it, and by what its home
/// says no node holds or makes its result. None if the body has to come.
pub async fn refuse_unread<P: Ports>(
    ports: &P,
    client: ClientTag,
    key: &Key,
    budget: &TimeBudget,
) -> Option<WorkError> {
    if ports.journeys().answers.is_under_way(key) || !is_hopeless(ports, client, key, budget) {
        return None;
    }
    let (home, rtt) = claim::home(ports, key);
    // A lease that is over at once: only to hear whether another node has one.
    let answer = claim::ask_home(ports, &home, rtt, key, Duration::ZERO, Duration::ZERO);
    match tokio::time::timeout(UNREAD_ANSWER_MAX, answer).await {
        Ok(Ok(Verdict::Yours) | Err(_)) | Err(_) => {
            Some(refuse_content(ports, client, key, None, budget.allowed(), None))
        }
        Ok(Ok(Verdict::Busy { .. } | Verdict::Held { .. })) => None,
    }
}

/// Whether it can be told before its body comes that an upload will be refused: there is no time for it here, and gossip
/// says the same of all other nodes.
fn is_hopeless<P: Ports>(ports: &P, client: ClientTag, key: &Key, budget: &TimeBudget) -> bool {
    let (now, left) = (clock::now(), budget.left());
    let view = ports.view();
    let mut others = view
        .peers
        .iter()
        .filter(|peer| peer.state == MemberState::Alive && !peer.identity.is_observer())
        .filter(|peer| !ports.is_distrusted(&peer.identity));
    // A node that can make what this node can't has to be asked.
    ports.can_make(&key.profile).is_ok()
        && !ports.would_reserve(client, key, budget.deadline())
        && others.all(|peer| {
            let load = peer.load.as_ref().filter(|load| load.age(now) <= SAMPLE_AGE_MAX);
            is_full(load.map(|load| &load.sample), left)
        })
}

impl<P: Ports> Journey<P> {
    /// The answer for a job that no node takes: when it is to be sent again, and then has its place here; or that it takes
    /// longer than its request allows, whenever it is sent. `elsewhere`: what peers said.
    pub(super) fn refuse(&self, elsewhere: Option<Duration>) -> WorkError {
        let (ports, job) = (&*self.ports, &self.job);
        if job.budget.is_over() {
            // No client is there to come back.
            return WorkError::TooLate;
        }
        let work = job.facts.as_ref().map(Facts::work_pixels);
        let estimate = work.map(|pixels| ports.estimate(job.client, &job.key.profile, pixels));
        // Final is only what this client's own jobs have taught; in doubt it may come again.
        let service = estimate.filter(|estimate| estimate.sure).and_then(|estimate| estimate.service);
        if let Some(service) = service.filter(|service| *service > job.budget.for_work())
            && !ports.is_draining()
        {
            return WorkError::TooShort { needs: job.budget.needs(service) };
        }
        refuse_content(ports, job.client, &job.key, work, job.budget.allowed(), elsewhere)
    }
}

/// The same for a content of which there is no job yet.
fn refuse_content<P: Ports>(
    ports: &P,
    client: ClientTag,
    key: &Key,
    work_pixels: Option<u64>,
    allowed: Duration,
    elsewhere: Option<Duration>,
) -> WorkError {
    if ports.is_draining() {
        return WorkError::Draining;
    }
    let own = ports.book(client, key, work_pixels, allowed);
    WorkError::Saturated { retry_after: own.or(elsewhere).unwrap_or(RETRY_AFTER_UNKNOWN) }
}
