//! Something that is told once, to all that wait for it.

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A value that comes once. Those that wait for it are woken in the order in which they began to; `tokio::sync::watch` draws that
/// order, and so no two runs would be the same.
#[derive(Debug)]
pub(crate) struct Once<T> {
    value: Mutex<Option<T>>,
    told: Notify,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { value: Mutex::new(None), told: Notify::new() }
    }
}

impl<T: Clone> Once<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock()
    }

    /// Here it is. What was told before stays.
    pub(crate) fn tell(&self, value: T) {
        self.lock().get_or_insert(value);
        self.told.notify_waiters();
    }

    /// Whether it was told.
    pub(crate) fn is_told(&self) -> bool {
        self.lock().is_some()
    }

    /// Waits for it.
    pub(crate) async fn wait(&self) -> T {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // Before the look: what is told after it is not missed.
            told.as_mut().enable();
            if let Some(value) = self.lock().clone() {
                return value;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_wait_are_told_and_those_that_come_later() {
        let once = Once::default();
        let (first, second, ()) = tokio::join!(once.wait(), once.wait(), async { once.tell(7) });
        once.tell(8);
        assert_eq!((first, second, once.wait().await, once.is_told()), (7, 7, 7, true));
    }
}
