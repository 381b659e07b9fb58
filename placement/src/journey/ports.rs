//! What a journey needs of the node that it happens on. A node has files, processes and HTTP behind these, a simulator a model,
//! a test a script. All of them tell the time by tokio's clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use starling_overlay::{Identity, LoadSample, NodeName, View};

use super::{CacheState, Event, Fault, Job, Journeys, Life, Motion, PeerError, Progress, Proposal, clock};
use crate::content::{ClientTag, Key};
use crate::desk::{Backlog, Estimate, Ready};
use crate::error::WorkError;
use crate::lease::Verdict;
use crate::policy::{Avoided, Candidate, Question, Router};
use crate::profile::ProfileName;

/// The things that a journey carries and does not look into.
pub trait Things: Sized + Send + Sync + 'static {
    /// A job's video, and what is to be made of it.
    type Input: Clone + Send + Sync + 'static;
    /// What was found in a video.
    type Facts: Facts;
    /// A place that the own desk holds for a job; given back when it is dropped unused.
    type Reservation: Reservation;
    /// A verified result that is kept here.
    type Object: Clone + Send + Sync + 'static;
    /// A peer's yes to an offer.
    type Accepted: Accepted;
    /// The head of a result on its way.
    type Delivery: Send + 'static;
}

/// What was found in a video.
pub trait Facts: Clone + fmt::Debug + Send + Sync + 'static {
    /// What the job costs, in pixels of work; 0: that can't be told.
    fn work_pixels(&self) -> u64;
}

/// A place that is held for a job.
pub trait Reservation: Send + Sync + 'static {
    /// Whether it is for a job that was told to come at this time.
    fn is_booked(&self) -> bool;
}

/// A peer's yes to an offer: it holds a place for the job, for a moment.
pub trait Accepted: Clone + Send + Sync + 'static {
    /// When the result would be ready there, by the peer's own desk.
    fn ready(&self) -> Ready;
}

/// The cluster as this node sees it, and the runtime that its journeys are on.
pub trait Host: Things {
    /// This node.
    fn identity(&self) -> &Arc<Identity>;
    /// The membership as it is now.
    fn view(&self) -> Arc<View>;
    /// Waits until this boot of a peer is no longer believed to live.
    fn lost(&self, peer: &Identity) -> impl Future<Output = ()> + Send;
    /// The journeys under way here, and what they have in common.
    fn journeys(&self) -> &Journeys<Self::Object>;
    /// Runs something beside all requests. It ends by itself, or with the node.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Takes note of what happened.
    fn tell(&self, event: Event);
    /// This node's policy, and what it has learned.
    fn router(&self) -> &Router;
    /// The nodes that could do a job, best first, this one among them.
    fn rank(&self, question: &Question<'_>, count_max: usize) -> Vec<Candidate> {
        self.router().rank(clock::now(), question, count_max)
    }
    /// Peers that did something wrong lately, by name.
    fn avoided(&self) -> Vec<Avoided>;
    /// Whether a peer has done worse lately than not to answer, for which it is not even asked.
    fn is_distrusted(&self, peer: &Identity) -> bool;
    /// Holds something against a peer that had a job; `seen` is what was seen of it, for the log.
    fn hold_against(&self, peer: &Identity, fault: Fault, seen: &str);
}

/// The own desk.
pub trait OwnDesk: Things {
    /// Whether this node takes nothing more.
    fn is_draining(&self) -> bool;
    /// Whether this node can make such results: [`WorkError::Unavailable`] if not.
    fn can_make(&self, profile: &ProfileName) -> Result<(), WorkError>;
    /// A place for a job of which no more is known than its content, if one like it would be taken.
    fn reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> Option<Self::Reservation>;
    /// The job of this place is with a peer now, and no work here unless it comes back.
    fn send_away(&self, reservation: &Self::Reservation);
    /// Whether [`Self::reserve`] would give one.
    fn would_reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> bool;
    /// This node's load, read now.
    fn own_load(&self) -> LoadSample;
    /// How much work stands before a client's job that comes now, and holds this place already if it holds one.
    fn backlog(&self, client: ClientTag, own: Option<&Self::Reservation>) -> Backlog;
    /// How long a client's job of this profile keeps a worker here, once enough of them were done to tell.
    fn usual_service(&self, client: ClientTag, profile: &ProfileName) -> Option<Duration>;
    /// How long such a job of this client would wait and take here.
    fn estimate(&self, client: ClientTag, profile: &ProfileName, work_pixels: u64) -> Estimate;
    /// When a job that is refused now will be taken, with as much time as `allowed`: that place is kept for it.
    fn book(
        &self,
        client: ClientTag,
        key: &Key,
        work_pixels: Option<u64>,
        allowed: Duration,
    ) -> Option<Duration>;
    /// A job that may have been told to come now has come, and waits for another node's work.
    fn hold_booking(&self, key: &Key);
}

/// The work itself, on this node.
pub trait Work: Things {
    /// A result that is here.
    fn cached(&self, key: &Key) -> impl Future<Output = Option<Self::Object>> + Send;
    /// Looks at a job's video, and whether its profile can be made of it.
    fn probe(&self, job: &Job<Self>) -> impl Future<Output = Result<Self::Facts, WorkError>> + Send;
    /// Makes a job's result with this node's own workers, and keeps it. What moves is told to `life`.
    fn run(
        &self,
        job: &Job<Self>,
        reservation: Option<Self::Reservation>,
        life: &Life,
    ) -> impl Future<Output = Result<Self::Object, WorkError>> + Send;
    /// Receives a peer's result, and keeps it if it passes what one that is made here has to pass. Bytes are told to `motion`.
    fn keep(
        &self,
        job: &Job<Self>,
        peer: &Identity,
        delivery: Self::Delivery,
        motion: &Motion,
    ) -> impl Future<Output = Result<(Self::Object, CacheState), PeerError>> + Send;
}

/// What is said to the other nodes. Each question ends by itself, in a time that follows the round trip.
pub trait Peers: Things {
    /// Claims a content from its home, for so long, with the answer kept back for `wait` while another node is at it.
    fn ask_home(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        key: &Key,
        lease: Duration,
        wait: Duration,
    ) -> impl Future<Output = Result<Verdict, PeerError>> + Send;
    /// Tells a home that the lease is over, and which nodes hold the result now.
    fn end_lease(
        &self,
        home: &Identity,
        key: &Key,
        holders: &[NodeName],
    ) -> impl Future<Output = Result<(), PeerError>> + Send;
    /// Offers a job to a peer.
    fn offer(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        proposal: &Proposal<Self::Facts>,
    ) -> impl Future<Output = Result<Self::Accepted, PeerError>> + Send;
    /// Tells a peer that the job of an offer that it accepted does not come. Lost, it costs the place for as long as it is held
    /// without a body.
    fn release(&self, peer: &Identity, accepted: &Self::Accepted) -> impl Future<Output = ()> + Send;
    /// Sends the video of a job that a peer has accepted. Bytes are told to `motion`.
    fn send(
        &self,
        peer: &Identity,
        job: &Job<Self>,
        accepted: &Self::Accepted,
        motion: &Motion,
    ) -> impl Future<Output = Result<Self::Delivery, PeerError>> + Send;
    /// Asks a peer for a result that it holds; none if it does not.
    fn fetch(
        &self,
        peer: &Identity,
        key: &Key,
    ) -> impl Future<Output = Result<Option<Self::Delivery>, PeerError>> + Send;
    /// How far a peer's work on this is, if there is any.
    fn ask_progress(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        key: &Key,
    ) -> impl Future<Output = Result<Option<Progress>, PeerError>> + Send;
}

/// All that a journey needs.
pub trait Ports: Host + OwnDesk + Work + Peers {}

impl<P: Host + OwnDesk + Work + Peers> Ports for P {}
