//! Asking a content's home before work begins, and telling it how the work ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use starling_overlay::{Identity, MemberState, NodeName};

use super::lease::Lease;
use super::watch::{Motion, Patience, Wait, Watched, look_at};
use super::{CacheState, Done, Event, Job, Journey, Outcome, PeerError, Ports, What, clock};
use crate::content::Key;
use crate::error::WorkError;
use crate::lease::{Lessee, Verdict, home_of};
use crate::policy::RouteKind;

/// Longest wait of one question to a home for another node's work, whatever the claim allows.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);
/// The same of this node's own questions: then the node that is said to be at work is asked how far it is, and the home again.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait of one question while the job is done here, too: its end is told after the answer.
const HEDGED_WAIT: Duration = Duration::from_secs(1);
/// Time to decide where a job goes whose home said nothing, and one that waited in vain for another node's work.
const DECIDED_AFTER_SILENCE: Duration = Duration::from_millis(200);
const DECIDED_AFTER_WAIT: Duration = Duration::from_millis(700);

/// What the home said.
enum Claimed<P: Ports> {
    /// The result was there, or came while this node waited.
    Found(Done<P::Object>),
    /// The work is this node's to do, by its home's word or without one; the home is told when this is dropped.
    Leased(Lease<P>),
    /// Another node is at it, and that lasts; there is a place to do it here, too.
    Hedged(Lease<P>),
    /// The home had not answered when it had to be decided, and this is what came of the job without its word.
    Decided(Lease<P>, Outcome<P::Object>),
    /// To ask was not worth it, or there is no time left.
    Unasked,
}

impl<P: Ports> Journey<P> {
    /// Does the job once in the whole cluster, as far as its content's home can be asked. Only what is this node's to make needs a
    /// place, and a look is had only at what has one.
    pub(super) async fn run(mut self) -> Outcome<P::Object> {
        let claimed = self.claim().await;
        self.job.timings.mark("home");
        // From here on the work is this node's, and whoever waits for it asks how far it is.
        let _life = self.ports.journeys().lives.enter(&self.job.key);
        let (lease, done) = match claimed {
            Claimed::Found(done) => return Ok(done),
            Claimed::Unasked => return self.make().await,
            Claimed::Leased(lease) => (lease, self.make().await?),
            Claimed::Decided(lease, outcome) => (lease, outcome?),
            Claimed::Hedged(lease) => {
                let done = self.make_beside(&lease).await?;
                (lease, done)
            }
        };
        lease.done(&done);
        Ok(done)
    }

    /// Asks the home of the job's content, and waits while another node makes it. A home that has not answered when it has to be
    /// decided is waited for if the job has a place then, which it keeps; else the job is made elsewhere meanwhile, if a peer takes it.
    async fn claim(&mut self) -> Claimed<P> {
        let (ports, key) = (Arc::clone(&self.ports), self.job.key.clone());
        let (home, rtt) = home(&*ports, &key);
        let usual = ports.usual_service(self.job.client, &key.profile);
        if !is_worth_asking(rtt, usual) {
            return Claimed::Unasked;
        }
        // Before the first question: the home hears of the end, whatever becomes of it.
        let lease = Lease::new(&ports, Arc::clone(&home), rtt, key.clone());
        self.tell(What::HomeAsked { home: home.name.clone() });
        let mut first = Box::pin(lease.ask(Duration::ZERO));
        let in_time = clock::timeout_at(self.job.budget.decide_by(), &mut first).await;
        let mut answer = if let Ok(answer) = in_time {
            answer
        } else if self.reserve() {
            first.as_mut().await
        } else {
            self.job.budget.decide_within(DECIDED_AFTER_SILENCE);
            match self.make_until_told(&lease, &mut first).await {
                Told::Answer(answer) => answer,
                Told::Outcome(outcome) => {
                    drop(first);
                    return Claimed::Decided(lease, outcome);
                }
            }
        };
        drop(first);
        let (waits_since, left_then) = (clock::now(), self.job.budget.left());
        let mut watched = Watched::new();
        loop {
            match answer {
                Ok(Verdict::Yours) => return Claimed::Leased(lease.kept()),
                Ok(Verdict::Held { holders }) => {
                    if let Some(done) = fetch_from(&*ports, &self.job, &holders).await {
                        return Claimed::Found(done);
                    }
                    if home.name != ports.identity().name {
                        // Said to be there, and it is not: made here, and then that is what the home knows.
                        return Claimed::Leased(lease.kept());
                    }
                    // What is known here is wrong: forgotten, and asked anew.
                    ports.journeys().leases.lost(&key);
                }
                Ok(Verdict::Busy { by }) => {
                    let patience = self.patience(waits_since, left_then);
                    if let Some(claimed) = self.look_at_other(&by, &mut watched, patience).await {
                        return match claimed {
                            Other::Done(done) => Claimed::Found(done),
                            Other::Slow => Claimed::Hedged(lease.kept()),
                            Other::Stalled => {
                                let (home, seen) = (home.name.clone(), watched.seen());
                                self.tell(What::NotWaitedFor { home, by, seen });
                                Claimed::Leased(lease.kept())
                            }
                        };
                    }
                }
                Err(error) => {
                    self.tell(What::HomeSilent { home: home.name.clone(), error });
                    return Claimed::Leased(lease.kept());
                }
            }
            let left = self.job.budget.left();
            if left.is_zero() {
                return Claimed::Unasked;
            }
            // At the end of patience the answer is wanted at once.
            let patient = clock::left(self.patience(waits_since, left_then).until);
            let wait = if patient.is_zero() { LOOK_INTERVAL } else { patient.min(LOOK_INTERVAL) };
            answer = lease.ask(left.min(wait)).await;
            self.job.budget.decide_within(DECIDED_AFTER_WAIT);
        }
    }

    /// Does the job wherever there is a place for it, until the home says that another node makes it, or has. The answer comes late
    /// where the home is far and no connection to it is open, and is as good as one in time: what was begun meanwhile ends.
    async fn make_until_told(
        &mut self,
        lease: &Lease<P>,
        answer: &mut (impl Future<Output = Result<Verdict, PeerError>> + Unpin),
    ) -> Told<P> {
        match select(Box::pin(self.make()), answer).await {
            Either::Left((outcome, _)) => Told::Outcome(outcome),
            Either::Right((answer @ Ok(Verdict::Busy { .. } | Verdict::Held { .. }), _)) => {
                Told::Answer(answer)
            }
            Either::Right((Ok(Verdict::Yours) | Err(_), make)) => {
                lease.keep();
                Told::Outcome(make.await)
            }
        }
    }

    /// How long another node's work is waited for that gets on, by what such work is known to take here by now.
    fn patience(&self, since: Instant, left: Duration) -> Patience {
        Wait { ports: &*self.ports, job: &self.job, since, left }.patience()
    }

    /// Looks at the work of the node that has the lease: whether it is waited for any longer. None: it is.
    async fn look_at_other(
        &mut self,
        by: &NodeName,
        watched: &mut Watched,
        patience: Patience,
    ) -> Option<Other<P>> {
        // No place is held for what another node makes; unless that lasts, and it can be made here, too.
        self.reservation = None;
        let (ports, key) = (&*self.ports, &self.job.key);
        ports.hold_booking(key);
        look_at(ports, by, key, watched).await;
        if watched.is_idle()
            && let Some(done) = fetch_from(ports, &self.job, std::slice::from_ref(by)).await
        {
            // Done by now, and the home had not heard of it.
            return Some(Other::Done(done));
        }
        if !patience.is_over_at(clock::now(), watched) && !watched.has_stalled() {
            return None;
        }
        if self.reserve() {
            let (by, seen) = (by.clone(), watched.seen());
            self.tell(What::HedgedHere { by, seen });
            return Some(Other::Slow);
        }
        watched.has_stalled().then_some(Other::Stalled)
    }

    /// Does the job here beside another node. Whichever is there first counts, and ends the other; where it can't be done here, the
    /// other is waited for: it began sooner, and may be about to end.
    async fn make_beside(&mut self, lease: &Lease<P>) -> Outcome<P::Object> {
        let (ports, other) = (Arc::clone(&self.ports), self.job.clone());
        let theirs = Box::pin(made_elsewhere(&*ports, &other, lease));
        let ours = Box::pin(self.make());
        let (error, theirs) = match select(ours, theirs).await {
            Either::Left((Err(error), theirs)) if !matches!(error, WorkError::Unusable { .. }) => {
                (error, theirs)
            }
            Either::Left((outcome, _)) => return outcome,
            Either::Right((Some(done), _)) => return Ok(done),
            Either::Right((None, ours)) => return ours.await,
        };
        self.tell(What::HedgeFailed { error });
        if let Some(done) = theirs.await {
            return Ok(done);
        }
        if self.job.budget.is_over() {
            return Err(WorkError::TooLate);
        }
        self.job.budget.decide_within(DECIDED_AFTER_WAIT);
        self.make().await
    }

    pub(super) fn tell(&self, what: What) {
        self.ports.tell(Event { key: self.job.key.clone(), what });
    }
}

/// What came first.
enum Told<P: Ports> {
    /// The home's answer, by which the job is not this node's.
    Answer(Result<Verdict, PeerError>),
    /// What came of the job.
    Outcome(Outcome<P::Object>),
}

/// Why another node's work is not waited for any longer.
enum Other<P: Ports> {
    /// It is done, and here is its result.
    Done(Done<P::Object>),
    /// It takes long, and there is a place here.
    Slow,
    /// Nothing of it moves, and there is no place here.
    Stalled,
}

/// What another node makes, waited for while this node is at it, too. None if that came to nothing.
async fn made_elsewhere<P: Ports>(ports: &P, job: &Job<P>, lease: &Lease<P>) -> Option<Done<P::Object>> {
    loop {
        let left = job.budget.left();
        if left.is_zero() {
            return None;
        }
        match lease.ask(left.min(HEDGED_WAIT)).await {
            Ok(Verdict::Busy { .. }) => {}
            Ok(Verdict::Held { holders }) => return fetch_from(ports, job, &holders).await,
            Ok(Verdict::Yours) | Err(_) => return None,
        }
    }
}

/// The home of this, and how far away it is.
pub(super) fn home<P: Ports>(ports: &P, key: &Key) -> (Arc<Identity>, Option<Duration>) {
    let view = ports.view();
    let home = Arc::clone(home_of(&view, &key.content, &key.profile));
    let rtt = view.peer(&home.name).and_then(|peer| peer.rtt).map(|rtt| rtt.mean);
    (home, rtt)
}

/// One question to a home: for a lease this long, with the answer kept back for `wait` while another node has one.
pub(super) async fn ask_home<P: Ports>(
    ports: &P,
    home: &Identity,
    rtt: Option<Duration>,
    key: &Key,
    lease: Duration,
    wait: Duration,
) -> Result<Verdict, PeerError> {
    if home.name == ports.identity().name {
        return Ok(super::give_lease(ports, key, &lessee(ports), lease, wait).await);
    }
    tokio::select! {
        biased;
        verdict = ports.ask_home(home, rtt, key, lease, wait) => verdict,
        () = ports.lost(home) => Err(PeerError::Unreachable("gossip found it dead".into())),
    }
}

pub(super) fn lessee<P: Ports>(ports: &P) -> Lessee {
    let identity = ports.identity();
    Lessee { name: identity.name.clone(), boot: identity.boot }
}

/// Whether a lessee is believed to live.
pub(super) fn lives<P: Ports>(ports: &P, lessee: &Lessee) -> bool {
    let own = ports.identity();
    (own.name == lessee.name && own.boot == lessee.boot)
        || ports
            .view()
            .peer(&lessee.name)
            .is_some_and(|peer| peer.identity.boot == lessee.boot && peer.state.is_live())
}

/// The result from one of the nodes that hold it, nearest first. Half of the time that is left is for making it, if none
/// of them gives it.
async fn fetch_from<P: Ports>(ports: &P, job: &Job<P>, holders: &[NodeName]) -> Option<Done<P::Object>> {
    let mut live: Vec<_> = {
        let view = ports.view();
        let live = view
            .peers
            .iter()
            .filter(|peer| peer.state == MemberState::Alive && holders.contains(&peer.identity.name));
        live.map(|peer| (peer.rtt.map_or(Duration::MAX, |rtt| rtt.mean), Arc::clone(&peer.identity)))
            .collect()
    };
    live.sort_by_key(|(rtt, _)| *rtt);
    let end = clock::now() + job.budget.left() / 2;
    for (_, peer) in live {
        let fetched = tokio::select! {
            biased;
            fetched = fetch(ports, job, &peer) => fetched,
            () = ports.lost(&peer) => {
                Err(PeerError::Unreachable("gossip found it dead while it was asked".into()))
            }
            () = clock::sleep_until(end) => return None,
        };
        match fetched {
            Ok(Some(object)) => {
                let route = RouteKind::between(&ports.identity().zone, &peer.zone);
                return Some(Done { object, by: peer, route, cache: CacheState::Hit, scores: "".into() });
            }
            Ok(None) => {}
            Err(error) => {
                let what = What::NotFetched { peer: peer.name.clone(), error };
                ports.tell(Event { key: job.key.clone(), what });
            }
        }
    }
    None
}

async fn fetch<P: Ports>(ports: &P, job: &Job<P>, peer: &Identity) -> Result<Option<P::Object>, PeerError> {
    let Some(delivery) = ports.fetch(peer, &job.key).await? else { return Ok(None) };
    ports.keep(job, peer, delivery, &Motion::default()).await.map(|(object, _)| Some(object))
}

/// Whether to ask a home that far away before work that takes so long: the question and the fetching of a result cost a
/// round trip each. What is not known is no reason not to ask.
fn is_worth_asking(rtt: Option<Duration>, service: Option<Duration>) -> bool {
    match (rtt, service) {
        (Some(rtt), Some(service)) => rtt.saturating_mul(2) <= service,
        _ => true,
    }
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
