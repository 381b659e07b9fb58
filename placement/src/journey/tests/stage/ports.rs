//! The stage as a journey sees it: its ports, which do what the script says and write down that they did.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use starling_overlay::{Identity, LoadSample, MemberState, NodeName, View};

use super::{Pixels, Place, SECOND, Stage};
use crate::content::{ClientTag, Key};
use crate::desk::{Backlog, Estimate, Ready};
use crate::error::WorkError;
use crate::journey::{
    Accepted, CacheState, Event, Fault, Host, Job, Journeys, Life, Motion, OwnDesk, PeerError, Peers,
    Progress, Proposal, Things, Work,
};
use crate::lease::Verdict;
use crate::policy::{
    Avoided, Candidate, Concern, Forecast, Patience, PolicyKind, Question, RouteKind, Router,
};
use crate::profile::ProfileName;

/// A peer's yes.
#[derive(Clone, Copy, Debug)]
pub struct Yes(Ready);

impl Accepted for Yes {
    fn ready(&self) -> Ready {
        self.0
    }
}

impl Things for Stage {
    type Input = ();
    type Facts = Pixels;
    type Reservation = Place;
    type Object = String;
    type Accepted = Yes;
    type Delivery = String;
}

impl Host for Stage {
    fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    async fn lost(&self, peer: &Identity) {
        let lives = |view: Arc<View>| {
            view.peers.iter().any(|member| *member.identity == *peer && member.state == MemberState::Alive)
        };
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !lives(self.view()) {
                return;
            }
            changed.await;
        }
    }

    fn journeys(&self) -> &Journeys<String> {
        &self.journeys
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::task::spawn(task);
    }

    fn tell(&self, event: Event) {
        self.events.lock().push(event.what);
    }

    fn router(&self) -> &Router {
        &self.router
    }

    fn avoided(&self) -> Vec<Avoided> {
        Vec::new()
    }

    fn rank(&self, Question { view, .. }: &Question<'_>, _: usize) -> Vec<Candidate> {
        let script = self.script();
        let forecast = |name: &str| {
            if script.policy != PolicyKind::Eta {
                return None;
            }
            let Some(peer) = script.peers.get(name) else {
                return Some(Forecast::here(Duration::ZERO));
            };
            let (wait, there) = peer.thought;
            Some(Forecast { wait, there, back: Duration::ZERO, tries: 1.0, slowed: 1.0 })
        };
        let candidate = |name: &&str| {
            let member = view.members().find(|member| member.identity.name.as_str() == *name)?;
            Some(Candidate {
                identity: Arc::clone(&member.identity),
                route: match *name {
                    "a" => RouteKind::Local,
                    "b" => RouteKind::SameRegion,
                    _ => RouteKind::CrossRegion,
                },
                score: 0.0,
                rtt: member.rtt.map(|rtt| rtt.mean),
                load: member.load.map(|load| load.sample),
                concern: if script.distrusted.contains(name) { Concern::Distrusted } else { Concern::None },
                hardware: script.hardware.contains(name),
                patience: Patience::LessThanHere,
                work: SECOND,
                forecast: forecast(name),
            })
        };
        script.ranked.iter().filter_map(candidate).collect()
    }

    fn is_distrusted(&self, peer: &Identity) -> bool {
        self.script().distrusted.contains(&peer.name.as_str())
    }

    fn hold_against(&self, peer: &Identity, fault: Fault, _: &str) {
        self.did_now(format!("held against {}: {}", peer.name, fault.as_str()));
    }
}

impl OwnDesk for Stage {
    fn is_draining(&self) -> bool {
        self.script().draining
    }

    fn can_make(&self, _: &ProfileName) -> Result<(), WorkError> {
        self.script().can_make.clone()
    }

    fn reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> Option<Place> {
        let free = self.would_reserve(client, key, deadline);
        self.did_now(if free { "place" } else { "no place" }.to_owned());
        free.then(|| {
            self.taken.fetch_add(1, Ordering::Relaxed);
            Place {
                booked: self.script().booked,
                is_away: std::sync::atomic::AtomicBool::new(false),
                taken: Arc::clone(&self.taken),
            }
        })
    }

    fn send_away(&self, place: &Place) {
        place.hold_nothing();
    }

    fn would_reserve(&self, _: ClientTag, _: &Key, _: Instant) -> bool {
        self.taken() < self.script().places
    }

    fn own_load(&self) -> LoadSample {
        LoadSample::default()
    }

    fn backlog(&self, _: ClientTag, own: Option<&Place>) -> Backlog {
        Backlog { jobs_per_worker_permille: own.map_or(1, |_| 2), wait_ms: self.script().wait_ms }
    }

    fn usual_service(&self, _: ClientTag, _: &ProfileName) -> Option<Duration> {
        self.script().usual_service
    }

    fn estimate(&self, _: ClientTag, _: &ProfileName, _: u64) -> Estimate {
        self.script().estimate
    }

    fn book(&self, _: ClientTag, _: &Key, work_pixels: Option<u64>, _: Duration) -> Option<Duration> {
        self.did_now(format!("book {work_pixels:?}"));
        self.script().book
    }

    fn hold_booking(&self, _: &Key) {
        self.did_now("hold booking".to_owned());
    }
}

impl Work for Stage {
    async fn cached(&self, key: &Key) -> Option<String> {
        self.cache.lock().get(key).cloned()
    }

    async fn probe(&self, _: &Job<Self>) -> Result<Pixels, WorkError> {
        let reply = self.script().probe.next();
        self.did_now("probe".to_owned());
        reply.come().await.map(|()| Pixels(1_000))
    }

    async fn run(
        &self,
        job: &Job<Self>,
        reservation: Option<Place>,
        life: &Life,
    ) -> Result<String, WorkError> {
        let reply = self.script().run.next();
        self.did_now(format!("run{}", if reservation.is_some() { " in its place" } else { "" }));
        // Begun at once: a place is one until its job has a worker.
        drop(reservation);
        life.moves();
        reply.come().await?;
        self.put(&job.key, "a's");
        Ok("a's".to_owned())
    }

    async fn keep(
        &self,
        job: &Job<Self>,
        _: &Identity,
        delivery: String,
        motion: &Motion,
    ) -> Result<(String, CacheState), PeerError> {
        motion.ends();
        self.put(&job.key, &delivery);
        Ok((delivery, CacheState::Miss))
    }
}

impl Peers for Stage {
    async fn ask_home(
        &self,
        home: &Identity,
        _: Option<Duration>,
        _: &Key,
        lease: Duration,
        wait: Duration,
    ) -> Result<Verdict, PeerError> {
        let reply = self.peer(home, |peer| peer.home.next());
        self.did_now(format!("ask {}{}", home.name, if lease.is_zero() { " without a lease" } else { "" }));
        let busy = matches!(reply.what(), Some(Ok(Verdict::Busy { .. })));
        if busy {
            tokio::time::sleep(wait).await;
        }
        reply.come().await
    }

    async fn end_lease(&self, home: &Identity, _: &Key, holders: &[NodeName]) -> Result<(), PeerError> {
        let holders: Vec<_> = holders.iter().map(NodeName::as_str).collect();
        self.did_now(format!("end at {}: {}", home.name, holders.join("+")));
        self.peer(home, |peer| peer.end.next()).come().await
    }

    async fn offer(
        &self,
        peer: &Identity,
        _: Option<Duration>,
        proposal: &Proposal<Pixels>,
    ) -> Result<Yes, PeerError> {
        let (reply, ready) = self.peer(peer, |peer| (peer.offer.next(), peer.ready));
        let seen = if proposal.facts.is_some() { "" } else { " unseen" };
        let compared = if proposal.backlog.is_some() { "" } else { " at any rate" };
        self.did_now(format!("offer {}{seen}{compared}", peer.name));
        if matches!(reply.what(), Some(Ok(()))) {
            self.hold(peer, 1);
        }
        reply.come().await.map(|()| Yes(ready))
    }

    async fn release(&self, peer: &Identity, _: &Yes) {
        self.did_now(format!("release {}", peer.name));
        self.hold(peer, -1);
    }

    async fn send(
        &self,
        peer: &Identity,
        _: &Job<Self>,
        _: &Yes,
        motion: &Motion,
    ) -> Result<String, PeerError> {
        let reply = self.peer(peer, |peer| peer.work.next());
        self.did_now(format!("send {}", peer.name));
        self.hold(peer, -1);
        let body = motion.begins();
        motion.moves(body, 500);
        motion.moves(body, 500);
        reply.come().await?;
        Ok(format!("{}'s", peer.name))
    }

    async fn fetch(&self, peer: &Identity, _: &Key) -> Result<Option<String>, PeerError> {
        let reply = self.peer(peer, |peer| peer.fetch.next());
        self.did_now(format!("fetch {}", peer.name));
        Ok(reply.come().await?.map(|()| format!("held by {}", peer.name)))
    }

    async fn ask_progress(
        &self,
        peer: &Identity,
        _: Option<Duration>,
        _: &Key,
    ) -> Result<Option<Progress>, PeerError> {
        let reply = self.peer(peer, |peer| peer.progress.next());
        reply.come().await
    }
}
