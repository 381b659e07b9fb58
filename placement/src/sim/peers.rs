//! What nodes say to each other, over links with delay and rate, to peers that may be stopped or gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use starling_overlay::{Identity, NodeName};
use tokio::sync::oneshot;

use super::bench::Place;
use super::cluster::index_of;
use super::node::{Delivery, Pixels, SimNode, Video, Yes};
use super::offers::Held;
use super::setup::Plant;
use crate::content::Key;
use crate::desk::Asked;
use crate::error::WorkError;
use crate::journey::{
    self, CacheState, Facts, Job, Motion, OwnDesk, PeerError, Peers, Progress, Proposal,
    QUESTION_TIMEOUT_MAX, TimeBudget, Timings, clock, progress_timeout, question_timeout,
};
use crate::lease::{Lessee, Verdict};

fn reset() -> PeerError {
    PeerError::Unreachable("the connection broke".to_owned())
}

/// What work that ended without a result means for the node that asked for it.
fn ended(error: WorkError) -> PeerError {
    let (told, reason) = (error.retry_after(), error.to_string());
    PeerError::of_ended(Some(error), reason, told)
}

type Answering<T> = BoxFuture<'static, T>;

impl SimNode {
    /// A question and its answer; `bound`: for all of it.
    async fn question<T: Send + 'static>(
        &self,
        peer: &Identity,
        bound: Duration,
        handler: impl FnOnce(Arc<Self>) -> Answering<T> + Send,
    ) -> Result<T, PeerError> {
        let silence = || PeerError::Unreachable(format!("no answer within {} ms", bound.as_millis()));
        let answer = tokio::time::timeout(bound, self.exchange(peer, handler)).await;
        answer.unwrap_or_else(|_| {
            self.cluster.unanswered(self.index);
            Err(silence())
        })
    }

    async fn exchange<T: Send + 'static>(
        &self,
        peer: &Identity,
        handler: impl FnOnce(Arc<Self>) -> Answering<T> + Send,
    ) -> Result<T, PeerError> {
        let to = index_of(&peer.name);
        self.cluster.network.connect(self.index, to).await;
        self.cluster.network.message(self.index, to).await;
        let node = self.there(to).await?;
        let answering = handler(Arc::clone(&node));
        self.answer_of(&node, answering).await
    }

    /// What a node's task says, once that has come back.
    async fn answer_of<T: Send + 'static>(
        &self,
        node: &Arc<Self>,
        answering: Answering<T>,
    ) -> Result<T, PeerError> {
        let (mut tell, told) = oneshot::channel();
        node.process.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                answer = answering => drop(tell.send(answer)),
                // Its asker has closed the connection.
                () = tell.closed() => {}
            }
        }));
        let Ok(answer) = told.await else {
            node.process.closed().await;
            self.cluster.unanswered(self.index);
            return Err(reset());
        };
        self.cluster.network.message(node.index, self.index).await;
        Ok(answer)
    }

    /// The node at a place, which a question has reached; an error if none runs there and its machine says so.
    async fn there(&self, to: usize) -> Result<Arc<Self>, PeerError> {
        match self.cluster.node(to) {
            Some(node) => Ok(node),
            None if self.cluster.is_silent(to) => std::future::pending().await,
            None => {
                self.cluster.network.message(to, self.index).await;
                self.cluster.unanswered(self.index);
                Err(PeerError::Unreachable("connection refused".to_owned()))
            }
        }
    }

    /// A body comes from another node; ends early if that is gone.
    pub(super) async fn body_from(
        &self,
        from: usize,
        bytes: u64,
        mut moves: impl FnMut(usize) + Send,
    ) -> Result<(), PeerError> {
        let Some(node) = self.cluster.node(from) else { return Err(reset()) };
        self.cluster.carries(from, self.index, bytes);
        tokio::select! {
            biased;
            () = node.process.closed() => Err(reset()),
            () = self.cluster.network.body((from, self.index), bytes, &node.process, |bytes| moves(bytes as usize)) => Ok(()),
        }
    }

    /// The answer to an offer.
    fn consider(&self, from: usize, proposal: Proposal<Pixels>) -> Result<Yes, WorkError> {
        if self.is_draining() {
            return Err(WorkError::Draining);
        }
        let seat =
            self.offers.enter(from).ok_or(WorkError::Saturated { retry_after: Duration::from_secs(1) })?;
        let Proposal { key, client, facts, backlog, budget, .. } = proposal;
        let pixels = facts.map(|facts| facts.work_pixels());
        let asked = Asked {
            client,
            content: key.content,
            profile: &key.profile,
            work_pixels: pixels,
            deadline: clock::now() + budget.left(),
            backlog,
        };
        let (granted, ready) = self.bench().desk.consider(clock::now(), &asked)?;
        let place = self.granted(granted, &key);
        Ok(Yes { id: self.hold(Held { key, client, pixels }, place, seat), ready })
    }

    /// Does a job whose offer was accepted and whose video is here.
    async fn work_for_peer(
        self: Arc<Self>,
        (held, place): (Held, Place),
        video: Video,
        budget: TimeBudget,
    ) -> Result<Delivery, WorkError> {
        let Held { key, client, pixels, .. } = held;
        let _owner = self.cluster.owns(self.index, &key);
        let mut job = Job::new((key, 0), client, budget, Timings::new(clock::now()), video);
        job.facts = pixels.map(Pixels);
        let served = journey::work_here(&self, &job, Some(place)).await?;
        let was_held = served.cache == CacheState::Hit;
        Ok(Delivery { from: self.index, object: served.object, was_held })
    }

    /// Remembers how a peer answered.
    fn heard<T>(&self, peer: &Identity, answer: Result<T, PeerError>) -> Result<T, PeerError> {
        // What a node would log of it is no part of a run.
        self.standings.heard(clock::now(), peer, &answer);
        answer
    }
}

impl Peers for SimNode {
    async fn ask_home(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        key: &Key,
        lease: Duration,
        wait: Duration,
    ) -> Result<Verdict, PeerError> {
        self.standings.may_ask(clock::now(), home)?;
        let lessee = Lessee { name: self.identity.name.clone(), boot: self.identity.boot };
        let (from, key) = (self.index, key.clone());
        self.cluster.asks_home(index_of(&home.name));
        let answer = self.question(home, question_timeout(rtt) + wait, move |node| {
            Box::pin(async move {
                if node.cluster.setup.plant == Some(Plant::LeaseToAll) {
                    return Verdict::Yours;
                }
                let verdict = journey::give_lease(&*node, &key, &lessee, lease, wait).await;
                node.cluster.gave(&key, from, &verdict);
                verdict
            })
        });
        let answer = answer.await;
        self.heard(home, answer)
    }

    async fn end_lease(&self, home: &Identity, key: &Key, holders: &[NodeName]) -> Result<(), PeerError> {
        let lessee = Lessee { name: self.identity.name.clone(), boot: self.identity.boot };
        let (key, holders) = (key.clone(), holders.to_vec());
        let answer = self.question(home, QUESTION_TIMEOUT_MAX, move |node| {
            Box::pin(async move { node.journeys.leases.end(key, &lessee, holders, clock::now()) })
        });
        let answer = answer.await;
        self.heard(home, answer)
    }

    async fn offer(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        proposal: &Proposal<Pixels>,
    ) -> Result<Yes, PeerError> {
        self.standings.may_offer(clock::now(), peer)?;
        self.cluster.offers(self.index, index_of(&peer.name));
        let (from, proposal) = (self.index, proposal.clone());
        let answer = self.question(peer, question_timeout(rtt), move |node| {
            Box::pin(async move { node.consider(from, proposal) })
        });
        let answer = answer.await.and_then(|answer| answer.map_err(ended));
        self.heard(peer, answer)
    }

    async fn release(&self, peer: &Identity, accepted: &Yes) {
        let id = accepted.id;
        let told = self.question(peer, QUESTION_TIMEOUT_MAX, move |node| {
            Box::pin(async move { node.offers.release(id) })
        });
        // Lost, it costs the place for as long as it is held.
        drop(told.await);
    }

    async fn send(
        &self,
        peer: &Identity,
        job: &Job<Self>,
        accepted: &Yes,
        motion: &Motion,
    ) -> Result<Delivery, PeerError> {
        let (to, allowed) = (index_of(&peer.name), clock::left(job.budget.limit()));
        self.cluster.waits(job.input.requester, job.key.content);
        self.cluster.hands(self.index, to);
        let sent = async {
            self.cluster.network.message(self.index, to).await;
            let node = self.there(to).await?;
            node.process.runs().await;
            let (held, (place, seat)) = match node.offers.take(accepted.id) {
                Ok(taken) => taken,
                Err(error) => {
                    self.cluster.network.message(to, self.index).await;
                    self.cluster.expired(to);
                    return Err(PeerError::of_ended(None, error.to_string(), None));
                }
            };
            let owner = self.cluster.owns(to, &job.key);
            let life = node.journeys.lives.enter(&job.key);
            self.cluster.carries(self.index, to, job.bytes);
            let body = motion.begins();
            tokio::select! {
                biased;
                () = node.process.closed() => return Err(reset()),
                () = self.cluster.network.body((self.index, to), job.bytes, &node.process, |bytes| {
                    life.moves();
                    motion.moves(body, bytes as usize);
                }) => {}
            }
            // It has brought what it offered.
            drop(seat);
            life.waits();
            let budget = TimeBudget::new(clock::now(), allowed);
            let working = Box::pin(Arc::clone(&node).work_for_peer((held, place), job.input, budget));
            let delivered = self.answer_of(&node, working).await?;
            drop(owner);
            delivered.map_err(ended)
        };
        let sent = sent.await;
        self.heard(peer, sent)
    }

    async fn fetch(&self, peer: &Identity, key: &Key) -> Result<Option<Delivery>, PeerError> {
        self.standings.may_ask(clock::now(), peer)?;
        let key = key.clone();
        let answer = self.question(peer, QUESTION_TIMEOUT_MAX, move |node| {
            Box::pin(async move {
                let object = Self::cached(&node, &key)?;
                Some(Delivery { from: node.index, object, was_held: true })
            })
        });
        let answer = answer.await;
        self.heard(peer, answer)
    }

    async fn ask_progress(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        key: &Key,
    ) -> Result<Option<Progress>, PeerError> {
        let (bound, key) = (progress_timeout(rtt), key.clone());
        self.question(peer, bound, move |node| Box::pin(async move { node.journeys.lives.progress(&key) }))
            .await
    }
}
