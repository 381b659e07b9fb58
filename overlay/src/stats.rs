//! Counters.

/// What one node's overlay did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Their payload, in bytes.
    pub bytes_sent: u64,
    /// Datagrams that came in.
    pub datagrams_received: u64,
    /// Their payload, in bytes.
    pub bytes_received: u64,
    /// Datagrams that were ignored: damaged, malformed or of another cluster.
    pub datagrams_rejected: u64,
    /// Probes that ended without an answer.
    pub probes_failed: u64,
    /// Promises to be heard of that members did not keep in time.
    pub promises_broken: u64,
    /// Times this node refuted what was said of it.
    pub refutations: u64,
    /// Reports that nobody listens at an address.
    pub refusals: u64,
    /// Times this node found itself held up for more than half a period.
    pub freezes: u64,
}
