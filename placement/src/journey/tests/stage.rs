//! A node that does what a script says: it answers after a time, or never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, NodeName, Rtt, Stats, Versions,
    View,
};
use tokio::sync::Notify;

use crate::content::{ClientTag, ContentId, Key};
use crate::desk::{Backlog, Estimate};
use crate::error::WorkError;
use crate::journey::{
    CacheState, Event, Facts, Host, Job, Journeys, Life, Motion, OwnDesk, PeerError, Peers, Progress,
    Reservation, Served, Things, TimeBudget, Timings, What, Work, answer, clock,
};
use crate::lease::{Verdict, home_of};
use crate::policy::{Avoided, Candidate, Concern, Patience, Policy, Question, RouteKind, Router};
use crate::profile::ProfileName;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// What comes, and after which time; none: nothing ever comes.
#[derive(Clone, Debug)]
pub struct Reply<T>(Duration, Option<T>);

impl<T> Reply<T> {
    pub fn after(time: Duration, what: T) -> Self {
        Self(time, Some(what))
    }

    pub fn at_once(what: T) -> Self {
        Self(Duration::ZERO, Some(what))
    }

    pub fn never() -> Self {
        Self(Duration::ZERO, None)
    }

    async fn come(self) -> T {
        tokio::time::sleep(self.0).await;
        match self.1 {
            Some(what) => what,
            None => std::future::pending().await,
        }
    }
}

/// One reply after the other; the last one again and again.
#[derive(Clone, Debug)]
pub struct Replies<T>(VecDeque<Reply<T>>);

impl<T: Clone> Replies<T> {
    fn next(&mut self) -> Reply<T> {
        if self.0.len() > 1 {
            return self.0.pop_front().expect("there is more than one");
        }
        self.0.front().expect("there is one at least").clone()
    }
}

impl<T> From<Reply<T>> for Replies<T> {
    fn from(reply: Reply<T>) -> Self {
        Self([reply].into())
    }
}

impl<T, const N: usize> From<[Reply<T>; N]> for Replies<T> {
    fn from(replies: [Reply<T>; N]) -> Self {
        Self(replies.into())
    }
}

/// What a peer says and does.
#[derive(Clone, Debug)]
pub struct Peer {
    pub offer: Replies<Result<(), PeerError>>,
    pub work: Replies<Result<(), PeerError>>,
    pub progress: Replies<Result<Option<Progress>, PeerError>>,
    /// What it holds.
    pub fetch: Replies<Result<Option<()>, PeerError>>,
    /// What it says as a home.
    pub home: Replies<Result<Verdict, PeerError>>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            offer: Reply::after(10 * MS, Ok(())).into(),
            work: Reply::after(SECOND, Ok(())).into(),
            progress: Reply::at_once(Ok(Some(Progress { moved: 0, waits: true }))).into(),
            fetch: Reply::at_once(Ok(None)).into(),
            home: Reply::at_once(Ok(Verdict::Yours)).into(),
        }
    }
}

/// What happens at this node and at the others.
#[derive(Clone, Debug)]
pub struct Script {
    pub peers: BTreeMap<&'static str, Peer>,
    /// The policy's order; `a` is this node.
    pub ranked: Vec<&'static str>,
    /// Places in the own queue.
    pub places: usize,
    pub booked: bool,
    pub can_make: Result<(), WorkError>,
    pub probe: Replies<Result<(), WorkError>>,
    pub run: Replies<Result<(), WorkError>>,
    pub draining: bool,
    pub usual_service: Option<Duration>,
    pub estimate: Estimate,
    /// When a job that is refused may come again.
    pub book: Option<Duration>,
    pub distrusted: Vec<&'static str>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            ranked: vec!["a"],
            places: 1,
            booked: false,
            can_make: Ok(()),
            probe: Reply::after(50 * MS, Ok(())).into(),
            run: Reply::after(SECOND, Ok(())).into(),
            draining: false,
            usual_service: None,
            estimate: Estimate::default(),
            book: None,
            distrusted: Vec::new(),
        }
    }
}

/// The node `a`.
pub struct Stage {
    identity: Arc<Identity>,
    view: Mutex<Arc<View>>,
    changed: Notify,
    journeys: Journeys<String>,
    router: Router,
    script: Mutex<Script>,
    cache: Mutex<BTreeMap<Key, String>>,
    /// What was done, in its order, with the time since the begin.
    done: Mutex<Vec<String>>,
    events: Mutex<Vec<What>>,
    taken: Arc<AtomicUsize>,
    begun: Instant,
}

#[derive(Clone, Copy, Debug)]
pub struct Pixels(pub u64);

impl Facts for Pixels {
    fn work_pixels(&self) -> u64 {
        self.0
    }
}

/// One place of the own queue.
pub struct Place {
    booked: bool,
    taken: Arc<AtomicUsize>,
}

impl Reservation for Place {
    fn is_booked(&self) -> bool {
        self.booked
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

fn identity(name: &str) -> Arc<Identity> {
    let port = u16::from(name.as_bytes()[0]);
    Arc::new(Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(1),
        gossip: ([10, 0, 0, 1], port).into(),
        http_port: port,
        zone: if name < "c" { "FRA" } else { "IAD" }.parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    })
}

fn member(name: &str) -> Member {
    let rtt = Duration::from_millis(u64::from(name.as_bytes()[0] - b'a') * 10);
    Member {
        identity: identity(name),
        state: MemberState::Alive,
        incarnation: Incarnation(0),
        rtt: (name != "a").then_some(Rtt { mean: rtt, min: rtt, jitter: Duration::ZERO }),
        load: None,
        damping: None,
        heard_at: None,
    }
}

impl Stage {
    /// With these peers in the view, all idle and willing.
    pub fn new(peers: &[&'static str], script: impl FnOnce(&mut Script)) -> Arc<Self> {
        let begun = clock::now();
        let mut written = Script::default();
        for peer in peers {
            written.peers.insert(peer, Peer::default());
            written.ranked.push(peer);
        }
        script(&mut written);
        let view = View {
            at: begun,
            local: member("a"),
            peers: peers.iter().map(|name| member(name)).collect(),
            cluster: None,
            converged: None,
            stats: Stats::default(),
        };
        Arc::new(Self {
            identity: identity("a"),
            view: Mutex::new(Arc::new(view)),
            changed: Notify::new(),
            journeys: Journeys::default(),
            router: Router::new(Policy::default(), StdRng::seed_from_u64(1)),
            script: Mutex::new(written),
            cache: Mutex::default(),
            done: Mutex::default(),
            events: Mutex::default(),
            taken: Arc::default(),
            begun,
        })
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock()
    }

    fn peer<T>(&self, identity: &Identity, of: impl FnOnce(&mut Peer) -> T) -> T {
        let mut script = self.script();
        of(script.peers.get_mut(identity.name.as_str()).expect("a peer of the script"))
    }

    /// A job whose content's home is that node, with so much time.
    pub fn job(&self, home: &str, allowed: Duration) -> Job<Self> {
        let key = self.key(home);
        let now = clock::now();
        Job::new((key, 1_000), ClientTag(7), TimeBudget::new(now, allowed), Timings::new(now), ())
    }

    pub fn key(&self, home: &str) -> Key {
        let profile: ProfileName = "360p".parse().unwrap();
        let view = self.view();
        let lives_there = |content: &ContentId| home_of(&view, content, &profile).name.as_str() == home;
        let content = (0..1_000_u32)
            .map(|number| ContentId::of(&number.to_le_bytes()))
            .find(lives_there)
            .expect("each node is home of some");
        Key { content, profile: profile.clone(), recipe: ContentId::of(b"recipe") }
    }

    /// The answer to a job, with what it took.
    pub async fn answer(self: &Arc<Self>, job: Job<Self>) -> (Result<Served<String>, WorkError>, Duration) {
        let begun = clock::now();
        let answer = answer(self, job).await;
        (answer, clock::now() - begun)
    }

    /// Lets all that still goes on come to its end.
    pub async fn settle(&self) {
        tokio::time::sleep(20 * SECOND).await;
    }

    /// What was done so far, in its order.
    pub fn done(&self) -> Vec<String> {
        self.done.lock().clone()
    }

    /// Whether that was done.
    pub fn did(&self, what: &str) -> bool {
        self.count(what) > 0
    }

    pub fn count(&self, what: &str) -> usize {
        self.done.lock().iter().filter(|done| done.as_str() == what).count()
    }

    pub fn events(&self) -> Vec<What> {
        self.events.lock().clone()
    }

    pub fn told(&self, is: impl Fn(&What) -> bool) -> bool {
        self.events.lock().iter().any(is)
    }

    /// Places of the own queue that are held.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn put(&self, key: &Key, object: &str) {
        self.cache.lock().insert(key.clone(), object.to_owned());
    }

    /// Gossip says this of a peer from now on.
    pub fn gossip(&self, name: &str, change: impl FnOnce(&mut Member)) {
        let mut view = self.view.lock();
        let peers = &mut Arc::make_mut(&mut view).peers;
        change(peers.iter_mut().find(|peer| peer.identity.name.as_str() == name).unwrap());
        drop(view);
        self.changed.notify_waiters();
    }

    fn did_now(&self, what: String) {
        self.done.lock().push(what);
    }

    /// Milliseconds since the begin.
    pub fn elapsed(&self) -> Duration {
        clock::now() - self.begun
    }
}

/// A sample of a node that has so many jobs of five seconds each before a new one.
pub fn load(jobs: u16) -> Load {
    let sample = LoadSample {
        queued_jobs: jobs.saturating_sub(1),
        running_jobs: jobs.min(1),
        workers: 1,
        service_ms: 5_000,
        ..LoadSample::default()
    };
    Load { sample, taken: clock::now() }
}

impl Things for Stage {
    type Input = ();
    type Facts = Pixels;
    type Reservation = Place;
    type Object = String;
    type Accepted = ();
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
                concern: Concern::None,
                patience: Patience::LessThanHere,
                work: SECOND,
            })
        };
        self.script().ranked.iter().filter_map(candidate).collect()
    }

    fn is_distrusted(&self, peer: &Identity) -> bool {
        self.script().distrusted.contains(&peer.name.as_str())
    }

    fn stalled(&self, peer: &Identity, _: &str) {
        self.did_now(format!("held against {}", peer.name));
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
            Place { booked: self.script().booked, taken: Arc::clone(&self.taken) }
        })
    }

    fn would_reserve(&self, _: ClientTag, _: &Key, _: Instant) -> bool {
        self.taken() < self.script().places
    }

    fn own_load(&self) -> LoadSample {
        LoadSample::default()
    }

    fn backlog(&self, _: ClientTag, own: Option<&Place>) -> Backlog {
        Backlog { jobs_per_worker_permille: own.map_or(1, |_| 2), wait_ms: None }
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
        let busy = matches!(reply.1, Some(Ok(Verdict::Busy { .. })));
        if busy {
            tokio::time::sleep(wait).await;
        }
        reply.come().await
    }

    async fn end_lease(&self, home: &Identity, _: &Key, holders: &[NodeName]) -> Result<(), PeerError> {
        let holders: Vec<_> = holders.iter().map(NodeName::as_str).collect();
        self.did_now(format!("end at {}: {}", home.name, holders.join("+")));
        Ok(())
    }

    async fn offer(
        &self,
        peer: &Identity,
        _: Option<Duration>,
        job: &Job<Self>,
        backlog: Option<Backlog>,
    ) -> Result<(), PeerError> {
        let reply = self.peer(peer, |peer| peer.offer.next());
        let seen = if job.facts.is_some() { "" } else { " unseen" };
        let compared = if backlog.is_some() { "" } else { " at any rate" };
        self.did_now(format!("offer {}{seen}{compared}", peer.name));
        reply.come().await
    }

    async fn send(
        &self,
        peer: &Identity,
        _: &Job<Self>,
        (): &(),
        motion: &Motion,
    ) -> Result<String, PeerError> {
        let reply = self.peer(peer, |peer| peer.work.next());
        self.did_now(format!("send {}", peer.name));
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

impl Stage {
    /// A place of the own queue, as a peer's job has it.
    pub fn place(&self) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place { booked: false, taken: Arc::clone(&self.taken) }
    }

    pub fn journeys_under_way(&self) -> (usize, usize) {
        self.journeys.under_way()
    }
}

impl Stage {
    /// What this node, as a home, says to a claim of another one.
    pub fn lease(&self, key: &Key, lessee: &crate::lease::Lessee) -> Verdict {
        self.journeys.leases.claim(key, lessee, SECOND, clock::now(), |_| true)
    }

    /// This node, as a home, hears that the result is there.
    pub fn lease_ended(&self, key: &Key, holder: &str) {
        let name: NodeName = holder.parse().unwrap();
        let lessee = crate::lease::Lessee { name: name.clone(), boot: BootEpoch(1) };
        self.journeys.leases.end(key.clone(), &lessee, vec![name], clock::now());
    }
}

impl<T> Replies<T> {
    pub fn of(replies: VecDeque<Reply<T>>) -> Self {
        Self(replies)
    }
}
