//! A node that does what a script says: it answers after a time, or never.

mod ports;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{
    BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, NodeName, Rtt, Stats, Versions,
    View,
};
use tokio::sync::Notify;

pub use self::script::{Peer, Replies, Reply, Script};
use crate::content::{ClientTag, ContentId, Key};
use crate::error::WorkError;
use crate::journey::{
    Facts, Host, Job, Journeys, Reservation, Served, TimeBudget, Timings, What, answer, clock,
};
use crate::lease::{Lessee, Verdict, home_of};
use crate::policy::{Policy, Router};
use crate::profile::ProfileName;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

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
    /// Places that peers hold for this node.
    held: Mutex<BTreeMap<NodeName, isize>>,
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
    is_away: AtomicBool,
    taken: Arc<AtomicUsize>,
}

impl Reservation for Place {
    fn is_booked(&self) -> bool {
        self.booked
    }
}

impl Place {
    /// It holds nothing any more.
    fn hold_nothing(&self) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hold_nothing();
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
        loss: None,
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
        let mut members: Vec<Member> = peers.iter().map(|name| member(name)).collect();
        members.sort_unstable_by(|a, b| a.identity.name.cmp(&b.identity.name));
        let view = View {
            at: begun,
            local: member("a"),
            peers: members,
            cluster: None,
            converged: None,
            stats: Stats::default(),
        };
        Arc::new(Self {
            identity: identity("a"),
            view: Mutex::new(Arc::new(view)),
            changed: Notify::new(),
            journeys: Journeys::default(),
            router: Router::new(
                Policy { kind: written.policy, ..Policy::default() },
                StdRng::seed_from_u64(1),
            ),
            script: Mutex::new(written),
            cache: Mutex::default(),
            done: Mutex::default(),
            events: Mutex::default(),
            taken: Arc::default(),
            held: Mutex::default(),
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

    /// Places that peers hold for this node, beside those for jobs that were sent.
    pub fn held(&self) -> BTreeMap<String, isize> {
        let held = self.held.lock();
        let held = held.iter().filter(|(_, places)| **places != 0);
        held.map(|(peer, places)| (peer.to_string(), *places)).collect()
    }

    fn hold(&self, peer: &Identity, places: isize) {
        let mut held = self.held.lock();
        let count = held.entry(peer.name.clone()).or_default();
        *count += places;
        assert!(*count >= 0, "{} was given a place back that it did not hold", peer.name);
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

    /// A place of the own queue, as a peer's job has it.
    pub fn place(&self) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place { booked: false, is_away: AtomicBool::new(false), taken: Arc::clone(&self.taken) }
    }

    pub fn journeys_under_way(&self) -> (usize, usize) {
        self.journeys.under_way()
    }

    /// What this node, as a home, says to a claim of another one.
    pub fn lease(&self, key: &Key, lessee: &Lessee) -> Verdict {
        self.journeys.leases.claim(key, lessee, SECOND, clock::now(), |_| true)
    }

    /// This node, as a home, hears that the result is there.
    pub fn lease_ended(&self, key: &Key, holder: &str) {
        let name: NodeName = holder.parse().unwrap();
        let lessee = Lessee { name: name.clone(), boot: BootEpoch(1) };
        self.journeys.leases.end(key.clone(), &lessee, vec![name], clock::now());
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
