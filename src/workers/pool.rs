use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use starling_placement::desk::{
    Asked, Backlog, Desk, DeskStats, Entry, Estimate, Granted, JobSpec, Ready, Speed,
};
use starling_placement::error::WorkError;
use tokio::sync::watch;

use super::cancel::{Cancel, CancelOnDrop};
use super::error::SubmitError;
use super::hardware::{Hardware, HardwareMode};
use super::job::{Bench, Job};
use super::probe::Prober;
use super::reservation::Reservation;
use super::sandbox::Sandbox;
use super::shared::{Shared, State, spec, unseen};
use super::ticket::Ticket;
use super::tools::Tools;
use super::verify::{Unfit, Verified, Wanted};
use crate::content::{ClientTag, ContentId, Damage, MediaInfo, MediaLimits};
use crate::events::Events;
use crate::load::CpuUse;
use crate::profile::{Profile, ProfileName, Unsuitable, VideoCodec};
use crate::store::{DataDir, Received};
use crate::trace::spawn_blocking;

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// ffmpeg children at once.
    pub workers: usize,
    /// Jobs that may wait.
    pub queue_capacity_jobs: usize,
    /// The programs.
    pub tools: Tools,
    /// How children are confined.
    pub sandbox: Sandbox,
    /// Bounds of one file.
    pub limits: MediaLimits,
    /// Where results are made.
    pub dir: DataDir,
    /// Which encoders in hardware are looked for.
    pub hardware: HardwareMode,
    /// Told of what becomes of jobs.
    pub events: Events,
}

/// A reading of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolStats {
    /// Jobs waiting.
    pub queued: usize,
    /// Places held for jobs that are on their way.
    pub reserved: usize,
    /// Jobs that may wait.
    pub queue_capacity: usize,
    /// Jobs being transcoded.
    pub running: usize,
    /// Jobs that may be transcoded at once.
    pub workers: usize,
    /// Recent mean time of one job with a worker, in milliseconds; 0 before the first.
    pub service_ms: u32,
    /// Learned speed of one worker; none before the first.
    pub speed: Option<Speed>,
    /// How long a job that comes now is likely to wait for a worker, in milliseconds.
    pub wait_ms: u32,
    /// ffmpeg runs started here since the node's start.
    pub transcodes_total: u64,
    /// Those of them that gave a result.
    pub completed_total: u64,
    /// Those of them that failed.
    pub failures_total: u64,
    /// Jobs cancelled or past their deadline, in the queue or while running.
    pub cancelled_total: u64,
    /// CPU of ffmpeg runs that gave a result, and of those that did not.
    pub ffmpeg_cpu: (Duration, Duration),
    /// The same of ffprobe.
    pub ffprobe_cpu: (Duration, Duration),
}

/// What happens to the jobs in the queue when a pool is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// They are run here, as far as the time goes.
    Finish,
    /// They are answered [`super::TranscodeError::Draining`] at once, for their owners to run them on another node.
    HandOver,
}

/// Runs jobs. Clones are the same pool; when the last is dropped, its jobs are cancelled and its threads end.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

struct Owner(Arc<Shared>);

impl Pool {
    /// Starts the worker threads. They block on their children and are no part of any runtime.
    pub fn start(config: PoolConfig) -> io::Result<Self> {
        let cores = thread::available_parallelism()?.get();
        let tools = Arc::new(config.tools);
        // A look at a file is short, and somebody waits for it: before the work that is nice, and after the node, which others
        // wait for too.
        let quick = Sandbox {
            nice: config.sandbox.nice / 2,
            memory_bytes_max: config.limits.probe_memory_bytes_max.min(config.sandbox.memory_bytes_max),
            ..config.sandbox.clone()
        };
        let prober = Prober::new(Arc::clone(&tools), quick, config.limits.clone(), cores);
        let bench = Bench {
            tools,
            sandbox: config.sandbox,
            limits: config.limits,
            dir: config.dir,
            prober,
            cpu: CpuUse::default(),
            hardware: Hardware::default(),
        };
        let shared = Arc::new(Shared {
            bench,
            cores,
            state: Mutex::new(State::new(Desk::new(config.workers, config.queue_capacity_jobs))),
            work: Condvar::new(),
            guests: Condvar::new(),
            left: watch::Sender::new(0),
            events: config.events,
        });
        // Owned before the first thread starts, so that a failure below ends those that did.
        let pool = Self(Arc::new(Owner(Arc::clone(&shared))));
        for index in 0..config.workers.max(1) {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || shared.work())?;
        }
        if config.hardware != HardwareMode::Off {
            let shared = Arc::clone(&shared);
            let look = move || shared.bench.look_for_hardware(&config.hardware);
            thread::Builder::new().name("hardware-test".to_owned()).spawn(look)?;
        }
        thread::Builder::new().name("worker-guest".to_owned()).spawn(move || shared.work_for_guests())?;
        Ok(pool)
    }

    /// Puts a job into the queue, if it can be done: there is room, and by what was learned there is time. One that was
    /// told to come back now ([`Self::book`]) goes before those that were not.
    pub fn submit(&self, job: Job) -> Result<Ticket, SubmitError> {
        self.suits(&job.profile, &job.info)?;
        self.place(&spec(&job))?.submit(job)
    }

    fn place(&self, job: &JobSpec) -> Result<Reservation, SubmitError> {
        let mut state = self.0.0.lock();
        let granted = state.desk.reserve(Instant::now(), job, Entry::Booked)?;
        Ok(self.granted(state, granted))
    }

    fn granted(&self, mut state: MutexGuard<'_, State>, granted: Granted) -> Reservation {
        let shared = &self.0.0;
        let Granted { reservation, booked, displaced } = granted;
        let displaced = displaced.and_then(|(id, retry_after)| Some((state.tasks.remove(&id)?, retry_after)));
        drop(state);
        shared.displace(displaced);
        Reservation { shared: Arc::clone(shared), id: reservation, booked }
    }

    /// A place for a client's job of which nothing is known yet but its content, if one like it would be taken.
    pub fn reserve_unseen(
        &self,
        client: ClientTag,
        profile: &ProfileName,
        content: ContentId,
        deadline: Instant,
    ) -> Option<Reservation> {
        let mut state = self.0.0.lock();
        let job = unseen(client, profile, content, deadline);
        let granted = state.desk.reserve_unseen(Instant::now(), &job)?;
        Some(self.granted(state, granted))
    }

    /// Whether [`Self::reserve_unseen`] would give a place.
    pub fn would_take(
        &self,
        client: ClientTag,
        profile: &ProfileName,
        content: ContentId,
        deadline: Instant,
    ) -> bool {
        let job = unseen(client, profile, content, deadline);
        self.0.0.lock().desk.would_reserve_unseen(Instant::now(), &job)
    }

    /// When a job that is refused now will be taken: see [`Desk::book`]. `work_pixels` is what is known of it.
    pub fn book(
        &self,
        client: ClientTag,
        profile: &ProfileName,
        content: ContentId,
        work_pixels: Option<u64>,
        allowed: Duration,
    ) -> Option<Duration> {
        let job = (client, content, profile);
        self.0.0.lock().desk.book(Instant::now(), job, work_pixels, allowed)
    }

    /// A job that may have been told to come now has come: see [`Desk::hold_booking`].
    pub fn hold_booking(&self, profile: &ProfileName, content: ContentId) {
        self.0.0.lock().desk.hold_booking(Instant::now(), content, profile);
    }

    /// The result of this is there: a client that was told to come back for it needs no place.
    pub fn unbook(&self, profile: &Profile, content: ContentId) {
        self.0.0.lock().desk.unbook(content, &profile.name);
    }

    /// How much work stands before a client's job that comes now, and holds this place already if it holds one.
    pub fn backlog(&self, client: ClientTag, own: Option<&Reservation>) -> Backlog {
        let own = own.map(|own| own.id);
        self.0.0.lock().desk.backlog(Instant::now(), client, own)
    }

    /// The answer to a peer that offers a job: see [`Desk::consider`].
    pub fn consider(&self, asked: &Asked<'_>) -> Result<(Reservation, Ready), WorkError> {
        let mut state = self.0.0.lock();
        let (granted, ready) = state.desk.consider(Instant::now(), asked)?;
        Ok((self.granted(state, granted), ready))
    }

    /// What a job costs, if it can be made here at all.
    pub fn work_pixels(&self, profile: &Profile, info: &MediaInfo) -> Result<u64, SubmitError> {
        self.suits(profile, info)?;
        Ok(profile.work_pixels(info))
    }

    /// How long a client's job of this profile keeps a worker here, once enough of them were done to tell.
    pub fn usual_service(&self, client: ClientTag, profile: &ProfileName) -> Option<Duration> {
        self.0.0.lock().desk.usual_service(Instant::now(), client, profile)
    }

    /// How long such a job of this client would wait and take here.
    pub fn estimate(&self, client: ClientTag, profile: &ProfileName, work_pixels: u64) -> Estimate {
        self.0.0.lock().desk.estimate(Instant::now(), client, profile, work_pixels)
    }

    /// Lets a result that another node delivered through, if it passes what one that is made here has to pass. Cancel-safe.
    /// `told`: what of the input that node could not read, as it says.
    pub async fn verify(
        &self,
        wanted: Wanted<'_>,
        received: Received,
        told: Option<Damage>,
    ) -> Result<Verified, Unfit> {
        let unseen = |error: &dyn std::fmt::Display| Unfit::Unseen(error.to_string());
        let cancel = Arc::new(Cancel::new().map_err(|error| unseen(&error))?);
        let _guard = CancelOnDrop(Arc::clone(&cancel));
        let (shared, profile) = (Arc::clone(&self.0.0), Arc::clone(wanted.profile));
        let content = wanted.content;
        let input = wanted.input.map(|(path, info)| (path.to_owned(), info.clone()));
        // The thread that spawns an ffprobe waits for it, as its death signal asks for.
        let verified = spawn_blocking(move || {
            let input = input.as_ref().map(|(path, info)| (path.as_path(), info));
            let wanted = Wanted { content, profile: &profile, input };
            let Received { sha256, bytes, file, .. } = received;
            shared.bench.verifier().foreign(wanted, (file, bytes, sha256), told, &cancel)
        });
        verified.await.unwrap_or_else(|error| Err(unseen(&error)))
    }

    /// Whether a profile can be made of a file here.
    pub fn suits(&self, profile: &Profile, info: &MediaInfo) -> Result<(), Unsuitable> {
        profile.suits(info)?;
        profile.within(&self.0.0.bench.limits, info)
    }

    /// The ffprobe that goes with this pool.
    pub fn prober(&self) -> &Prober {
        &self.0.0.bench.prober
    }

    /// What is encoded in hardware here, by the profiles that allow it.
    pub fn hardware_codecs(&self) -> Vec<VideoCodec> {
        self.0.0.bench.hardware.codecs()
    }

    /// The programs this pool runs.
    pub fn tools(&self) -> &Tools {
        &self.0.0.bench.tools
    }

    /// A reading of the pool.
    pub fn stats(&self) -> PoolStats {
        let shared = &self.0.0;
        let state = shared.lock();
        let DeskStats { queued, came_back: _, reserved, running, service, speed, wait, totals } =
            state.desk.stats(Instant::now());
        PoolStats {
            queued,
            reserved,
            queue_capacity: state.desk.queue_capacity_jobs(),
            running,
            workers: state.desk.workers(),
            service_ms: service.map_or(0, millis),
            speed,
            wait_ms: millis(wait),
            transcodes_total: totals.begun,
            completed_total: totals.done,
            failures_total: totals.failed,
            cancelled_total: totals.cancelled,
            ffmpeg_cpu: shared.bench.cpu.read(),
            ffprobe_cpu: shared.bench.prober.cpu().read(),
        }
    }

    /// Takes nothing more, and comes back when no job is left; after `bound` the rest are killed. Whether none had to be.
    pub async fn drain(&self, bound: Duration, queued: Queued) -> bool {
        let shared = &self.0.0;
        let mut left = shared.left.subscribe();
        shared.begin_drain(queued);
        let all_gone = left.wait_for(|_| shared.is_idle());
        let in_time = tokio::time::timeout(bound, all_gone).await.is_ok();
        if !in_time {
            shared.cancel_all();
            // Each child is being killed now; its worker says so within moments. The sender lives as long as we do.
            if left.wait_for(|_| shared.is_idle()).await.is_err() {
                tracing::error!("the worker pool went away while it was drained");
            }
        }
        in_time
    }
}

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.desk.drain();
        drop(state);
        self.0.cancel_all();
        self.0.work.notify_all();
        self.0.guests.notify_all();
    }
}
