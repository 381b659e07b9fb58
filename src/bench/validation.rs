//! The same requests on the lab and in the simulator: what was measured beside what was predicted, and what each of both spent its
//! time on.
//!
//! A cell runs on the lab, and its nodes tell how long each job kept a worker. The simulator gets the same arrivals at the same nodes,
//! with the same lengths and those times, and has the same policy. So what differs is what the simulator does not have: see [`NOTE`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use starling_placement::policy::{Policy, ScoreWeights};
use starling_placement::sim::{Decider, Recorded, Setup, simulate};
use tokio::task::JoinSet;

use super::BenchError;
use super::cell::{Common, Run};
use super::cluster::Cluster;
use super::plan::Cell;
use super::report::{Side, Validation, ValidationRow};
use super::stats;
use crate::client::load::Record;
use crate::client::{Client, Event, Events, Wanted};

/// Pixels of work that a simulated job has for each second that such jobs took on average: only that they are in proportion counts.
const PIXELS_PER_S: f64 = 100e6;
/// What explains a difference.
pub(super) const NOTE: &str = "Arrivals, nodes, lengths and the time that each job kept a worker are the same on both sides; a job \
    that was not done on the lab has the mean time of its clip. The simulator has no cost of its own for receiving, hashing and \
    looking at a video or for starting ffmpeg, its clients have 100 Mbit/s and 10 ms to each node, and what a job takes does not \
    depend on the node that does it. On one machine the nodes, the shaper and the load generator share the cores as well, which makes \
    the lab's waits longer where it is full: what is beyond the work is the way, the wait, and that.";

/// How long a job kept a worker, and the length of its result, by the first digits of its content.
type Services = BTreeMap<String, (Duration, u64)>;

/// Listens to what the workers of all nodes have done, until it is dropped.
pub(super) struct Listener {
    services: Arc<Mutex<Services>>,
    /// Aborted with this.
    _tasks: JoinSet<()>,
}

impl Listener {
    pub(super) async fn start(cluster: &Cluster) -> Result<Self, BenchError> {
        let services = Arc::new(Mutex::new(Services::new()));
        let mut tasks = JoinSet::new();
        for node in cluster.nodes(None) {
            let target = Cluster::target(node)?;
            let wanted = Wanted { kinds: Some("work".to_owned()), new_only: true, follow: true };
            let events = Events::open(&Client::new(), &target.endpoint, &wanted, None).await;
            let mut events = events.map_err(|error| BenchError::Lab(error.to_string()))?;
            let services = Arc::clone(&services);
            tasks.spawn(async move {
                while let Ok(Some((event, _))) = events.next().await {
                    if let Some((content, service)) = made(&event) {
                        services.lock().insert(content, service);
                    }
                }
            });
        }
        Ok(Self { services, _tasks: tasks })
    }
}

/// What a node says of a job that is done.
fn made(event: &Event) -> Option<(String, (Duration, u64))> {
    let number = |name: &str| event.fields.get(name)?.as_u64();
    (event.event == "made").then_some(())?;
    let content = event.fields.get("content")?.as_str()?.to_owned();
    Some((content, (Duration::from_millis(number("took_ms")?), number("bytes_out")?)))
}

/// What was sent, for the simulator. `content` is what nodes call an upload; `nodes` are the places of those that were sent to.
fn recorded(
    records: &[Record],
    services: &Services,
    content: impl Fn(u64) -> Option<String>,
    nodes: &[usize],
) -> Vec<Recorded> {
    let of = |record: &Record| content(record.number).and_then(|content| services.get(&content)).copied();
    let mut means = BTreeMap::<usize, (u32, Duration, u64)>::new();
    let (mut count, mut all) = (0, Duration::ZERO);
    for record in records {
        if let Some((took, bytes)) = of(record) {
            let (jobs, sum, length) = means.entry(record.file).or_default();
            (*jobs, *sum, *length) = (*jobs + 1, *sum + took, bytes);
            (count, all) = (count + 1, all + took);
        }
    }
    let usual = all.checked_div(count).unwrap_or(Duration::from_secs(1));
    let request = |record: &Record| {
        let (mean, length) = means
            .get(&record.file)
            .map_or((usual, record.bytes / 2), |(jobs, sum, length)| (*sum / *jobs, *length));
        let (work, result_bytes) = of(record).unwrap_or((mean, length));
        Some(Recorded {
            at: record.at,
            node: *nodes.get(record.node?)?,
            bytes: record.bytes,
            result_bytes,
            work,
            work_pixels: (mean.as_secs_f64() * PIXELS_PER_S) as u64,
        })
    };
    records.iter().filter_map(request).collect()
}

/// Runs a cell on the lab, and then in the simulator.
pub(super) async fn run(
    common: &Common<'_>,
    cell: &Cell,
    cluster: &Cluster,
    validation: &mut Validation,
) -> Result<(), BenchError> {
    let listener = Listener::start(cluster).await?;
    let Run { records, sending, .. } = common.send(cell, cluster).await?;
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    let name = move |number| Ok((number, sending.content(number)?.short()));
    let hashed =
        tokio::task::spawn_blocking(move || numbers.into_iter().map(name).collect::<std::io::Result<_>>());
    let contents: BTreeMap<u64, String> = hashed
        .await
        .map_err(std::io::Error::other)
        .and_then(|names| names)
        .map_err(|error| BenchError::Lab(error.to_string()))?;
    let services = std::mem::take(&mut *listener.services.lock());
    drop(listener);
    let nodes: Vec<usize> = (0..cluster.report.nodes.len()).collect();
    let content = |number: u64| contents.get(&number).cloned();
    let requests = recorded(&records, &services, content, &nodes);
    let work = requests.iter().map(|request| request.work.as_secs_f64()).sum::<f64>();
    let service_mean_ms = stats::round(work * 1000.0 / requests.len().max(1) as f64);
    let mut policy = Policy { kind: cell.setting.policy, ..Policy::default() };
    if let Some((load, rtt)) = cell.setting.weights {
        policy.weights = ScoreWeights::new(load, rtt).unwrap_or_default();
    }
    let timeout = common.options.timeout();
    let setup = Setup::replay(Decider::Policy(policy), nodes.len(), timeout, requests.clone(), cell.seed);
    let simulated = tokio::task::spawn_blocking(move || simulate(&setup, 1)).await;
    let figures = simulated.map_err(|error| BenchError::Lab(error.to_string()))?.figures;
    let latency = stats::latency(&records);
    let ms = |value: Option<f64>| stats::round(value.unwrap_or_default());
    validation.rows.push(ValidationRow {
        setting: cell.setting.label(),
        load: common.options.parallel.is_none().then_some(cell.load),
        seed: cell.seed,
        requests: requests.len() as u64,
        service_mean_ms,
        measured: Side {
            success_ratio: stats::success_ratio(records.iter()).unwrap_or_default(),
            mean_ms: latency.mean_ms,
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
        },
        simulated: Side {
            success_ratio: figures.success_ratio,
            mean_ms: ms(figures.mean_ms),
            p50_ms: ms(figures.p50_ms),
            p99_ms: ms(figures.p99_ms),
        },
    });
    validation.recorded.push(requests);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::load::Ended;

    #[test]
    fn jobs_that_were_not_done_have_the_mean_time_of_their_clip() {
        let record = |number: u64, file: usize| Record {
            number,
            at: Duration::from_secs(number),
            took: Duration::from_secs(3),
            file,
            node: Some(1),
            bytes: 100,
            ended: Ended::Served("local"),
        };
        let ms = Duration::from_millis;
        let services: Services =
            [("a".to_owned(), (ms(1_000), 40)), ("b".to_owned(), (ms(3_000), 40))].into();
        let records = [record(0, 7), record(1, 7), record(2, 7), record(3, 8)];
        let content = |number: u64| ["a", "b", "c", "d"].get(number as usize).map(|name| (*name).to_owned());
        let requests = recorded(&records, &services, content, &[0, 3]);
        let seen: Vec<_> =
            requests.iter().map(|request| (request.node, request.work, request.work_pixels)).collect();
        let pixels = 200_000_000;
        let expected = [1_000, 3_000, 2_000, 2_000].map(|work| (3, ms(work), pixels));
        assert_eq!(seen, expected, "one of another clip is as the mean of all");
    }

    #[test]
    fn a_nodes_event_tells_how_long_a_job_kept_a_worker() {
        let event = r#"{"kind":"work","event":"made","content":"ab12","profile":"paper","took_ms":812,"bytes_out":9}"#;
        let made = made(&serde_json::from_str(event).unwrap());
        assert_eq!(made, Some(("ab12".to_owned(), (Duration::from_millis(812), 9))));
    }
}
