//! The desk beside a slow, obvious one: lists, and every question answered by going through them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::testing::start;

const WORKERS: usize = 2;
const CAPACITY: usize = 4;
const CLIENTS: u64 = 4;
/// Nothing is too late here.
const FAR: Duration = Duration::from_secs(1_000_000);

/// What may happen to a desk. Numbers pick one of what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve { client: u64, megapixels: u64 },
    Release(usize),
    SendAway(usize),
    Submit(usize),
    Next,
    Guest,
    End { at: usize, failed: bool },
    Withdraw(usize),
    Pass { ms: u64 },
    HandOver,
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..CLIENTS, 0u64..500).prop_map(|(client, megapixels)| Step::Reserve { client, megapixels }),
        1 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::SendAway),
        8 => any::<usize>().prop_map(Step::Submit),
        6 => Just(Step::Next),
        2 => Just(Step::Guest),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(at, failed)| Step::End { at, failed }),
        1 => any::<usize>().prop_map(Step::Withdraw),
        4 => (0u64..4_000).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::HandOver),
    ];
    let drain = prop_oneof![9 => Just(None), 1 => Just(Some(Step::Drain))];
    (prop::collection::vec(step, 1..120), drain).prop_map(|(mut steps, drain)| {
        let at = steps.len() * 2 / 3;
        if let Some(drain) = drain {
            steps.insert(at, drain);
        }
        steps
    })
}

/// A place that is held, or a job.
#[derive(Clone, Debug)]
struct Item<Id> {
    id: Id,
    job: JobSpec,
    begun: Option<Instant>,
}

/// The obvious desk.
struct Model {
    now: Instant,
    reserved: Vec<Item<ReservationId>>,
    waiting: Vec<Item<JobId>>,
    running: Vec<Item<JobId>>,
    /// By client: when its last job began.
    begun: Vec<Option<Instant>>,
    draining: bool,
    totals: Totals,
}

fn seconds(job: &JobSpec) -> Duration {
    Duration::try_from_secs_f64(speed::guess_s(job.work_pixels)).unwrap()
}

impl Model {
    /// Clients of all that waits or is on its way, once for each.
    fn line(&self) -> Vec<ClientTag> {
        let reserved = self.reserved.iter().map(|entry| entry.job.client);
        self.waiting.iter().map(|entry| entry.job.client).chain(reserved).collect()
    }

    fn of(line: &[ClientTag], client: ClientTag) -> usize {
        line.iter().filter(|other| **other == client).count()
    }

    fn is_full(&self) -> bool {
        self.line().len() >= CAPACITY + WORKERS.saturating_sub(self.running.len())
    }

    /// Who has to make room for this client: the last waiting job of the client with the most.
    fn who_gives_way(&self, newcomer: ClientTag) -> Option<usize> {
        let line = self.line();
        let most = line.iter().copied().max_by_key(|client| (Self::of(&line, *client), *client))?;
        let gives = most != newcomer && Self::of(&line, most) > Self::of(&line, newcomer) + 1;
        gives.then(|| self.waiting.iter().rposition(|entry| entry.job.client == most)).flatten()
    }

    /// How long a job of this client that takes `cost` waits behind those that have all workers, and since when the last of them runs.
    fn guest(&self, client: ClientTag, cost: Duration) -> Option<(Duration, Instant)> {
        let hosts: BTreeSet<ClientTag> = self.running.iter().map(|entry| entry.job.client).collect();
        let last = self.running.iter().filter_map(|entry| entry.begun).max()?;
        let after = if hosts.len() == 1 { turns::GUEST_AFTER } else { (4 * cost).max(turns::GUEST_AFTER) };
        (self.running.len() == WORKERS && !hosts.contains(&client)).then_some((after, last))
    }

    /// That of a client of which nothing is known.
    fn wait(&self, client: ClientTag) -> Duration {
        self.wait_for(client, estimate::USUAL_GUESS)
    }

    fn wait_for(&self, client: ClientTag, cost: Duration) -> Duration {
        let line = self.line();
        if self.running.len() + line.len() < WORKERS {
            return Duration::ZERO;
        }
        // Of each other client as many come first as this one has, and one more.
        let may = |other: ClientTag| {
            if other == client { usize::MAX } else { Self::of(&line, client) + 1 }
        };
        let mut work = Duration::ZERO;
        for other in (0..CLIENTS).map(ClientTag) {
            let jobs = self.waiting.iter().filter(|entry| entry.job.client == other).map(|e| seconds(&e.job));
            let places = self.reserved.iter().filter(|entry| entry.job.client == other);
            let places = places.map(|_| estimate::USUAL_GUESS);
            work += jobs.chain(places).take(may(other)).sum::<Duration>();
        }
        let left = |entry: &Item<JobId>| seconds(&entry.job).saturating_sub(self.now - entry.begun.unwrap());
        let mut running = self.running.iter().map(left).sum::<Duration>() / WORKERS as u32;
        if let Some((after, _)) = self.guest(client, cost) {
            running = running.min(after);
        }
        work / WORKERS as u32 + running
    }

    /// The job whose turn it is, of the clients that `may`: fewest running, then longest not begun, then first come.
    fn next(&mut self, may: impl Fn(&Item<JobId>) -> bool) -> Option<JobId> {
        let runs: Vec<_> = self.running.iter().map(|entry| entry.job.client).collect();
        let turn = |entry: &Item<JobId>| {
            (Self::of(&runs, entry.job.client), self.begun[entry.job.client.0 as usize])
        };
        let candidates: Vec<_> = (0..self.waiting.len()).filter(|at| may(&self.waiting[*at])).collect();
        let at = candidates.into_iter().min_by_key(|at| (turn(&self.waiting[*at]), *at))?;
        let mut entry = self.waiting.remove(at);
        self.begun[entry.job.client.0 as usize] = Some(self.now);
        entry.begun = Some(self.now);
        self.totals.begun += 1;
        let id = entry.id;
        self.running.push(entry);
        Some(id)
    }
}

/// Both desks, step by step.
fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut desk = Desk::new(WORKERS, CAPACITY);
    let mut model = Model {
        now: start(),
        reserved: Vec::new(),
        waiting: Vec::new(),
        running: Vec::new(),
        begun: vec![None; CLIENTS as usize],
        draining: false,
        totals: Totals::default(),
    };
    for step in steps {
        take(&mut desk, &mut model, *step)?;
        let stats = desk.stats(model.now);
        let here = (model.waiting.len(), model.reserved.len(), model.running.len());
        prop_assert_eq!((stats.queued, stats.reserved, stats.running), here);
        prop_assert_eq!(stats.totals, model.totals);
        prop_assert!(stats.running <= WORKERS + 1);
        for client in (0..CLIENTS).map(ClientTag) {
            let wait = model.wait(client);
            prop_assert_eq!(desk.wait(model.now, client, None), wait, "the wait of {}", client);
            prop_assert!(desk.begins_after(model.now, client, None) <= wait);
        }
        let jobs = (here.0 + here.1 + here.2) * 1000 / WORKERS;
        prop_assert_eq!(desk.backlog(model.now, ClientTag(0), None).jobs_per_worker_permille as usize, jobs);
    }
    Ok(())
}

fn pick<T>(list: &[T], at: usize) -> Option<usize> {
    (!list.is_empty()).then(|| at % list.len())
}

fn take(desk: &mut Desk, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let now = model.now;
    match step {
        Step::Reserve { client, megapixels } => {
            let job = JobSpec {
                client: ClientTag(client),
                content: ContentId::of(&megapixels.to_le_bytes()),
                profile: "p".parse().unwrap(),
                work_pixels: megapixels * 1_000_000,
                deadline: now + FAR,
            };
            reserve(desk, model, job)?;
        }
        Step::Release(at) => {
            if let Some(at) = pick(&model.reserved, at) {
                desk.release(model.reserved.remove(at).id);
            }
        }
        Step::SendAway(at) => {
            if let Some(at) = pick(&model.reserved, at) {
                desk.send_away(model.reserved.remove(at).id);
            }
        }
        Step::Submit(at) => {
            if let Some(at) = pick(&model.reserved, at) {
                let Item { id, job, .. } = model.reserved.remove(at);
                match desk.submit(now, id, job.clone()) {
                    Ok(id) => model.waiting.push(Item { id, job, begun: None }),
                    Err(refusal) => {
                        prop_assert!(model.draining && refusal == Refusal::Draining, "{refusal:?}");
                    }
                }
            }
        }
        Step::Next => {
            if model.running.len() < WORKERS {
                let next = desk.next(now, |_| false);
                prop_assert_eq!(next, model.next(|_| true).map_or(Next::Idle, Next::Begin));
            }
        }
        Step::Guest => guest(desk, model)?,
        Step::End { at, failed } => {
            if let Some(at) = pick(&model.running, at) {
                let Item { id, .. } = model.running.remove(at);
                desk.end(now, id, if failed { Ending::Failed } else { Ending::Ended });
                let total = if failed { &mut model.totals.failed } else { &mut model.totals.cancelled };
                *total += 1;
            }
        }
        Step::Withdraw(at) => {
            if let Some(at) = pick(&model.waiting, at) {
                prop_assert!(desk.withdraw(model.waiting.remove(at).id));
                model.totals.cancelled += 1;
            }
        }
        Step::Pass { ms } => model.now += Duration::from_millis(ms),
        Step::HandOver => {
            let all: Vec<_> = model.waiting.drain(..).map(|entry| entry.id).collect();
            prop_assert_eq!(desk.hand_over(), all);
        }
        Step::Drain => {
            desk.drain();
            model.draining = true;
        }
    }
    Ok(())
}

fn reserve(desk: &mut Desk, model: &mut Model, job: JobSpec) -> Result<(), TestCaseError> {
    let gives_way = model.who_gives_way(job.client);
    let wait = model.wait_for(job.client, seconds(&job));
    match desk.reserve(model.now, &job, Entry::Newcomer) {
        Ok(granted) => {
            prop_assert!(!model.draining && (!model.is_full() || gives_way.is_some()));
            let gone = model.is_full().then_some(gives_way).flatten().map(|at| model.waiting.remove(at));
            prop_assert_eq!(granted.displaced.map(|(id, _)| id), gone.as_ref().map(|entry| entry.id));
            model.totals.cancelled += u64::from(gone.is_some());
            model.reserved.push(Item { id: granted.reservation, job, begun: None });
            if let (Some((_, retry_after)), Some(gone)) = (granted.displaced, gone) {
                prop_assert_eq!(retry_after, model.wait(gone.job.client));
            }
        }
        Err(Refusal::Draining) => prop_assert!(model.draining),
        Err(Refusal::Full { waiting, retry_after }) => {
            prop_assert!(model.is_full() && gives_way.is_none());
            prop_assert_eq!(waiting, model.line().len());
            prop_assert_eq!(retry_after, wait.max(RETRY_AFTER_MIN));
        }
        Err(late @ Refusal::TooLate { .. }) => prop_assert!(false, "{late:?}"),
    }
    Ok(())
}

fn guest(desk: &mut Desk, model: &mut Model) -> Result<(), TestCaseError> {
    if model.running.len() > WORKERS {
        return Ok(());
    }
    let next = desk.next_guest(model.now, |_| false);
    let (now, waiting) = (model.now, model.waiting.clone());
    let due: Vec<JobId> = waiting
        .iter()
        .filter(|entry| {
            let guest = model.guest(entry.job.client, seconds(&entry.job));
            guest.is_some_and(|(after, since)| now - since >= after)
        })
        .map(|entry| entry.id)
        .collect();
    if let Some(begun) = model.next(|entry| due.contains(&entry.id)) {
        prop_assert_eq!(next, Next::Begin(begun));
    } else if waiting.is_empty() {
        prop_assert_eq!(next, Next::Idle);
    } else {
        prop_assert!(matches!(next, Next::Later(after) if after <= turns::GUEST_AFTER), "{next:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_desk_does_what_the_obvious_one_does(steps in steps()) {
        run(&steps)?;
    }
}
