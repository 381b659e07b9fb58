//! What is written down beforehand: what happens at the stage's node and at the others, and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{MS, SECOND};
use crate::desk::{Estimate, Ready};
use crate::error::WorkError;
use crate::journey::{PeerError, Progress};
use crate::lease::Verdict;
use crate::policy::PolicyKind;

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

    /// What comes, if anything ever does.
    pub(super) fn what(&self) -> Option<&T> {
        self.1.as_ref()
    }

    pub(super) async fn come(self) -> T {
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
    pub(super) fn next(&mut self) -> Reply<T> {
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

impl<T> Replies<T> {
    pub fn of(replies: VecDeque<Reply<T>>) -> Self {
        Self(replies)
    }
}

/// What a peer says and does.
#[derive(Clone, Debug)]
pub struct Peer {
    pub offer: Replies<Result<(), PeerError>>,
    /// When it says that the job would be done.
    pub ready: Ready,
    /// What the policy thinks of the wait there, and of the input's way.
    pub thought: (Duration, Duration),
    pub work: Replies<Result<(), PeerError>>,
    pub progress: Replies<Result<Option<Progress>, PeerError>>,
    /// What it holds.
    pub fetch: Replies<Result<Option<()>, PeerError>>,
    /// What it says as a home.
    pub home: Replies<Result<Verdict, PeerError>>,
    /// And when it is told of a lease's end.
    pub end: Replies<Result<(), PeerError>>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            offer: Reply::after(10 * MS, Ok(())).into(),
            ready: Ready::default(),
            thought: (Duration::ZERO, Duration::ZERO),
            work: Reply::after(SECOND, Ok(())).into(),
            progress: Reply::at_once(Ok(Some(Progress { moved: 0, waits: true, part: None }))).into(),
            fetch: Reply::at_once(Ok(None)).into(),
            home: Reply::at_once(Ok(Verdict::Yours)).into(),
            end: Reply::at_once(Ok(())).into(),
        }
    }
}

/// What happens at this node and at the others.
#[derive(Clone, Debug)]
pub struct Script {
    pub peers: BTreeMap<&'static str, Peer>,
    /// The policy's order; `a` is this node.
    pub ranked: Vec<&'static str>,
    pub policy: PolicyKind,
    /// How long a job waits here.
    pub wait_ms: Option<u32>,
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
    /// Nodes with an encoder in hardware for the job.
    pub hardware: Vec<&'static str>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            ranked: vec!["a"],
            // Peers are asked one after the other, unless a script is about asking them at once.
            policy: PolicyKind::Score,
            wait_ms: None,
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
            hardware: Vec::new(),
        }
    }
}
