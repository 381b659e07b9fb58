//! Asking a content's home before work begins, and telling it how the work ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use starling_overlay::{Identity, MemberState, NodeName};

use super::lease::Lease;
use super::transcode::Scope;
use super::watched::{Motion, Watched};
use super::{CacheState, Done, Job, Node, Outcome, dispatch};
use crate::content::{ClientTag, ContentId};
use crate::http::{ApiError, Deadline};
use crate::lease::{Claim, End, LeaseKey, Lessee, Verdict, home_of};
use crate::offload::OffloadError;
use crate::profile::Profile;
use crate::route::RouteKind;
use crate::store::{Key, Object};
use crate::workers::Place;

/// Longest wait of one question to a home for another node's work, whatever the claim allows.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// And for one's own: then the node that is said to be at work is asked how far it is, and the home again.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Least time that somebody else's work is waited for, where there is as much: many times the longest that is usual.
const PATIENCE_MIN: Duration = Duration::from_secs(60);
/// And so many times what such work usually takes.
const PATIENCE_SERVICES: u32 = 10;
/// Longest wait of one question while it is made here as well: its end is told after the answer.
const AS_WELL_WAIT: Duration = Duration::from_secs(1);
/// Time to find somebody for a job whose home said nothing, and for one that waited in vain for somebody else's work.
const SETTLED_AFTER_SILENCE: Duration = Duration::from_millis(200);
const SETTLED_AFTER_WAIT: Duration = Duration::from_millis(700);
/// Longest wait for the home's word on an upload whose body waits to be asked for.
const UNREAD_ANSWER_MAX: Duration = Duration::from_millis(800);

/// What the home said.
pub(super) enum Claimed {
    /// The result was there, or came while this node waited.
    Found(Done),
    /// The work is this node's to do, by its home's word or without one; the home is told when this is dropped.
    Lease(Lease),
    /// Somebody else is at it, and that lasts; there is a place to make it here as well.
    AsWell(Lease),
    /// To ask was not worth it, or there is no time left.
    Unasked,
}

impl Node {
    /// Asks the home of a job's content, and waits while somebody else makes it. Answers [`Claimed::Lease`] rather than wait
    /// for a home that does not answer: at [`Job::settled_by`], unless the job has a place then, which it keeps in `place`.
    async fn claim(self: &Arc<Self>, job: &mut Job, place: &mut Option<Place>) -> Claimed {
        let key = job.key();
        let (home, rtt) = self.home(&key);
        let usual = self.pool.usual_service(job.client, &job.profile);
        if !is_worth_asking(rtt, usual) {
            return Claimed::Unasked;
        }
        // Before the first question: the home hears of the end, whatever becomes of it.
        let lease = Lease::new(self, Arc::clone(&home), rtt, key.clone());
        tracing::debug!(content = %key.content, home = %home.name, "asking the content's home");
        let mut first = Box::pin(lease.ask(Duration::ZERO));
        let in_time = tokio::time::timeout_at(job.settled_by.into(), &mut first).await;
        let mut answer = if let Ok(answer) = in_time {
            answer
        } else {
            *place = self.expect(job);
            if place.is_none() {
                drop(first);
                job.settle_within(SETTLED_AFTER_SILENCE);
                return Claimed::Lease(lease.kept());
            }
            first.as_mut().await
        };
        drop(first);
        let patient_until = Instant::now() + patience(job.deadline.left(), usual);
        let mut watched = Watched::new();
        loop {
            match answer {
                Ok(Verdict::Yours) => return Claimed::Lease(lease.kept()),
                Ok(Verdict::Held { holders }) => {
                    if let Some(done) = self.fetch_from(job, &holders).await {
                        return Claimed::Found(done);
                    }
                    if home.name != self.identity.name {
                        // Said to be there, and it is not: made here, and then that is what the home knows.
                        return Claimed::Lease(lease.kept());
                    }
                    // What is known here is wrong: forgotten, and asked anew.
                    self.leases.lost(&key);
                }
                // No place is held for what another node makes; unless that lasts, and it can be made here as well.
                Ok(Verdict::Busy { by }) => {
                    drop(place.take());
                    self.pool.hold_booking(&job.profile, job.upload.content);
                    self.look_at(&by, &key, &mut watched).await;
                    if watched.is_idle()
                        && let Some(done) = self.fetch_from(job, std::slice::from_ref(&by)).await
                    {
                        // Done by now, and the home had not heard of it.
                        return Claimed::Found(done);
                    }
                    if Instant::now() >= patient_until || watched.has_stalled() {
                        *place = self.expect(job);
                        let seen = watched.seen();
                        if place.is_some() {
                            tracing::info!(content = %key.content, %by, seen, "not done elsewhere for long: made here as well");
                            return Claimed::AsWell(lease.kept());
                        }
                        if watched.has_stalled() {
                            tracing::info!(content = %key.content, home = %home.name, %by, seen, "not waited for any longer");
                            return Claimed::Lease(lease.kept());
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(home = %home.name, %error, "the content's home does not answer: working without it");
                    return Claimed::Lease(lease.kept());
                }
            }
            let left = job.deadline.left();
            if left.is_zero() {
                return Claimed::Unasked;
            }
            // At the end of patience the answer is wanted at once.
            let patient = patient_until.saturating_duration_since(Instant::now());
            let wait = if patient.is_zero() { LOOK_INTERVAL } else { patient.min(LOOK_INTERVAL) };
            answer = lease.ask(left.min(wait)).await;
            job.settle_within(SETTLED_AFTER_WAIT);
        }
    }

    /// What somebody else makes, waited for while this node is at it, too. None if that came to nothing.
    async fn theirs(self: &Arc<Self>, job: &Job, lease: &Lease) -> Option<Done> {
        loop {
            let left = job.deadline.left();
            if left.is_zero() {
                return None;
            }
            match lease.ask(left.min(AS_WELL_WAIT)).await {
                Ok(Verdict::Busy { .. }) => {}
                Ok(Verdict::Held { holders }) => return self.fetch_from(job, &holders).await,
                Ok(Verdict::Yours) | Err(_) => return None,
            }
        }
    }

    /// Who is home of this, and how far away.
    fn home(&self, key: &LeaseKey) -> (Arc<Identity>, Option<Duration>) {
        let view = self.view();
        let home = Arc::clone(home_of(&view, &key.content, &key.profile));
        let peer = view.peers.iter().find(|peer| peer.identity.name == home.name);
        let rtt = peer.and_then(|peer| peer.rtt).map(|rtt| rtt.mean);
        (home, rtt)
    }

    /// The refusal of an upload whose body need not come: its content is known, nobody has time for it, and by what its home
    /// says nobody holds or makes its result. None if the body has to come.
    pub async fn refuse_unread(
        &self,
        client: ClientTag,
        content: ContentId,
        profile: &Profile,
        deadline: &Deadline,
    ) -> Option<ApiError> {
        let key = Key::new(content, profile);
        if self.flights.is_under_way(&(key.clone(), Scope::Anywhere))
            || !self.is_hopeless(client, profile, content, deadline)
        {
            return None;
        }
        let (home, rtt) = self.home(&key);
        // A lease that is over at once: only to hear whether somebody else has one.
        let answer = self.ask_home(&home, rtt, &key, Duration::ZERO, Duration::ZERO);
        match tokio::time::timeout(UNREAD_ANSWER_MAX, answer).await {
            Ok(Ok(Verdict::Yours) | Err(_)) | Err(_) => {
                Some(self.refuse_content(client, profile, content, None, deadline.allowed, None))
            }
            Ok(Ok(Verdict::Busy { .. } | Verdict::Held { .. })) => None,
        }
    }

    /// One question to a home: for a lease this long, with the answer kept back for `wait` while somebody else has one.
    pub(super) async fn ask_home(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        key: &LeaseKey,
        lease: Duration,
        wait: Duration,
    ) -> Result<Verdict, OffloadError> {
        if home.name == self.identity.name {
            return Ok(self.give_lease(key, &self.lessee(), lease, wait).await);
        }
        let Lessee { name: from, boot } = self.lessee();
        let claim = Claim {
            content: key.content,
            profile: key.profile.clone(),
            recipe: Some(key.recipe),
            from,
            boot,
            lease_ms: lease.as_millis() as u64,
            wait_ms: wait.as_millis() as u64,
        };
        tokio::select! {
            verdict = self.peers.claim_lease(home, rtt, &claim) => verdict,
            () = self.lost(home) => Err(OffloadError::Unreachable("gossip found it dead".into())),
        }
    }

    /// Answers a claim for a content whose home this node is taken for.
    pub async fn give_lease(
        &self,
        key: &LeaseKey,
        lessee: &Lessee,
        lease: Duration,
        wait: Duration,
    ) -> Verdict {
        self.leases.claim_or_wait(key, lessee, lease, wait.min(WAIT_MAX), |lessee| self.lives(lessee)).await
    }

    /// Takes note of a lease's end.
    pub fn end_lease(&self, end: End) {
        let lessee = Lessee { name: end.from, boot: end.boot };
        let key = self.key_of(end.content, end.profile, end.recipe);
        self.leases.end(key, &lessee, end.holders, Instant::now());
    }

    pub(super) fn lessee(&self) -> Lessee {
        Lessee { name: self.identity.name.clone(), boot: self.identity.boot }
    }

    fn lives(&self, lessee: &Lessee) -> bool {
        *lessee == self.lessee()
            || self.view.borrow().peers.iter().any(|peer| {
                peer.identity.name == lessee.name && peer.identity.boot == lessee.boot && peer.state.is_live()
            })
    }

    /// The result from one of the nodes that hold it, nearest first. Half of the time that is left is for making it, if none
    /// of them gives it.
    async fn fetch_from(&self, job: &Job, holders: &[NodeName]) -> Option<Done> {
        let view = self.view();
        let mut live: Vec<_> = view
            .peers
            .iter()
            .filter(|peer| peer.state == MemberState::Alive && holders.contains(&peer.identity.name))
            .collect();
        live.sort_by_key(|peer| peer.rtt.map_or(Duration::MAX, |rtt| rtt.mean));
        let end = Instant::now() + job.deadline.left() / 2;
        for peer in live {
            let fetched = tokio::select! {
                fetched = self.fetch(job, &peer.identity) => fetched,
                () = self.lost(&peer.identity) => {
                    Err(OffloadError::Unreachable("gossip found it dead while it was asked".into()))
                }
                () = tokio::time::sleep_until(end.into()) => return None,
            };
            match fetched {
                Ok(Some(object)) => {
                    let route = if peer.identity.zone == self.identity.zone {
                        RouteKind::SameRegion
                    } else {
                        RouteKind::CrossRegion
                    };
                    let by = Arc::clone(&peer.identity);
                    return Some(Done { object, by, route, cache: CacheState::Hit, scores: "".into() });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::info!(peer = %peer.identity.name, %error, "a held result could not be fetched");
                }
            }
        }
        None
    }

    async fn fetch(&self, job: &Job, peer: &Identity) -> Result<Option<Object>, OffloadError> {
        let Some(delivery) = self.peers.fetch(peer, &job.key()).await? else { return Ok(None) };
        self.take_result(job, peer, delivery, &Motion::default()).await.map(|(object, _)| Some(object))
    }
}

/// Whether to ask a home that far away before work that takes so long: the question and the fetching of a result cost a
/// round trip each. What is not known is no reason not to ask.
fn is_worth_asking(rtt: Option<Duration>, service: Option<Duration>) -> bool {
    match (rtt, service) {
        (Some(rtt), Some(service)) => rtt.saturating_mul(2) <= service,
        _ => true,
    }
}

/// How long somebody else's work is waited for before it is done here as well, if it can be: what is left then is enough for
/// a work that takes as long as this one was waited for.
fn patience(left: Duration, usual: Option<Duration>) -> Duration {
    (usual.unwrap_or_default() * PATIENCE_SERVICES).max(PATIENCE_MIN).min(left / 2)
}

/// Does a job once in the whole cluster, as far as its content's home can be asked. Only what is this node's to make needs a
/// place, and ffprobe is run only for what has one.
pub(super) async fn claim_and_dispatch(node: &Arc<Node>, job: &Job) -> Outcome {
    let (mut job, mut place) = (job.clone(), None);
    let claimed = node.claim(&mut job, &mut place).await;
    job.trail.mark("home");
    // From here on the work is this node's, and whoever waits for it asks how far it is.
    let _life = node.lives.enter(&job.key());
    let (lease, done) = match claimed {
        Claimed::Found(done) => return Ok(done),
        Claimed::Unasked => return find_place(node, &job, place).await,
        Claimed::Lease(lease) => (lease, find_place(node, &job, place).await?),
        Claimed::AsWell(lease) => {
            let done = as_well(node, &mut job, place, &lease).await?;
            (lease, done)
        }
    };
    lease.done(&done);
    Ok(done)
}

/// Makes here as well what somebody else is at. Whichever is there first counts, and ends the other; whoever can't make it goes on
/// waiting, since who began sooner may be about to end.
async fn as_well(node: &Arc<Node>, job: &mut Job, place: Option<Place>, lease: &Lease) -> Outcome {
    let ours = Box::pin(find_place(node, job, place));
    let theirs = Box::pin(node.theirs(job, lease));
    let (refusal, theirs) = match select(ours, theirs).await {
        Either::Left((Err(error), theirs)) if !matches!(error, ApiError::Unprocessable(_)) => (error, theirs),
        Either::Left((outcome, _)) => return outcome,
        Either::Right((Some(done), _)) => return Ok(done),
        Either::Right((None, ours)) => return ours.await,
    };
    tracing::info!(content = %job.upload.content, error = %refusal, "not made here as well: waiting on");
    if let Some(done) = theirs.await {
        return Ok(done);
    }
    if job.deadline.left().is_zero() {
        return Err(job.deadline.passed());
    }
    job.settle_within(SETTLED_AFTER_WAIT);
    find_place(node, job, None).await
}

async fn find_place(node: &Arc<Node>, job: &Job, place: Option<Place>) -> Outcome {
    if let Err(lack) = node.can_make(&job.profile) {
        return dispatch::after_fault(node, job, lack).await;
    }
    if let Some(place) = place.or_else(|| node.expect(job)) {
        return with_place(node, job, place).await;
    }
    match Box::pin(dispatch::elsewhere(node, job)).await {
        Ok(outcome) => outcome,
        // To ask took time, in which a place may have come free.
        Err(retry_after) => match node.expect(job) {
            Some(place) => with_place(node, job, place).await,
            None => Err(node.refuse(job, retry_after)),
        },
    }
}

pub(super) async fn with_place(node: &Arc<Node>, job: &Job, place: Place) -> Outcome {
    let begun = Instant::now();
    let info = match node.probe(job).await {
        Ok(info) => info,
        Err(fault @ (ApiError::Internal(_) | ApiError::Crashed(_))) => {
            drop(place);
            return dispatch::after_fault(node, job, fault).await;
        }
        Err(verdict) => return Err(verdict),
    };
    job.trail.mark("look");
    let time_for_work = job.time_for_work.saturating_sub(begun.elapsed());
    let job = Job { info: Some(info), time_for_work, ..job.clone() };
    Box::pin(dispatch::dispatch(node, &job, place)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_not_asked_where_the_way_costs_more_than_the_work() {
        let ms = |ms| Some(Duration::from_millis(ms));
        assert!(is_worth_asking(ms(90), ms(2_000)));
        assert!(is_worth_asking(ms(90), ms(180)));
        assert!(!is_worth_asking(ms(90), ms(179)));
        assert!(!is_worth_asking(Some(Duration::MAX), ms(2_000)));
        // This node itself, a stranger, the first job: nothing speaks against it.
        assert!(
            is_worth_asking(None, ms(1)) && is_worth_asking(ms(900), None) && is_worth_asking(None, None)
        );
    }

    #[test]
    fn somebody_elses_work_is_never_waited_for_to_the_deadline() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(40), None), seconds(20));
        assert_eq!(patience(seconds(24 * 3600), None), PATIENCE_MIN);
        assert_eq!(patience(seconds(24 * 3600), Some(seconds(1))), PATIENCE_MIN);
        assert_eq!(patience(seconds(24 * 3600), Some(seconds(60))), seconds(600));
    }
}
