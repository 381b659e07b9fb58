//! What happens to jobs, counted as it happens.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use starling_placement::desk::Predictions;
use starling_placement::journey::{Answer, CacheState, Served, Timings, What};
use starling_placement::policy::RouteKind;

use crate::api::JobState;
use crate::events::{Departure, NodeEvent, ServedFor};
use crate::profile::{ProfileName, ProfileSet};
use crate::store::Object;

/// From a cache's hit to past the usual deadline of 40 s: what is waited for, and what is not.
const SECONDS: [f64; 11] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0];
/// Of jobs, from their acceptance to their end: a short clip, a film, and a film behind many others.
const JOB_SECONDS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0];
/// How long a job took by how long it was said to take: half, as said, twice.
const RATIOS: [f64; 9] = [0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0, 4.0, 8.0];

/// Of relative errors of predictions.
const QUANTILES: [(f64, &str); 2] = [(0.5, "0.5"), (0.9, "0.9")];

type Count<L> = Family<L, Counter<u64, AtomicU64>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UploadLabels {
    status: u16,
    cache: &'static str,
    route: &'static str,
    policy: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    route: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What came of one try to tell a client's webhook of a job's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookTry {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Failed,
    /// It is given up.
    Dead,
}

impl WebhookTry {
    const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Dead];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransferLabels {
    route: &'static str,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabel {
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabel {
    profile: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    profile: String,
    quantile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Jobs {
    uploads: Count<UploadLabels>,
    latency: Histogram,
    receive: Histogram,
    queue_wait: Histogram,
    transcode: Histogram,
    prediction: Family<ProfileLabel, Histogram>,
    predictions: Mutex<Predictions>,
    transfer: Family<TransferLabels, Histogram>,
    transfer_bytes: Count<TransferLabels>,
    bytes_in: Counter<u64, AtomicU64>,
    bytes_out: Counter<u64, AtomicU64>,
    cache: Count<CacheLabel>,
    evictions: Counter<u64, AtomicU64>,
    evicted_bytes: Counter<u64, AtomicU64>,
    enqueued: Counter<u64, AtomicU64>,
    dequeued: Count<ReasonLabel>,
    offers_sent: Count<AnswerLabel>,
    offers_received: Count<AnswerLabel>,
    offloads: Count<OutcomeLabels>,
    responses: Count<RouteLabel>,
    hedges: Counter<u64, AtomicU64>,
    hedges_won: Counter<u64, AtomicU64>,
    accepted: Counter<u64, AtomicU64>,
    ended: Count<StateLabel>,
    duration: Family<StateLabel, Histogram>,
    webhook_tries: Count<OutcomeLabel>,
}

impl Default for Jobs {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let jobs = Self {
            uploads: Family::default(),
            latency: seconds(),
            receive: seconds(),
            queue_wait: seconds(),
            transcode: seconds(),
            prediction: Family::new_with_constructor(|| Histogram::new(RATIOS)),
            predictions: Mutex::default(),
            transfer: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            transfer_bytes: Family::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            cache: Family::default(),
            evictions: Counter::default(),
            evicted_bytes: Counter::default(),
            enqueued: Counter::default(),
            dequeued: Family::default(),
            offers_sent: Family::default(),
            offers_received: Family::default(),
            offloads: Family::default(),
            responses: Family::default(),
            hedges: Counter::default(),
            hedges_won: Counter::default(),
            accepted: Counter::default(),
            ended: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(JOB_SECONDS)),
            webhook_tries: Family::default(),
        };
        jobs.at_zero();
        jobs
    }
}

impl Jobs {
    /// Each counter whose labels are known is there from the start: what is not there has no rate.
    fn at_zero(&self) {
        let profile = ProfileSet::builtin().default_name().to_string();
        drop(self.prediction.get_or_create(&ProfileLabel { profile }));
        for cache in [CacheState::Hit, CacheState::Miss, CacheState::Joined].map(CacheState::as_str) {
            drop(self.cache.get_or_create(&CacheLabel { cache }));
        }
        for reason in Departure::ALL.map(Departure::as_str).into_iter().chain(["begun"]) {
            drop(self.dequeued.get_or_create(&ReasonLabel { reason }));
        }
        for state in JobState::ALL.into_iter().filter(|state| state.is_over()).map(JobState::as_str) {
            drop(self.ended.get_or_create(&StateLabel { state }));
            drop(self.duration.get_or_create(&StateLabel { state }));
        }
        for outcome in WebhookTry::ALL.map(WebhookTry::as_str) {
            drop(self.webhook_tries.get_or_create(&OutcomeLabel { outcome }));
        }
        for answer in Answer::ALL.map(Answer::as_str) {
            drop(self.offers_sent.get_or_create(&AnswerLabel { answer }));
        }
        drop(self.offers_received.get_or_create(&AnswerLabel { answer: "accepted" }));
        for route in [RouteKind::SameRegion, RouteKind::CrossRegion].map(RouteKind::as_str) {
            drop(self.responses.get_or_create(&RouteLabel { route }));
            for outcome in ["done", "failed"] {
                drop(self.offloads.get_or_create(&OutcomeLabels { route, outcome }));
            }
            for direction in ["there", "back"] {
                drop(self.transfer.get_or_create(&TransferLabels { route, direction }));
                drop(self.transfer_bytes.get_or_create(&TransferLabels { route, direction }));
            }
        }
    }

    pub(super) fn observe(&self, event: &NodeEvent<'_>) {
        match event {
            NodeEvent::Job { what, .. } => self.observe_job(what),
            NodeEvent::UploadServed { what_for, served, policy, timings, .. } => {
                // How long a job took, and how it ended, is counted at its end.
                if *what_for == ServedFor::Upload {
                    self.answered(served, policy, timings);
                }
                self.served(served);
            }
            NodeEvent::UploadRefused { status, policy, .. } => {
                self.uploads
                    .get_or_create(&UploadLabels { status: *status, cache: "", route: "", policy })
                    .inc();
            }
            NodeEvent::OfferAccepted { .. } => self.offer_received("accepted"),
            NodeEvent::OfferRefused { reason, .. } => self.offer_received(reason),
            NodeEvent::PeersJobDone { route, .. } => {
                self.responses.get_or_create(&RouteLabel { route: route.as_str() }).inc();
            }
            NodeEvent::Enqueued { .. } => drop(self.enqueued.inc()),
            NodeEvent::Withdrawn { why, .. } => self.dequeued(why.as_str()),
            NodeEvent::Begun { waited, .. } => {
                self.dequeued("begun");
                self.queue_wait.observe(waited.as_secs_f64());
            }
            NodeEvent::JobAccepted { .. } => drop(self.accepted.inc()),
            NodeEvent::JobEnded { state, took, .. } => {
                let label = StateLabel { state: state.as_str() };
                self.ended.get_or_create(&label).inc();
                self.duration.get_or_create(&label).observe(took.as_secs_f64());
            }
            NodeEvent::Made { profile, took, predicted, .. } => self.made(profile, *took, *predicted),
            NodeEvent::Evicted { bytes, .. } => {
                self.evictions.inc();
                self.evicted_bytes.inc_by(*bytes);
            }
            // The membership is counted where it is: `overlay.rs`. Failed work is the pool's to count.
            _ => {}
        }
    }

    fn observe_job(&self, what: &What) {
        match what {
            What::Stalled { .. } | What::Slow { .. } => drop(self.hedges.inc()),
            What::HedgeWon => drop(self.hedges_won.inc()),
            What::Offered { answer, .. } => {
                self.offers_sent.get_or_create(&AnswerLabel { answer: answer.as_str() }).inc();
            }
            What::Transferred { route, there, bytes, took, .. } => {
                let direction = if *there { "there" } else { "back" };
                let labels = TransferLabels { route: route.as_str(), direction };
                self.transfer.get_or_create(&labels).observe(took.as_secs_f64());
                self.transfer_bytes.get_or_create(&labels).inc_by(*bytes);
            }
            What::HandedOver { route, done, .. } => {
                let outcome = if *done { "done" } else { "failed" };
                self.offloads.get_or_create(&OutcomeLabels { route: route.as_str(), outcome }).inc();
            }
            _ => {}
        }
    }

    /// A message to a client's webhook was tried.
    pub(super) fn webhook_tried(&self, outcome: WebhookTry) {
        self.webhook_tries.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    fn served(&self, served: &Served<Object>) {
        self.cache.get_or_create(&CacheLabel { cache: served.cache.as_str() }).inc();
        self.bytes_in.inc_by(served.bytes_in);
        self.bytes_out.inc_by(served.object.bytes());
    }

    fn answered(&self, served: &Served<Object>, policy: &'static str, timings: &Timings) {
        let (cache, route) = (served.cache.as_str(), served.route.as_str());
        self.uploads.get_or_create(&UploadLabels { status: 200, cache, route, policy }).inc();
        self.latency.observe(timings.elapsed().as_secs_f64());
        if let Some(body) = timings.at("body") {
            self.receive.observe(body.as_secs_f64());
        }
    }

    fn made(&self, profile: &ProfileName, took: Duration, predicted: Option<Duration>) {
        self.transcode.observe(took.as_secs_f64());
        if let Some(predicted) = predicted.filter(|predicted| !predicted.is_zero()) {
            let label = ProfileLabel { profile: profile.to_string() };
            self.prediction.get_or_create(&label).observe(took.div_duration_f64(predicted));
            self.predictions.lock().learn(profile, predicted, took);
        }
    }

    /// Relative errors of the last jobs of each profile.
    fn prediction_errors(&self) -> Family<QuantileLabels, Gauge<f64, AtomicU64>> {
        let family = Family::<QuantileLabels, Gauge<f64, AtomicU64>>::default();
        let predictions = self.predictions.lock();
        for profile in predictions.profiles() {
            for (part, quantile) in QUANTILES {
                let labels = QuantileLabels { profile: profile.to_string(), quantile };
                family.get_or_create(&labels).set(predictions.error(profile, part).unwrap_or_default());
            }
        }
        family
    }

    fn offer_received(&self, answer: &'static str) {
        self.offers_received.get_or_create(&AnswerLabel { answer }).inc();
    }

    fn dequeued(&self, reason: &'static str) {
        self.dequeued.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Uploads answered, by status, cache state, route and routing policy";
        registry.register("uploads", help, self.uploads.clone());
        let help = "Time from an upload's arrival to its result";
        registry.register_with_unit("upload_duration", help, Unit::Seconds, self.latency.clone());
        let help = "Time from an upload's arrival until all of it was here, written and hashed";
        registry.register_with_unit("upload_receive", help, Unit::Seconds, self.receive.clone());
        let help = "Time that jobs were in the queue before a worker began them";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        let help = "Time that a worker took to make a result and look at it";
        registry.register_with_unit("transcode", help, Unit::Seconds, self.transcode.clone());
        let help = "Time that a job took a worker, by the time that was predicted when it began, by profile";
        registry.register_with_unit("prediction_error", help, super::ratio(), self.prediction.clone());
        let help = "How far the last 100 jobs of a profile were from their predictions at the most: half of them, nine tenths";
        let errors = self.prediction_errors();
        registry.register_with_unit("prediction_relative_error", help, super::ratio(), errors);
        registry.register_with_unit(
            "upload_received",
            "Bytes of uploads",
            Unit::Bytes,
            self.bytes_in.clone(),
        );
        registry.register_with_unit("upload_sent", "Bytes of results", Unit::Bytes, self.bytes_out.clone());
        let help = "Results by where they came from: found, made, or made for another request as well";
        registry.register("cache_requests", help, self.cache.clone());
        registry.register(
            "cache_evictions",
            "Results that left the cache to make room",
            self.evictions.clone(),
        );
        let help = "What they took on disk";
        registry.register_with_unit("cache_evicted", help, Unit::Bytes, self.evicted_bytes.clone());
        registry.register("enqueued_jobs", "Jobs that came into the queue", self.enqueued.clone());
        let help = "Jobs that left the queue: begun by a worker, or why not";
        registry.register("dequeued_jobs", help, self.dequeued.clone());
        let help = "Jobs accepted: kept until they are done";
        registry.register("accepted_jobs", help, self.accepted.clone());
        registry.register("ended_jobs", "Jobs that came to their end, by which", self.ended.clone());
        let help = "Time from a job's acceptance to its end, by which end; uploads whose answer is waited for are not in it";
        registry.register_with_unit("job_duration", help, Unit::Seconds, self.duration.clone());
        let help = "Tries to tell clients' webhooks of the ends of their jobs, by what came of them: failed ones are tried again, dead ones not";
        registry.register("webhook_tries", help, self.webhook_tries.clone());
        self.register_offloads(registry);
    }

    fn register_offloads(&self, registry: &mut Registry) {
        let help = "Jobs that this node offered to peers, by what came of it";
        registry.register("offers_sent", help, self.offers_sent.clone());
        let help = "Jobs that peers offered to this node, by its answer";
        registry.register("offers_received", help, self.offers_received.clone());
        let help = "Jobs that peers took, by what came of them and by whether they went to another zone";
        registry.register("offloads", help, self.offloads.clone());
        let help = "Results given to peers for their jobs, by whether they went to another zone";
        registry.register("responses", help, self.responses.clone());
        let help = "Time that bodies took on their way: videos there, results back";
        registry.register_with_unit("offload_transfer", help, Unit::Seconds, self.transfer.clone());
        let help = "Their bytes";
        registry.register_with_unit("offload_transfer", help, Unit::Bytes, self.transfer_bytes.clone());
        let help = "Jobs that stalled on a peer and were tried elsewhere as well";
        registry.register("hedges", help, self.hedges.clone());
        let help = "Those of them that were done elsewhere first";
        registry.register("hedges_won", help, self.hedges_won.clone());
    }
}
