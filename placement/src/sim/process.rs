//! One boot of a node as the kernel sees it: it runs, it is stopped (SIGSTOP), or it is gone.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::once::Once;

/// How soon what waits for a stopped process finds it running.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a process is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    Stopped,
    Gone,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    last: u64,
    /// The tasks, in the order of their begins: so they are woken.
    wakers: BTreeMap<u64, Waker>,
}

/// A process. All that its node does are its tasks: none moves while it is stopped, and all are dropped when it is gone.
#[derive(Debug, Default)]
pub(super) struct Process {
    state: Mutex<State>,
    /// Told when the kernel closes its connections: it is gone, and its machine is not.
    closed: Once<()>,
}

impl Process {
    pub fn is_gone(&self) -> bool {
        self.state.lock().phase == Phase::Gone
    }

    pub fn is_stopped(&self) -> bool {
        self.state.lock().phase == Phase::Stopped
    }

    /// Runs a task as long as the process runs.
    pub fn spawn(self: &Arc<Self>, task: BoxFuture<'static, ()>) {
        if self.is_gone() {
            return;
        }
        let number = {
            let mut state = self.state.lock();
            state.last += 1;
            state.last
        };
        let task = Task { process: Arc::clone(self), number, inner: Some(task), is_known: false };
        // Ends by itself, with its process, or with the runtime of the simulation.
        drop(tokio::runtime::Handle::current().spawn(task));
    }

    pub fn stop(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Stopped;
        }
    }

    pub fn go_on(&self) {
        self.becomes(Phase::Stopped, Phase::Running);
    }

    /// It is gone. `silent`: with its machine, so that no connection is closed.
    pub fn kill(&self, silent: bool) {
        self.becomes(Phase::Running, Phase::Gone);
        self.becomes(Phase::Stopped, Phase::Gone);
        if !silent {
            self.closed.tell(());
        }
    }

    /// Ends when its connections break; never, if they don't.
    pub async fn closed(&self) {
        self.closed.wait().await;
    }

    /// Ends when it is not stopped.
    pub async fn runs(&self) {
        while self.is_stopped() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn becomes(&self, from: Phase, to: Phase) {
        let mut state = self.state.lock();
        if state.phase != from {
            return;
        }
        state.phase = to;
        let wakers: Vec<Waker> = state.wakers.values().cloned().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A task of a process.
struct Task {
    process: Arc<Process>,
    number: u64,
    inner: Option<BoxFuture<'static, ()>>,
    /// Whether the process has its waker. It is the only task of a task of the runtime, whose waker stays the same.
    is_known: bool,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let number = self.number;
        let phase = {
            let mut state = self.process.state.lock();
            if !self.is_known {
                state.wakers.insert(number, context.waker().clone());
            }
            state.phase
        };
        self.is_known = true;
        match (phase, &mut self.inner) {
            (Phase::Gone, inner) => {
                // What it holds may ask the process for something while it goes.
                drop(inner.take());
                Poll::Ready(())
            }
            (Phase::Stopped, _) => Poll::Pending,
            (Phase::Running, Some(inner)) => inner.as_mut().poll(context),
            (Phase::Running, None) => Poll::Ready(()),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.process.state.lock().wakers.remove(&self.number);
    }
}
