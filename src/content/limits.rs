use std::time::Duration;

/// Results are shorter than this, in bytes: those that are made here, and those that a peer sends.
pub const RESULT_BYTES_MAX: u64 = 4 << 30;

/// How much a media file may ask of a node. One file may be hostile; these bound what it can cost.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaLimits {
    /// Longest input that is taken.
    pub duration_max: Duration,
    /// Most pixels in one picture.
    pub picture_pixels_max: u64,
    /// Most streams in one file, used or not: ffprobe looks at each of them.
    pub streams_max: u32,
    /// Biggest result.
    pub output_bytes_max: u64,
    /// Biggest single allocation inside ffmpeg.
    pub alloc_bytes_max: u64,
    /// Longest that ffprobe may take.
    pub probe_time_max: Duration,
    /// CPU time that it may use of that, in whole seconds: a real file takes a tenth of a second.
    pub probe_cpu_max: Duration,
    /// Memory that it may use.
    pub probe_memory_bytes_max: u64,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            duration_max: Duration::from_secs(4 * 3600),
            // DCI 8K, either way round.
            picture_pixels_max: 8192 * 4320,
            streams_max: 512,
            output_bytes_max: RESULT_BYTES_MAX,
            alloc_bytes_max: 512 << 20,
            probe_time_max: Duration::from_secs(10),
            probe_cpu_max: Duration::from_secs(3),
            probe_memory_bytes_max: 1 << 30,
        }
    }
}
