//! What the tests have in common.

use std::time::Instant;

/// Some moment. An `Instant` can't be made without a clock; nothing depends on what it says.
#[expect(clippy::disallowed_methods, reason = "the one place where a test gets a moment to count from")]
pub fn start() -> Instant {
    Instant::now()
}
