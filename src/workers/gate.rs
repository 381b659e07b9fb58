//! A bound on how many do something at once, fair among clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use starling_placement::desk::{Tally, Turns};
use tokio::sync::oneshot;

use crate::content::ClientTag;

/// Lets so many in at once. Where more come, clients take turns, whatever the number of each.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    inside: Tally,
    turns: Turns,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    client: ClientTag,
    let_in: oneshot::Sender<Pass>,
}

/// One that was let in; its place is the next one's when this is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    client: ClientTag,
    gate: Gate,
}

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        let state = State {
            free: at_once,
            inside: Tally::default(),
            turns: Turns::default(),
            waiting: VecDeque::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits until it is this client's turn. Cancel-safe: who stops waiting takes nobody's turn.
    pub(super) async fn enter(&self, client: ClientTag) -> Pass {
        loop {
            let (let_in, turn) = oneshot::channel();
            self.state().waiting.push_back(Waiter { client, let_in });
            self.admit();
            // The sender is gone only with a turn that was refused, which it is not here.
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    /// Lets in as many as there are places for.
    fn admit(&self) {
        loop {
            let mut state = self.state();
            state.waiting.retain(|waiter| !waiter.let_in.is_closed());
            if state.free == 0 {
                return;
            }
            let next = state.turns.next(state.waiting.iter().map(|waiter| waiter.client), &state.inside);
            let Some((at, client)) = next else { return };
            let Some(waiter) = state.waiting.remove(at) else { return };
            state.free -= 1;
            state.inside.add(client);
            state.turns.begin(client, Instant::now());
            drop(state);
            // Who has gone meanwhile gives the place back by dropping the pass.
            drop(waiter.let_in.send(Pass { client, gate: self.clone() }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.free += 1;
        state.inside.remove(self.client);
        drop(state);
        self.gate.admit();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const A: ClientTag = ClientTag(1);
    const B: ClientTag = ClientTag(2);

    #[tokio::test]
    async fn a_client_with_many_waits_no_less_than_one_with_few() {
        let gate = Gate::new(2);
        let inside = [gate.enter(A).await, gate.enter(A).await];
        let mut many: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(A))).collect();
        assert!(many.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut one = Box::pin(gate.enter(B));
        assert!((&mut one).now_or_never().is_none());
        let [first, second] = inside;
        drop(first);
        let pass = (&mut one).now_or_never().expect("it has none inside, and the others have one");
        drop(second);
        let let_in: Vec<_> = many.iter_mut().filter_map(FutureExt::now_or_never).collect();
        assert_eq!(let_in.len(), 1);
        drop((pass, let_in));
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_place() {
        let gate = Gate::new(1);
        let inside = gate.enter(A).await;
        let mut gone = Box::pin(gate.enter(A));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        // And one that was let in, and never came to know of it.
        let mut late = Box::pin(gate.enter(A));
        assert!((&mut late).now_or_never().is_none());
        drop(inside);
        drop(late);
        assert!(gate.enter(B).now_or_never().is_some());
        assert_eq!(gate.state().free, 1);
    }
}
