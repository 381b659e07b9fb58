//! What a node says of itself in its metrics, as far as the dashboard shows it: the same text for a node that looks at itself and for
//! a monitor that looks at all.

/// Upper bounds of a latency histogram's buckets that are looked at; further ones are counted with the last.
pub const BUCKETS_MAX: usize = 16;
/// Zones of one node that are looked at: as many as it tells of.
const ZONES_MAX: usize = 64;
/// Longest name of a zone.
const ZONE_BYTES_MAX: usize = 63;

/// A histogram of times: how many took at most so many seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Upper bounds in seconds, ascending; the rest are infinite.
    pub bounds_s: [f64; BUCKETS_MAX],
    /// Counts up to each bound, cumulative.
    pub counts: [u64; BUCKETS_MAX],
    /// How many buckets there are.
    pub buckets: usize,
    /// All times together, in seconds.
    pub sum_s: f64,
}

/// What is counted since the node's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Uploads that were answered with a result.
    pub ok: u64,
    /// Those of them whose result was made or held where they came in.
    pub local: u64,
    /// Uploads that were refused for want of room or time: 429 and 503.
    pub refused: u64,
    /// Uploads that failed in another way that is not the client's fault.
    pub failed: u64,
    /// Uploads that could not be used: the client's fault.
    pub unusable: u64,
    /// Jobs that came into the queue.
    pub enqueued: u64,
    /// Jobs that left it, for whatever reason.
    pub dequeued: u64,
    /// Transcodes begun.
    pub transcodes: u64,
    /// Those that ended without a result.
    pub transcode_failures: u64,
    /// Jobs that a peer of the same zone, or of another, did for this node.
    pub offloads_same: u64,
    /// See `offloads_same`.
    pub offloads_cross: u64,
    /// Jobs that peers took and did not do.
    pub offloads_failed: u64,
    /// Results given to peers of the same zone, or of another.
    pub responses_same: u64,
    /// See `responses_same`.
    pub responses_cross: u64,
    /// Uploads whose result was there.
    pub cache_hits: u64,
    /// Uploads whose result had to be made.
    pub cache_misses: u64,
    /// Uploads that joined work under way.
    pub cache_joins: u64,
    /// Results that left the cache to make room.
    pub evictions: u64,
    /// Pings sent, and probes that ended without an answer.
    pub pings: u64,
    /// See `pings`.
    pub probes_failed: u64,
    /// Time from an upload's arrival to its result.
    pub latency: Latency,
}

/// What a node's metrics say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// When its process began, in seconds since the epoch: another one after a restart.
    pub started_s: f64,
    /// What it has counted since.
    pub counts: Counts,
    /// CPU and memory in use, as parts of what it may use.
    pub cpu: f64,
    /// See `cpu`.
    pub memory: f64,
    /// Memory of its process.
    pub resident_bytes: u64,
    /// Jobs waiting, jobs that may wait, jobs that run, jobs that may run.
    pub queued: u64,
    /// See `queued`.
    pub queue_capacity: u64,
    /// See `queued`.
    pub running: u64,
    /// See `queued`.
    pub workers: u64,
    /// Jobs accepted there (`POST /jobs`) that wait, and that are at work.
    pub accepted_waiting: u64,
    /// See `accepted_waiting`.
    pub accepted_running: u64,
    /// Results in the cache, what they take, and what they may take.
    pub cached_results: u64,
    /// See `cached_results`.
    pub cache_bytes: u64,
    /// See `cached_results`.
    pub cache_budget_bytes: u64,
    /// Bytes free on its disk.
    pub disk_free_bytes: Option<u64>,
    /// Round trips between zones as it knows them: from, to, seconds.
    pub zone_rtts: Vec<(String, String, f64)>,
    /// Parts of its pings between zones that had no answer: from, to, part.
    pub zone_losses: Vec<(String, String, f64)>,
    /// Live members by zone as it sees them.
    pub zone_live: Vec<(String, u64)>,
}

/// One line of the text format.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let value: f64 = value.parse().ok()?;
        value.is_finite().then_some(Self { name, labels, value })
    }

    /// A label's value. Those that are looked for have nothing in them that would be escaped.
    fn label(&self, name: &str) -> &'a str {
        let mut rest = self.labels;
        while let Some((key, after)) = rest.split_once("=\"") {
            let Some((value, next)) = after.split_once('"') else { return "" };
            if key.trim_start_matches(',') == name {
                return value;
            }
            rest = next;
        }
        ""
    }

    fn count(&self) -> u64 {
        self.value.max(0.0) as u64
    }
}

impl Figures {
    /// Reads Prometheus's text format 0.0.4; what it does not know it passes over. None where there is nothing of a node in it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut this = Self::default();
        let mut known = false;
        for sample in text.lines().filter_map(Sample::parse) {
            if let Some(name) = sample.name.strip_prefix("starling_") {
                known = true;
                if !this.counts.take(name, &sample) {
                    this.take(name, &sample);
                }
            } else {
                match sample.name {
                    "process_start_time_seconds" => this.started_s = sample.value,
                    "process_resident_memory_bytes" => this.resident_bytes = sample.count(),
                    _ => {}
                }
            }
        }
        known.then_some(this)
    }

    fn take(&mut self, name: &str, sample: &Sample<'_>) {
        let count = sample.count();
        match name {
            "host_cpu_ratio" => self.cpu = sample.value,
            "host_memory_ratio" => self.memory = sample.value,
            "queued_jobs" => self.queued = count,
            "queue_capacity_jobs" => self.queue_capacity = count,
            "running_jobs" => self.running = count,
            "workers" => self.workers = count,
            "held_jobs" if sample.label("state") == "running" => self.accepted_running = count,
            "held_jobs" => self.accepted_waiting = count,
            "cached_results" => self.cached_results = count,
            "cache_size_bytes" => self.cache_bytes = count,
            "cache_budget_bytes" => self.cache_budget_bytes = count,
            "disk_free_bytes" => self.disk_free_bytes = Some(count),
            "zone_live_members"
                if self.zone_live.len() < ZONES_MAX && sample.label("zone").len() <= ZONE_BYTES_MAX =>
            {
                self.zone_live.push((sample.label("zone").to_owned(), count));
            }
            "zone_rtt_seconds" => take_pair(&mut self.zone_rtts, sample),
            "zone_loss_ratio" => take_pair(&mut self.zone_losses, sample),
            _ => {}
        }
    }
}

/// Keeps what is told of a zone and another.
fn take_pair(pairs: &mut Vec<(String, String, f64)>, sample: &Sample<'_>) {
    let (from, to) = (sample.label("from"), sample.label("to"));
    if pairs.len() < ZONES_MAX && from.len() <= ZONE_BYTES_MAX && to.len() <= ZONE_BYTES_MAX {
        pairs.push((from.to_owned(), to.to_owned(), sample.value));
    }
}

impl Counts {
    fn take(&mut self, name: &str, sample: &Sample<'_>) -> bool {
        let count = sample.count();
        match name {
            "uploads_total" => self.take_uploads(sample),
            "enqueued_jobs_total" => self.enqueued = count,
            "dequeued_jobs_total" => self.dequeued += count,
            "transcodes_total" => self.transcodes = count,
            "transcode_failures_total" => self.transcode_failures = count,
            "offloads_total" => match (sample.label("route"), sample.label("outcome")) {
                ("same-region", "done") => self.offloads_same = count,
                ("cross-region", "done") => self.offloads_cross = count,
                _ => self.offloads_failed += count,
            },
            "responses_total" if sample.label("route") == "same-region" => self.responses_same = count,
            "responses_total" => self.responses_cross = count,
            "cache_requests_total" => match sample.label("cache") {
                "hit" => self.cache_hits = count,
                "miss" => self.cache_misses = count,
                _ => self.cache_joins = count,
            },
            "cache_evictions_total" => self.evictions = count,
            "probes_failed_total" => self.probes_failed = count,
            "gossip_datagrams_total"
                if sample.label("direction") == "sent" && sample.label("kind") == "ping" =>
            {
                self.pings = count;
            }
            "upload_duration_seconds_sum" => self.latency.sum_s = sample.value,
            "upload_duration_seconds_bucket" => self.latency.take(sample.label("le"), count),
            _ => return false,
        }
        true
    }

    fn take_uploads(&mut self, sample: &Sample<'_>) {
        let count = sample.count();
        match sample.label("status") {
            "200" => {
                self.ok += count;
                if sample.label("route") == "local" {
                    self.local += count;
                }
            }
            "429" | "503" => self.refused += count,
            status if status.starts_with('5') => self.failed += count,
            _ => self.unusable += count,
        }
    }

    /// What was counted between two readings of one process.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            ok: less(self.ok, before.ok),
            local: less(self.local, before.local),
            refused: less(self.refused, before.refused),
            failed: less(self.failed, before.failed),
            unusable: less(self.unusable, before.unusable),
            enqueued: less(self.enqueued, before.enqueued),
            dequeued: less(self.dequeued, before.dequeued),
            transcodes: less(self.transcodes, before.transcodes),
            transcode_failures: less(self.transcode_failures, before.transcode_failures),
            offloads_same: less(self.offloads_same, before.offloads_same),
            offloads_cross: less(self.offloads_cross, before.offloads_cross),
            offloads_failed: less(self.offloads_failed, before.offloads_failed),
            responses_same: less(self.responses_same, before.responses_same),
            responses_cross: less(self.responses_cross, before.responses_cross),
            cache_hits: less(self.cache_hits, before.cache_hits),
            cache_misses: less(self.cache_misses, before.cache_misses),
            cache_joins: less(self.cache_joins, before.cache_joins),
            evictions: less(self.evictions, before.evictions),
            pings: less(self.pings, before.pings),
            probes_failed: less(self.probes_failed, before.probes_failed),
            latency: self.latency.since(&before.latency),
        }
    }

    /// What two nodes have counted.
    pub fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.local += other.local;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unusable += other.unusable;
        self.enqueued += other.enqueued;
        self.dequeued += other.dequeued;
        self.transcodes += other.transcodes;
        self.transcode_failures += other.transcode_failures;
        self.offloads_same += other.offloads_same;
        self.offloads_cross += other.offloads_cross;
        self.offloads_failed += other.offloads_failed;
        self.responses_same += other.responses_same;
        self.responses_cross += other.responses_cross;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        self.cache_joins += other.cache_joins;
        self.evictions += other.evictions;
        self.pings += other.pings;
        self.probes_failed += other.probes_failed;
        self.latency.add(&other.latency);
    }

    /// Uploads that were answered at all.
    pub fn answered(&self) -> u64 {
        self.ok + self.refused + self.failed + self.unusable
    }

    /// The part of the uploads that were answered with a result, of those that could be; none where none was.
    pub fn success(&self) -> Option<f64> {
        let all = self.ok + self.refused + self.failed;
        (all > 0).then(|| self.ok as f64 / all as f64)
    }
}

impl Latency {
    fn take(&mut self, bound: &str, count: u64) {
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::INFINITY) };
        let place = self.buckets.min(BUCKETS_MAX - 1);
        self.bounds_s[place] = bound;
        self.counts[place] = count;
        self.buckets = place + 1;
    }

    fn since(&self, before: &Self) -> Self {
        let mut this = *self;
        for (count, before) in this.counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        this.sum_s = (self.sum_s - before.sum_s).max(0.0);
        this
    }

    fn add(&mut self, other: &Self) {
        if self.buckets == 0 {
            *self = *other;
        } else if self.bounds_s.map(f64::to_bits) == other.bounds_s.map(f64::to_bits) {
            for (count, other) in self.counts.iter_mut().zip(other.counts) {
                *count += other;
            }
            self.sum_s += other.sum_s;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.checked_sub(1).map_or(0, |last| self.counts[last])
    }

    /// The time in seconds below which this part of them lies, as Prometheus's `histogram_quantile` has it: evenly spread in its
    /// bucket; the last finite bound for what is above it. None where there are none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count() as f64 * part;
        let place = (0..self.buckets).find(|place| self.counts[*place] as f64 >= wanted && wanted > 0.0)?;
        let (low, below) = match place.checked_sub(1) {
            Some(before) => (self.bounds_s[before], self.counts[before]),
            None => (0.0, 0),
        };
        let high = self.bounds_s[place];
        if high.is_infinite() {
            return Some(low);
        }
        let within = (self.counts[place] - below) as f64;
        Some(low + (high - low) * ((wanted - below as f64) / within))
    }

    /// Their mean in seconds.
    pub fn mean_s(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_s / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP starling_uploads_total Uploads\n# TYPE starling_uploads_total counter\n\
        starling_uploads_total{status=\"200\",cache=\"hit\",route=\"local\",policy=\"score\"} 3\n\
        starling_uploads_total{status=\"200\",cache=\"miss\",route=\"cross-region\",policy=\"score\"} 2\n\
        starling_uploads_total{status=\"503\",cache=\"\",route=\"\",policy=\"score\"} 1\n\
        starling_uploads_total{status=\"415\",cache=\"\",route=\"\",policy=\"score\"} 7\n\
        starling_dequeued_jobs_total{reason=\"begun\"} 4\nstarling_dequeued_jobs_total{reason=\"late\"} 1\n\
        starling_offloads_total{route=\"same-region\",outcome=\"done\"} 5\n\
        starling_offloads_total{route=\"same-region\",outcome=\"failed\"} 1\n\
        starling_upload_duration_seconds_bucket{le=\"1.0\"} 5\n\
        starling_upload_duration_seconds_bucket{le=\"2.0\"} 9\n\
        starling_upload_duration_seconds_bucket{le=\"+Inf\"} 10\nstarling_upload_duration_seconds_sum 12.5\n\
        starling_zone_rtt_seconds{from=\"FRA\",to=\"IAD\"} 0.09\nstarling_zone_loss_ratio{from=\"FRA\",to=\"BOM\"} 0.25\nstarling_zone_live_members{zone=\"IAD\"} 2\n\
        starling_held_jobs{state=\"queued\"} 4998\nstarling_held_jobs{state=\"running\"} 2\n\
        starling_host_cpu_ratio 0.25\nprocess_start_time_seconds 12.5\nnonsense\nstarling_queued_jobs NaN\n";

    #[test]
    fn a_nodes_metrics_are_read() {
        let figures = Figures::parse(TEXT).unwrap();
        let counts = &figures.counts;
        assert_eq!((counts.ok, counts.local, counts.refused, counts.unusable), (5, 3, 1, 7));
        assert_eq!((counts.dequeued, counts.offloads_same, counts.offloads_failed), (5, 5, 1));
        assert_eq!(counts.success(), Some(5.0 / 6.0), "what can't be used is no failure of the cluster");
        assert_eq!(figures.zone_rtts, [("FRA".to_owned(), "IAD".to_owned(), 0.09)]);
        assert_eq!((figures.accepted_waiting, figures.accepted_running), (4998, 2));
        assert_eq!(figures.zone_losses, [("FRA".to_owned(), "BOM".to_owned(), 0.25)]);
        assert_eq!(figures.zone_live, [("IAD".to_owned(), 2)]);
        assert!((figures.cpu - 0.25).abs() < 1e-9 && (figures.started_s - 12.5).abs() < 1e-9);
        assert_eq!(Figures::parse("<html>no node</html>"), None);
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let latency = Figures::parse(TEXT).unwrap().counts.latency;
        let quantile = |part| (latency.quantile(part).unwrap() * 1000.0).round() / 1000.0;
        assert_eq!((quantile(0.5), quantile(0.7), quantile(0.99)), (1.0, 1.5, 2.0));
        assert_eq!(latency.mean_s(), Some(1.25));
        assert_eq!(Latency::default().quantile(0.5), None);
        let none = latency.since(&latency);
        assert_eq!((none.count(), none.quantile(0.9)), (0, None));
        let mut both = latency;
        both.add(&latency);
        assert_eq!(both.count(), 20);
    }
}
