//! Asking a content's home before work begins, and telling it how the work ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, MemberState, NodeName};

use super::transcode::Scope;
use super::{CacheState, Done, Job, Node, Outcome, dispatch};
use crate::cache::Key;
use crate::content::ContentId;
use crate::http::{ApiError, Deadline};
use crate::lease::{Claim, End, LeaseKey, Lessee, Verdict, home_of};
use crate::offload::OffloadError;
use crate::profile::Profile;
use crate::route::RouteKind;
use crate::workers::Place;

/// Longest wait of one question to a home for somebody else's work; then it is asked again.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the home's word on an upload whose body waits to be asked for.
const UNREAD_ANSWER_MAX: Duration = Duration::from_millis(800);

/// What the home said.
pub(super) enum Claimed {
    /// The result was there, or came while this node waited.
    Found(Done),
    /// The work is this node's to do; the home is told when this is dropped.
    Lease(Lease),
    /// The home could not be asked, or it was not worth it.
    Unasked,
}

/// A lease, ended on drop.
pub(super) struct Lease {
    node: Arc<Node>,
    home: Arc<Identity>,
    key: LeaseKey,
    holders: Vec<NodeName>,
}

impl Lease {
    /// The work succeeded: whoever asks next is sent to these nodes.
    pub(super) fn done(mut self, done: &Done) {
        self.holders = vec![self.node.identity.name.clone()];
        if done.by.name != self.node.identity.name {
            self.holders.push(done.by.name.clone());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let holders = std::mem::take(&mut self.holders);
        if self.home.name == self.node.identity.name {
            self.node.leases.end(self.key.clone(), &self.node.lessee(), holders, Instant::now());
            return;
        }
        let (content, profile) = self.key.clone();
        let Lessee { name: from, boot } = self.node.lessee();
        let end = End { content, profile, from, boot, holders };
        let (node, home) = (Arc::clone(&self.node), Arc::clone(&self.home));
        // Ends by itself: with the answer, or with the time that the peer client gives it.
        tokio::spawn(async move {
            if let Err(error) = node.peers.end_lease(&home, &end).await {
                tracing::debug!(home = %home.name, %error, "a lease's end was not told: it runs out by itself");
            }
        });
    }
}

impl Node {
    /// Asks the home of a job's content, and waits while somebody else makes it. Answers [`Claimed::Unasked`] rather than wait
    /// for a home that does not answer: at [`Job::settled_by`], unless the job has a place then, which it keeps in `place`.
    async fn claim(self: &Arc<Self>, job: &Job, place: &mut Option<Place>) -> Claimed {
        let key: LeaseKey = (job.upload.content, job.profile.name.clone());
        let (home, rtt) = self.home(&key);
        if !is_worth_asking(rtt, self.pool.usual_service(&job.profile)) {
            return Claimed::Unasked;
        }
        let mine =
            |holders| Lease { node: Arc::clone(self), home: Arc::clone(&home), key: key.clone(), holders };
        let mut first = std::pin::pin!(self.ask(&home, rtt, &key, job.deadline.left(), Duration::ZERO));
        let in_time = tokio::time::timeout_at(job.settled_by.into(), &mut first).await;
        let mut answer = if let Ok(answer) = in_time {
            answer
        } else {
            *place = self.expect(job);
            if place.is_none() {
                // It may have been given all the same.
                drop(mine(Vec::new()));
                return Claimed::Unasked;
            }
            first.await
        };
        loop {
            match answer {
                Ok(Verdict::Yours) => return Claimed::Lease(mine(Vec::new())),
                Ok(Verdict::Held { holders }) => {
                    if let Some(done) = self.fetch_from(job, &holders).await {
                        return Claimed::Found(done);
                    }
                    if home.name != self.identity.name {
                        // Said to be there, and it is not: made here, and then that is what the home knows.
                        return Claimed::Lease(mine(Vec::new()));
                    }
                    // What is known here is wrong: forgotten, and asked anew.
                    self.leases.lost(&key);
                }
                // No place is held for what somebody else makes.
                Ok(Verdict::Busy) => drop(place.take()),
                Err(error) => {
                    tracing::debug!(home = %home.name, %error, "the content's home does not answer: working without it");
                    return Claimed::Unasked;
                }
            }
            if job.deadline.left().is_zero() {
                return Claimed::Unasked;
            }
            answer = self.ask(&home, rtt, &key, job.deadline.left(), WAIT_MAX).await;
        }
    }

    /// Who is home of this, and how far away.
    fn home(&self, key: &LeaseKey) -> (Arc<Identity>, Option<Duration>) {
        let view = self.view();
        let home = Arc::clone(home_of(&view, &key.0, &key.1));
        let peer = view.peers.iter().find(|peer| peer.identity.name == home.name);
        let rtt = peer.and_then(|peer| peer.rtt).map(|rtt| rtt.mean);
        (home, rtt)
    }

    /// The refusal of an upload whose body need not come: its content is known, nobody has time for it, and by what its home
    /// says nobody holds or makes its result. None if the body has to come.
    pub async fn refuse_unread(
        &self,
        content: ContentId,
        profile: &Profile,
        deadline: &Deadline,
    ) -> Option<ApiError> {
        let key: LeaseKey = (content, profile.name.clone());
        if self.flights.is_under_way(&(Key::new(content, profile), Scope::Anywhere))
            || !self.is_hopeless(profile, content, deadline)
        {
            return None;
        }
        let (home, rtt) = self.home(&key);
        // A lease that is over at once: only to hear whether somebody else has one.
        let answer = self.ask(&home, rtt, &key, Duration::ZERO, Duration::ZERO);
        match tokio::time::timeout(UNREAD_ANSWER_MAX, answer).await {
            Ok(Ok(Verdict::Yours) | Err(_)) | Err(_) => {
                Some(self.refuse_content(profile, content, None, deadline.allowed, None))
            }
            Ok(Ok(Verdict::Busy | Verdict::Held { .. })) => None,
        }
    }

    async fn ask(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        key: &LeaseKey,
        left: Duration,
        wait_max: Duration,
    ) -> Result<Verdict, OffloadError> {
        let wait = left.min(wait_max);
        if home.name == self.identity.name {
            return Ok(self.give_lease(key, &self.lessee(), left, wait).await);
        }
        let Lessee { name: from, boot } = self.lessee();
        let claim = Claim {
            content: key.0,
            profile: key.1.clone(),
            from,
            boot,
            lease_ms: left.as_millis() as u64,
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
        self.leases.end((end.content, end.profile), &lessee, end.holders, Instant::now());
    }

    pub(super) fn lessee(&self) -> Lessee {
        Lessee { name: self.identity.name.clone(), boot: self.identity.boot }
    }

    fn lives(&self, lessee: &Lessee) -> bool {
        *lessee == self.lessee()
            || self.view.borrow().peers.iter().any(|peer| {
                peer.identity.name == lessee.name
                    && peer.identity.boot == lessee.boot
                    && matches!(peer.state, MemberState::Alive | MemberState::Suspect)
            })
    }

    /// The result from one of the nodes that hold it, nearest first.
    async fn fetch_from(&self, job: &Job, holders: &[NodeName]) -> Option<Done> {
        let view = self.view();
        let mut live: Vec<_> = view
            .peers
            .iter()
            .filter(|peer| peer.state == MemberState::Alive && holders.contains(&peer.identity.name))
            .collect();
        live.sort_by_key(|peer| peer.rtt.map_or(Duration::MAX, |rtt| rtt.mean));
        for peer in live {
            let path = format!("/objects/{}/{}", job.upload.content, job.profile.name);
            let exchange = async {
                match self.peers.fetch(&peer.identity, &path).await? {
                    Some(response) => self.take_result(job, &peer.identity, response).await.map(Some),
                    None => Ok(None),
                }
            };
            let fetched = tokio::time::timeout_at(job.deadline.at.into(), exchange).await;
            match fetched {
                Ok(Ok(Some((object, _)))) => {
                    let route = if peer.identity.zone == self.identity.zone {
                        RouteKind::SameRegion
                    } else {
                        RouteKind::CrossRegion
                    };
                    let by = Arc::clone(&peer.identity);
                    return Some(Done { object, by, route, cache: CacheState::Hit, scores: "".into() });
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::info!(peer = %peer.identity.name, %error, "a held result could not be fetched");
                }
                Err(_) => return None,
            }
        }
        None
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

/// Does a job once in the whole cluster, as far as its content's home can be asked. Only what is this node's to make needs a
/// place, and ffprobe is run only for what has one.
pub(super) async fn claim_and_dispatch(node: &Arc<Node>, job: &Job) -> Outcome {
    let mut place = None;
    let claimed = node.claim(job, &mut place).await;
    job.trail.mark("home");
    let lease = match claimed {
        Claimed::Found(done) => return Ok(done),
        Claimed::Lease(lease) => Some(lease),
        Claimed::Unasked => None,
    };
    let done = find_place(node, job, place).await?;
    if let Some(lease) = lease {
        lease.done(&done);
    }
    Ok(done)
}

async fn find_place(node: &Arc<Node>, job: &Job, place: Option<Place>) -> Outcome {
    if let Some(place) = place.or_else(|| node.expect(job)) {
        return with_place(node, job, place).await;
    }
    match dispatch::elsewhere(node, job).await {
        Ok(outcome) => outcome,
        // To ask took time, in which a place may have come free.
        Err(retry_after) => match node.expect(job) {
            Some(place) => with_place(node, job, place).await,
            None => Err(node.refuse(job, retry_after)),
        },
    }
}

async fn with_place(node: &Arc<Node>, job: &Job, place: Place) -> Outcome {
    let info = node.probe(job).await?;
    job.trail.mark("look");
    let job = Job { info: Some(info), ..job.clone() };
    dispatch::dispatch(node, &job, place).await
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
}
