//! A lease at a content's home, from the first question to its end. Whatever becomes of the questions (an answer that is lost,
//! a client that leaves while one is on its way), the end follows them; and an end that is lost costs seconds, since a lease
//! that is not renewed runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use starling_overlay::{Identity, NodeName};
use tokio::sync::{Mutex, oneshot};

use super::{Done, Event, PeerError, Ports, What, claim, clock};
use crate::content::Key;
use crate::lease::{LEASE_MAX, Verdict};
use crate::once::Once;

/// How often a lease is renewed: two renewals may be lost before it runs out.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// How often an end is told to a home that does not answer, and the pause in between.
const END_TRIES: u32 = 3;
const END_PAUSE: Duration = Duration::from_secs(1);

/// A lease that is asked for or held; its end is told on drop.
pub(super) struct Lease<P: Ports> {
    claimant: Arc<Claimant<P>>,
    /// Told when nothing is to be renewed any more.
    over: Arc<Once<()>>,
    holders: Vec<NodeName>,
}

struct Claimant<P: Ports> {
    ports: Arc<P>,
    home: Arc<Identity>,
    rtt: Option<Duration>,
    key: Key,
    /// Held while the home is spoken to: an end can't overtake the question before it.
    turn: Arc<Mutex<()>>,
    /// Whether, by all that is known here, the home may have a lease of this node's.
    owed: AtomicBool,
}

impl<P: Ports> Lease<P> {
    /// One that is still to be asked for.
    pub(super) fn new(ports: &Arc<P>, home: Arc<Identity>, rtt: Option<Duration>, key: Key) -> Self {
        let (ports, turn, owed) = (Arc::clone(ports), Arc::default(), AtomicBool::new(false));
        let claimant = Arc::new(Claimant { ports, home, rtt, key, turn, owed });
        Self { claimant, over: Arc::default(), holders: Vec::new() }
    }

    /// Asks the home for it, which may keep its answer back for as long as `wait`. The question goes on by itself when its
    /// asker is gone, and is followed by the end.
    pub(super) async fn ask(&self, wait: Duration) -> Result<Verdict, PeerError> {
        let claimant = Arc::clone(&self.claimant);
        let turn = Arc::clone(&claimant.turn).lock_owned().await;
        let (tell, told) = oneshot::channel();
        // Ends by itself: with the answer, or with the time that the question has.
        self.claimant.ports.spawn(Box::pin(async move {
            let verdict = claimant.ask(wait).await;
            drop(turn);
            // An asker that is gone needs no answer.
            drop(tell.send(verdict));
        }));
        told.await.unwrap_or_else(|_| Err(PeerError::Unreachable("the question came to no end".to_owned())))
    }

    /// Work begins: from now on it is renewed, also where the home's answer did not come.
    pub(super) fn kept(self) -> Self {
        self.keep();
        self
    }

    /// The same.
    pub(super) fn keep(&self) {
        let (claimant, over) = (Arc::clone(&self.claimant), Arc::clone(&self.over));
        claimant.owed.store(true, Ordering::Relaxed);
        // Ends with the lease.
        self.claimant.ports.spawn(Box::pin(async move { claimant.renew_until(&over).await }));
    }

    /// The work succeeded: whoever asks next is sent to these nodes.
    pub(super) fn done(mut self, done: &Done<P::Object>) {
        let own = &self.claimant.ports.identity().name;
        self.holders = vec![own.clone()];
        if done.by.name != *own {
            self.holders.push(done.by.name.clone());
        }
    }
}

impl<P: Ports> Drop for Lease<P> {
    fn drop(&mut self) {
        self.over.tell(());
        let (claimant, holders) = (Arc::clone(&self.claimant), std::mem::take(&mut self.holders));
        // Ends by itself: told, or with the last try.
        self.claimant.ports.spawn(Box::pin(async move { claimant.end(holders).await }));
    }
}

impl<P: Ports> Claimant<P> {
    async fn ask(&self, wait: Duration) -> Result<Verdict, PeerError> {
        self.owed.store(true, Ordering::Relaxed);
        let verdict = claim::ask_home(&*self.ports, &self.home, self.rtt, &self.key, LEASE_MAX, wait).await;
        if matches!(verdict, Ok(Verdict::Busy { .. } | Verdict::Held { .. })) {
            self.owed.store(false, Ordering::Relaxed);
        }
        verdict
    }

    async fn renew_until(&self, over: &Once<()>) {
        loop {
            let next = clock::now() + RENEWAL_INTERVAL;
            if clock::timeout_at(next, over.wait()).await.is_ok() {
                return;
            }
            let _turn = self.turn.lock().await;
            if over.is_told() {
                return;
            }
            let renewed = self.ask(Duration::ZERO).await;
            self.owed.store(true, Ordering::Relaxed);
            let home = self.home.name.clone();
            self.tell(What::LeaseRenewed { home, failed: renewed.err() });
        }
    }

    /// Tells the home that it is over, once the questions before are answered or given up.
    async fn end(&self, holders: Vec<NodeName>) {
        let _turn = self.turn.lock().await;
        if holders.is_empty() && !self.owed.load(Ordering::Relaxed) {
            return;
        }
        let (ports, home) = (&*self.ports, &self.home);
        if home.name == ports.identity().name {
            ports.journeys().leases.end(self.key.clone(), &claim::lessee(ports), holders, clock::now());
            return;
        }
        for _ in 0..END_TRIES {
            let told = tokio::select! {
                biased;
                told = ports.end_lease(home, &self.key, &holders) => told,
                () = ports.lost(home) => return,
            };
            let Err(error) = told else { return };
            self.tell(What::LeaseEndUntold { home: home.name.clone(), error });
            tokio::time::sleep(END_PAUSE).await;
        }
    }

    fn tell(&self, what: What) {
        self.ports.tell(Event { key: self.key.clone(), what });
    }
}
