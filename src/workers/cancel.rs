use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A flag that also wakes a thread that sleeps in `poll`. Once set it stays set.
#[derive(Debug)]
pub(super) struct Cancel {
    set: AtomicBool,
    wake: OwnedFd,
}

impl Cancel {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { set: AtomicBool::new(false), wake })
    }

    pub(super) fn set(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            // Can't fail: the counter takes far more than the one that is ever written.
            let written = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
            debug_assert_eq!(written, Ok(8));
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

/// Sets the flag when its holder stops waiting.
pub(super) struct CancelOnDrop(pub(super) Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
