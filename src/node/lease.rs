//! A lease at a content's home, from the first question to its end. Whatever becomes of the questions (an answer that is lost,
//! a client that leaves while one is on its way), the end follows them; and an end that is lost costs seconds, since a lease
//! that nobody renews runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use starling_overlay::{Identity, NodeName};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Done, Node};
use crate::lease::{End, LEASE_MAX, LeaseKey, Lessee, Verdict};
use crate::offload::OffloadError;

/// How often a lease is renewed: two renewals may be lost before it runs out.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// How often an end is told to a home that does not answer, and the pause in between.
const END_TRIES: u32 = 3;
const END_PAUSE: Duration = Duration::from_secs(1);

/// A lease that is asked for or held; its end is told on drop.
pub(super) struct Lease {
    claimant: Arc<Claimant>,
    /// Cancelled on drop: nothing is renewed any more.
    over: CancellationToken,
    holders: Vec<NodeName>,
}

struct Claimant {
    node: Arc<Node>,
    home: Arc<Identity>,
    rtt: Option<Duration>,
    key: LeaseKey,
    /// Held while the home is spoken to: an end can't overtake the question before it.
    turn: Arc<Mutex<()>>,
    /// Whether, by all that is known here, the home may have a lease of this node's.
    owed: AtomicBool,
}

impl Lease {
    /// One that is still to be asked for.
    pub(super) fn new(node: &Arc<Node>, home: Arc<Identity>, rtt: Option<Duration>, key: LeaseKey) -> Self {
        let (node, turn, owed) = (Arc::clone(node), Arc::default(), AtomicBool::new(false));
        let claimant = Arc::new(Claimant { node, home, rtt, key, turn, owed });
        Self { claimant, over: CancellationToken::new(), holders: Vec::new() }
    }

    /// Asks the home for it, which may keep its answer back for as long as `wait`. The question goes on by itself when its
    /// asker is gone, and is followed by the end.
    pub(super) async fn ask(&self, wait: Duration) -> Result<Verdict, OffloadError> {
        let claimant = Arc::clone(&self.claimant);
        let turn = Arc::clone(&claimant.turn).lock_owned().await;
        // Ends by itself: with the answer, or with the time that the peer client gives it.
        let question = tokio::spawn(async move {
            let verdict = claimant.ask(wait).await;
            drop(turn);
            verdict
        });
        question.await.unwrap_or_else(|error| Err(OffloadError::Unreachable(error.to_string())))
    }

    /// Work begins: from now on it is renewed, also where the home's answer did not come.
    pub(super) fn kept(self) -> Self {
        let (claimant, over) = (Arc::clone(&self.claimant), self.over.clone());
        claimant.owed.store(true, Ordering::Relaxed);
        // Ends with the lease.
        tokio::spawn(async move {
            while tokio::time::timeout(RENEWAL_INTERVAL, over.cancelled()).await.is_err() {
                let _turn = claimant.turn.lock().await;
                if over.is_cancelled() {
                    return;
                }
                let renewed = claimant.ask(Duration::ZERO).await;
                claimant.owed.store(true, Ordering::Relaxed);
                tracing::debug!(content = %claimant.key.content, home = %claimant.home.name, ?renewed, "lease renewed");
            }
        });
        self
    }

    /// The work succeeded: whoever asks next is sent to these nodes.
    pub(super) fn done(mut self, done: &Done) {
        let own = &self.claimant.node.identity.name;
        self.holders = vec![own.clone()];
        if done.by.name != *own {
            self.holders.push(done.by.name.clone());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.over.cancel();
        let (claimant, holders) = (Arc::clone(&self.claimant), std::mem::take(&mut self.holders));
        // Ends by itself: told, or with the last try.
        tokio::spawn(async move { claimant.end(holders).await });
    }
}

impl Claimant {
    async fn ask(&self, wait: Duration) -> Result<Verdict, OffloadError> {
        self.owed.store(true, Ordering::Relaxed);
        let verdict = self.node.ask_home(&self.home, self.rtt, &self.key, LEASE_MAX, wait).await;
        if matches!(verdict, Ok(Verdict::Busy { .. } | Verdict::Held { .. })) {
            self.owed.store(false, Ordering::Relaxed);
        }
        verdict
    }

    /// Tells the home that it is over, once the questions before are answered or given up.
    async fn end(&self, holders: Vec<NodeName>) {
        let _turn = self.turn.lock().await;
        if holders.is_empty() && !self.owed.load(Ordering::Relaxed) {
            return;
        }
        let (node, home) = (&self.node, &self.home);
        if home.name == node.identity.name {
            node.leases.end(self.key.clone(), &node.lessee(), holders, Instant::now());
            return;
        }
        let LeaseKey { content, profile, recipe } = self.key.clone();
        let Lessee { name: from, boot } = node.lessee();
        let end = End { content, profile, recipe: Some(recipe), from, boot, holders };
        for _ in 0..END_TRIES {
            let told = tokio::select! {
                told = node.peers.end_lease(home, &end) => told,
                () = node.lost(home) => return,
            };
            let Err(error) = told else { return };
            tracing::debug!(home = %home.name, %error, "a lease's end was not told");
            tokio::time::sleep(END_PAUSE).await;
        }
    }
}
