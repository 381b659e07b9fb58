//! One log line for each upload, and the counters beside it.

use super::{Node, Served, Trail};
use crate::http::ApiError;
use crate::profile::Profile;

impl Node {
    /// An upload was answered with a result.
    pub fn log_served(&self, served: &Served, profile: &Profile, trail: &Trail) {
        let elapsed = trail.elapsed();
        self.metrics.served(served, elapsed);
        tracing::info!(
            route = served.route.as_str(),
            via = %served.route_text(),
            served_by = %served.by.name,
            cache = served.cache.as_str(),
            profile = %profile.name,
            scores = %served.scores,
            bytes_in = served.bytes_in,
            bytes_out = served.object.bytes(),
            %trail,
            elapsed_ms = elapsed.as_millis() as u64,
            "upload served"
        );
    }

    /// An upload was answered with an error.
    pub fn log_refused(&self, error: &ApiError, trail: &Trail) {
        let status = error.status();
        self.metrics.refused(status.as_u16());
        let elapsed_ms = trail.elapsed().as_millis() as u64;
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), %error, %trail, elapsed_ms, "upload refused");
        } else {
            tracing::info!(status = status.as_u16(), %error, %trail, elapsed_ms, "upload refused");
        }
    }
}
