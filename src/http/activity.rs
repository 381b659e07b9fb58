//! What a connection is at: waiting for a request, reading one's head, or answering; and since when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Time that the head of a request may take, from its first byte; and a new connection until that.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests.
pub(super) const REST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;

/// Shared by whoever reads a connection, whoever answers its requests, and whoever looks for one to close.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Requests that are not answered to the end.
    under_way: AtomicU32,
    /// Bytes of the next head that have come.
    head_bytes: AtomicUsize,
    /// Milliseconds after `opened` at which the present state began.
    since_ms: AtomicU64,
    has_answered: AtomicBool,
}

/// A request under way, until the last clone is dropped: one goes with the answer, and one with what is still read of the request.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    _under_way: Arc<UnderWay>,
}

struct UnderWay {
    activity: Arc<Activity>,
    then: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderWay").finish_non_exhaustive()
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            under_way: AtomicU32::new(0),
            head_bytes: AtomicUsize::new(0),
            since_ms: AtomicU64::new(0),
            has_answered: AtomicBool::new(false),
        }
    }

    /// So many bytes were read. False: they are more than a request's head may have.
    pub(super) fn has_read(&self, bytes: usize) -> bool {
        if self.is_busy() || bytes == 0 {
            return true;
        }
        let before = self.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before == 0 {
            self.begin_state();
        }
        before < HEAD_BYTES_MAX
    }

    /// A request's head is complete. `then` is called when the request is over.
    pub(super) fn begin(self: &Arc<Self>, then: impl Fn() + Send + Sync + 'static) -> Busy {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_bytes.store(0, Ordering::Relaxed);
        Busy { _under_way: Arc::new(UnderWay { activity: Arc::clone(self), then: Box::new(then) }) }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether bytes have come of a request whose head is not complete.
    pub(super) fn reads_a_head(&self) -> bool {
        !self.is_busy() && self.head_bytes.load(Ordering::Relaxed) > 0
    }

    /// Since when it has no request under way; none while it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.is_busy()).then(|| self.since())
    }

    /// When it is to be closed, if nothing happens; of a busy one, when to look again.
    pub(super) fn overdue_at(&self) -> Instant {
        if self.is_busy() {
            return Instant::now() + HEAD_TIMEOUT;
        }
        let rests = self.has_answered.load(Ordering::Relaxed) && self.head_bytes.load(Ordering::Relaxed) == 0;
        self.since() + if rests { REST_TIMEOUT } else { HEAD_TIMEOUT }
    }

    fn since(&self) -> Instant {
        self.opened + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    fn begin_state(&self) {
        self.since_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.has_answered.store(true, Ordering::Relaxed);
        self.activity.begin_state();
        self.activity.under_way.fetch_sub(1, Ordering::Relaxed);
        (self.then)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_from_its_first_byte_and_a_rest_thirty() {
        let activity = Arc::new(Activity::new());
        let left = || activity.overdue_at() - Instant::now();
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(left(), 6 * SECOND, "a new one that says nothing");
        assert!(activity.has_read(10));
        tokio::time::advance(4 * SECOND).await;
        assert!(activity.has_read(10));
        assert_eq!(left(), 6 * SECOND, "and one that says little at a time");
        let busy = activity.begin(|| ());
        tokio::time::advance(100 * SECOND).await;
        assert!(activity.idle_since().is_none() && left() > Duration::ZERO);
        let reads_on = busy.clone();
        drop(busy);
        assert!(activity.idle_since().is_none());
        drop(reads_on);
        assert_eq!((activity.idle_since(), left()), (Some(Instant::now()), 30 * SECOND));
        tokio::time::advance(25 * SECOND).await;
        assert!(activity.has_read(1));
        assert_eq!(left(), 10 * SECOND);
    }

    #[tokio::test]
    async fn a_head_has_an_end_and_a_body_does_not_count() {
        let activity = Arc::new(Activity::new());
        assert!(activity.has_read(HEAD_BYTES_MAX));
        assert!(!activity.has_read(1));
        let _busy = activity.begin(|| ());
        assert!(activity.has_read(1 << 30));
    }
}
