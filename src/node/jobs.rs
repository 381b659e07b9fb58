//! Jobs at work: each makes the journey that an upload makes, as often as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::Identity;
use starling_placement::error::WorkError;
use starling_placement::journey::{PeerError, TimeBudget, Timings};
use tokio::task::JoinSet;

use super::{Input, Job, Node, NotAll, Served};
use crate::api::{JobAnswer, JobQuestion};
use crate::content::ClientTag;
use crate::events::ServedFor;
use crate::jobs::{Accepted, Ask, Begun, Failure, JobError, Jobs, Output, Record, Stage, now_ms};
use crate::offload::Delivery;
use crate::profile::Profile;
use crate::store::{IngestError, Key, Limits, NoRoom, Object, Received, Room, Upload};
use crate::trace::{self, Scope, SpanKind, TraceContext, Underway};

/// Jobs of one node under way at once, at the least and at the most; in between as many as the cluster has workers.
const RUNNING_MIN: usize = 2;
const RUNNING_MAX: usize = 256;
/// How long a job waits that nobody has a place for, at the least and at the most.
const PUT_OFF_MIN: Duration = Duration::from_secs(1);
const PUT_OFF_MAX: Duration = Duration::from_secs(60);
/// How often jobs are forgotten that have come to their end long enough ago.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

impl Node {
    /// The jobs that this node keeps.
    pub fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    /// Accepts a job: it is safe here, and at a second node where there is one, when this returns.
    pub async fn accept_job(
        self: &Arc<Self>,
        client: ClientTag,
        ask: Ask,
        upload: Upload,
    ) -> Result<Accepted, JobError> {
        self.copied(self.jobs.accept(client, ask, upload).await?).await
    }

    /// A job that is accepted, and kept by a second node as well by now, if that can be.
    pub async fn copied(self: &Arc<Self>, accepted: Accepted) -> Result<Accepted, JobError> {
        if !accepted.new {
            return Ok(accepted);
        }
        let number = accepted.record.number;
        self.copy_job(number).await;
        // It says by now who keeps it; it may have come to its end, even.
        let record = self.jobs.find(number).await?.unwrap_or(accepted.record);
        Ok(Accepted { record, new: true })
    }

    /// Asks another node about jobs that it keeps.
    pub async fn ask_jobs(&self, peer: &Identity, question: &JobQuestion) -> Result<JobAnswer, PeerError> {
        self.peers.ask_jobs(peer, question).await
    }

    /// Asks another node for a result that it keeps for a job.
    pub async fn fetch_output(
        &self,
        peer: &Identity,
        job: &str,
        at: usize,
    ) -> Result<Option<Delivery>, PeerError> {
        self.peers.fetch_output(peer, job, at).await
    }

    /// Brings a peer's result here, for one answer.
    pub async fn receive_output(&self, delivery: Delivery, limits: &Limits) -> Result<Received, IngestError> {
        self.store.receive_result(delivery.response.into_body(), limits).await
    }

    /// Room for a client's video of so many bytes.
    pub fn room_of(&self, client: ClientTag, bytes: u64) -> Result<Room, NoRoom> {
        self.incoming.share_of(client).room(bytes)
    }

    /// A result of a job that this node keeps, from the cache or from what the job keeps.
    pub async fn output(&self, record: &Record, at: usize) -> Option<std::io::Result<Object>> {
        let Stage::Done { outputs, .. } = &record.stage else { return None };
        let meta = &outputs.get(at)?.meta;
        if let Ok(profile) = self.profile(Some(meta.profile.as_str()))
            && let Some(object) = self.cached(&Key::new(meta.content, &profile)).await
            && object.sha256() == meta.sha256
        {
            return Some(Ok(object));
        }
        Some(self.store.kept_output(record.number, at, meta.clone()).await)
    }

    /// What a job that this node keeps is to be made of; none where it has come to its end.
    pub async fn kept_video(&self, record: &Record) -> Option<std::io::Result<Object>> {
        let profile = record.ask.wish.profiles.first().filter(|_| !record.stage.state().is_over())?;
        Some(self.store.kept_video(record.number, record.ask.content, profile).await)
    }

    /// How many jobs are under way at once.
    fn running_jobs_max(&self) -> usize {
        let view = self.view();
        let peers = view.peers.iter().filter(|peer| peer.state.is_live());
        let workers = peers.map(|peer| usize::from(peer.identity.capacity_jobs)).sum::<usize>();
        (workers + usize::from(self.config.workers)).clamp(RUNNING_MIN, RUNNING_MAX)
    }
}

/// Takes up what a node's journal has, and does it and what comes.
pub(super) async fn begin(node: &Arc<Node>, tasks: &mut JoinSet<()>) -> Result<(), JobError> {
    node.jobs.resume(|client, bytes| node.incoming.share_of(client).room(bytes).ok()).await?;
    tasks.spawn(work(Arc::clone(node)));
    tasks.spawn(sweep_regularly(Arc::clone(node)));
    Ok(())
}

/// Does the jobs of a node, for as long as it lives; aborted when it stops.
async fn work(node: Arc<Node>) {
    loop {
        if !node.is_draining() && !node.rests() {
            while let Some(job) = node.jobs.next(node.running_jobs_max()).await {
                let node = Arc::clone(&node);
                // Ends by itself, at its deadline at the latest, or with the process.
                let scope = scope_of(&job.record);
                let underway = Underway::begin(&scope, SpanKind::Internal, true, || "job".to_owned());
                tokio::spawn(trace::within(scope, async move {
                    run(&node, job).await;
                    drop(underway);
                    node.jobs.rests();
                }));
            }
        }
        node.jobs.woken().await;
    }
}

/// Forgets old jobs, for as long as the node lives; aborted when it stops.
async fn sweep_regularly(node: Arc<Node>) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tick.tick().await;
        if let Err(error) = node.jobs.sweep().await {
            tracing::warn!(%error, "old jobs can't be forgotten: tried again later");
        }
    }
}

/// A try at a job: in the trace that it came in.
fn scope_of(record: &Record) -> Scope {
    let came_in = record.ask.wish.trace.as_deref().and_then(TraceContext::of_traceparent);
    let scope = Scope::new(came_in.unwrap_or_default());
    scope.identify(record.client, Some(record.ask.content));
    scope
}

/// How one try at a job went.
enum Tried {
    /// This is its end.
    Over(Stage),
    /// Nobody has a place for it.
    NoPlace(Duration),
    /// It is not wanted any more.
    Unwanted,
}

async fn run(node: &Arc<Node>, job: Begun) {
    let Begun { record, cancel } = job;
    let tried = tokio::select! {
        biased;
        () = cancel.cancelled() => Tried::Unwanted,
        tried = attempt(node, &record) => tried,
    };
    match tried {
        Tried::Over(stage) => drop(node.jobs.finish(record.number, stage).await),
        Tried::NoPlace(wait) => {
            tracing::debug!(job = %record.id(), ?wait, "no place for a job now");
            node.jobs.put_off(record.number, wait).await;
        }
        Tried::Unwanted => {}
    }
}

async fn attempt(node: &Arc<Node>, record: &Record) -> Tried {
    let served = match served(node, record).await {
        Ok(served) => served,
        Err(Failure::Work { error, profile }) => return failed(profile, error),
        Err(why) => return over(Stage::Failed { at_ms: now_ms(), why }),
    };
    let damage = served.iter().find_map(|served| served.object.damage()).filter(|_| record.ask.wish.strict);
    if let Some(damage) = damage {
        let why = Failure::Damaged { damage: damage.in_words() };
        return over(Stage::Failed { at_ms: now_ms(), why });
    }
    let mut outputs = Vec::new();
    for (at, served) in served.iter().enumerate() {
        if let Err(error) = node.store.keep_output(record.number, at, &served.object).await {
            tracing::warn!(%error, "a job's result can't be kept: tried again later");
            return Tried::NoPlace(PUT_OFF_MAX);
        }
        outputs.push(Output {
            meta: served.object.meta().clone(),
            by: served.by.name.clone(),
            route: served.route_text(),
            cache: served.cache.as_str().to_owned(),
        });
    }
    over(Stage::Done { at_ms: now_ms(), outputs })
}

const fn over(stage: Stage) -> Tried {
    Tried::Over(stage)
}

fn failed(profile: Option<crate::profile::ProfileName>, error: WorkError) -> Tried {
    let wait = match &error {
        WorkError::Draining => Some(PUT_OFF_MIN),
        // Room comes and goes.
        WorkError::DiskFull => Some(PUT_OFF_MAX),
        error => error.retry_after(),
    };
    match wait {
        Some(wait) => Tried::NoPlace(wait.clamp(PUT_OFF_MIN, PUT_OFF_MAX)),
        None => over(Stage::Failed { at_ms: now_ms(), why: Failure::Work { profile, error } }),
    }
}

/// The results of a job, made as those of an upload are.
async fn served(node: &Arc<Node>, record: &Record) -> Result<Vec<Served>, Failure> {
    let ask = &record.ask;
    let profiles = ask.wish.profiles.iter().map(|name| node.profile(Some(name.as_str())));
    let profiles: Vec<Arc<Profile>> =
        profiles.collect::<Result<_, _>>().map_err(|error| Failure::Lost { what: error.to_string() })?;
    let upload: Arc<Upload> = Arc::new(node.jobs.video(record).await?);
    let (now, timings) = (Instant::now(), Timings::new(Instant::now()));
    let budget = TimeBudget::new(now, ask.allowed());
    let job = |profile: &Arc<Profile>| -> Job {
        let input = Input { upload: Arc::clone(&upload), profile: Arc::clone(profile) };
        input.into_job(record.client, budget, timings.branch())
    };
    // While this is under way, who asks for the job is told who does what of it.
    let parts = profiles.iter().map(|profile| node.doers.follow(ask.content, profile.name.clone()));
    let parts: Vec<_> = parts.collect();
    let served = match &profiles[..] {
        [profile] => node.transcode(job(profile)).await.map(|served| vec![served]).map_err(NotAll::from),
        profiles => {
            let jobs = profiles.iter().map(job).collect();
            node.transcode_all(jobs, |at| parts[at].is_made()).await
        }
    };
    let served = served.map_err(|NotAll { profile, error }| Failure::Work { profile, error })?;
    for (served, profile) in served.iter().zip(&profiles) {
        node.tell_served(ServedFor::Job, (&ask.content, profile), served, &timings);
    }
    Ok(served)
}
