//! What came to real nodes, when, and how long each job of it kept a worker: for the simulator, which replays it under any policy.
//!
//! ```text
//! Listener: what the nodes' workers tell (events of kind `work`) --+
//! Records:  what was sent when to which node ----------------------+--> Recording --> a file of lines of JSON --> `starling sim --replay`
//! ```

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_placement::sim::Recorded;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::schedule::{Ended, Record};
use crate::client::{Client, ClientError, Endpoint, Event, Events, Wanted};

/// Pixels of work that a simulated job has for each second that such jobs took on average: only that they are in proportion counts.
const PIXELS_PER_S: f64 = 100e6;
/// Requests of one recording.
const REQUESTS_MAX: usize = 1_000_000;
/// Nodes of one recording.
const NODES_MAX: usize = 1_000;
/// Workers of a node of one.
const WORKERS_MAX: usize = 1_000;
/// The longest time in one.
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest video in one.
const BYTES_MAX: u64 = 1 << 40;
/// A node tells of a job a moment after its result was sent.
const LAST_EVENTS_WITHIN: Duration = Duration::from_secs(2);

/// How long a job kept a worker, and the length of its result, by the first digits of its content.
type Services = BTreeMap<String, (Duration, u64)>;

#[derive(Debug, Default)]
struct Heard {
    services: Mutex<Services>,
    more: Notify,
}

/// Listens to what the workers of all nodes have done, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    heard: Arc<Heard>,
    /// Aborted with this.
    _tasks: JoinSet<()>,
}

impl Listener {
    /// Listens to these nodes from now on; an error if one of them does not tell its events.
    pub async fn start(
        client: &Client,
        nodes: impl IntoIterator<Item = &Endpoint>,
    ) -> Result<Self, ClientError> {
        let heard = Arc::new(Heard::default());
        let mut tasks = JoinSet::new();
        for node in nodes {
            let wanted = Wanted { kinds: Some("work".to_owned()), new_only: true, follow: true };
            let mut events = Events::open(client, node, &wanted, None).await?;
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                while let Ok(Some((event, _))) = events.next().await {
                    if let Some((content, service)) = made(&event) {
                        heard.services.lock().insert(content, service);
                        heard.more.notify_one();
                    }
                }
            });
        }
        Ok(Self { heard, _tasks: tasks })
    }

    /// What was sent, and what its work took. `contents` is what nodes call each upload, by its number; `nodes` are the places of those that
    /// were sent to. Waits a moment for what the nodes have yet to tell.
    pub async fn recorded(
        &self,
        records: &[Record],
        contents: &BTreeMap<u64, String>,
        nodes: &[usize],
    ) -> Vec<Recorded> {
        let served = records.iter().filter(|record| matches!(record.ended, Ended::Served(_)));
        let expected: Vec<&String> = served.filter_map(|record| contents.get(&record.number)).collect();
        let all_heard = async {
            loop {
                let more = self.heard.more.notified();
                if expected.iter().all(|content| self.heard.services.lock().contains_key(*content)) {
                    return;
                }
                more.await;
            }
        };
        if tokio::time::timeout(LAST_EVENTS_WITHIN, all_heard).await.is_err() {
            tracing::debug!("some results were in a cache before: no node told of work for them");
        }
        recorded(records, &self.heard.services.lock(), contents, nodes)
    }

    /// Jobs of which it heard.
    pub fn jobs(&self) -> usize {
        self.heard.services.lock().len()
    }
}

/// What a node says of a job that is done.
fn made(event: &Event) -> Option<(String, (Duration, u64))> {
    let number = |name: &str| event.fields.get(name)?.as_u64();
    (event.event == "made").then_some(())?;
    let content = event.fields.get("content")?.as_str()?.to_owned();
    Some((content, (Duration::from_millis(number("took_ms")?), number("bytes_out")?)))
}

/// What was sent, for the simulator. A job that was not done has the mean time of those of its file.
fn recorded(
    records: &[Record],
    services: &Services,
    contents: &BTreeMap<u64, String>,
    nodes: &[usize],
) -> Vec<Recorded> {
    let of =
        |record: &Record| contents.get(&record.number).and_then(|content| services.get(content)).copied();
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
    // One of which no content is known has one of its own.
    let mut numbers = BTreeMap::<&str, u64>::new();
    let mut content = |record: &Record| match contents.get(&record.number) {
        Some(content) => *numbers.entry(content).or_insert(record.number),
        None => record.number,
    };
    let request = |record: &Record| {
        let (mean, length) = means
            .get(&record.file)
            .map_or((usual, record.bytes / 2), |(jobs, sum, length)| (*sum / *jobs, *length));
        let (work, result_bytes) = of(record).unwrap_or((mean, length));
        Some(Recorded {
            at: record.at,
            node: *nodes.get(record.node?)?,
            content: content(record),
            bytes: record.bytes,
            result_bytes,
            work,
            work_pixels: (mean.as_secs_f64() * PIXELS_PER_S) as u64,
        })
    };
    records.iter().filter_map(request).collect()
}

/// A run as a file has it: a line for the run, and one for each request.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Jobs that each of them can do at once.
    pub workers: usize,
    /// Time that each request may take.
    pub deadline: Duration,
    /// By their times.
    pub requests: Vec<Recorded>,
}

/// Why a file is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It has no request.
    #[error("it has no request: `starling load --record FILE` writes one line for each")]
    Empty,
    /// A line is none of a recording.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1 on.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    nodes: usize,
    workers: usize,
    deadline_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    at_ms: u64,
    node: usize,
    content: u64,
    bytes: u64,
    result_bytes: u64,
    work_ms: u64,
    work_pixels: u64,
}

impl Recording {
    /// Its lines.
    pub fn text(&self) -> String {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let head = Head { nodes: self.nodes, workers: self.workers, deadline_ms: ms(self.deadline) };
        let requests = self.requests.iter().map(|request| {
            let Recorded { at, node, content, bytes, result_bytes, work, work_pixels } = *request;
            let (at_ms, work_ms) = (ms(at), ms(work));
            json(&Line { at_ms, node, content, bytes, result_bytes, work_ms, work_pixels })
        });
        std::iter::once(json(&head)).chain(requests).collect()
    }

    /// Reads such lines.
    pub fn read(text: &str) -> Result<Self, RecordingError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let wrong = |line: usize, what: String| RecordingError::Line { line, what };
        let (number, head) = lines.next().ok_or(RecordingError::Empty)?;
        let head: Head = serde_json::from_str(head).map_err(|error| wrong(number, error.to_string()))?;
        if !(1..=NODES_MAX).contains(&head.nodes) {
            return Err(wrong(number, format!("{} nodes: 1 to {NODES_MAX} can be replayed", head.nodes)));
        }
        if !(1..=WORKERS_MAX).contains(&head.workers) {
            return Err(wrong(
                number,
                format!("{} workers: 1 to {WORKERS_MAX} can be replayed", head.workers),
            ));
        }
        let deadline = time(head.deadline_ms, "deadline_ms").map_err(|what| wrong(number, what))?;
        let mut requests = Vec::new();
        for (number, line) in lines {
            if requests.len() >= REQUESTS_MAX {
                return Err(wrong(number, format!("more than {REQUESTS_MAX} requests")));
            }
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(number, error.to_string()))?;
            requests.push(line.request(head.nodes).map_err(|what| wrong(number, what))?);
        }
        if requests.is_empty() {
            return Err(RecordingError::Empty);
        }
        requests.sort_by_key(|request| request.at);
        Ok(Self { nodes: head.nodes, workers: head.workers, deadline, requests })
    }

    /// Writes it to a file, whose readers see the old one or the new one, and nothing between.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = crate::draft::beside(path, 0o666)?;
        file.write_all(self.text().as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

impl Line {
    fn request(self, nodes: usize) -> Result<Recorded, String> {
        let Self { at_ms, node, content, bytes, result_bytes, work_ms, work_pixels } = self;
        if node >= nodes {
            return Err(format!("node {node} of {nodes}: the first one is 0"));
        }
        if bytes.max(result_bytes) > BYTES_MAX {
            return Err(format!("{} bytes: {BYTES_MAX} at most", bytes.max(result_bytes)));
        }
        let (at, work) = (Duration::from_millis(at_ms), time(work_ms.max(1), "work_ms")?);
        if at > TIME_MAX {
            return Err(format!("at_ms {at_ms}: {} at most", TIME_MAX.as_millis()));
        }
        Ok(Recorded { at, node, content, bytes, result_bytes, work, work_pixels })
    }
}

fn time(ms: u64, name: &str) -> Result<Duration, String> {
    let time = Duration::from_millis(ms);
    if (Duration::from_millis(1)..=TIME_MAX).contains(&time) {
        Ok(time)
    } else {
        Err(format!("{name} {ms}: 1 to {}", TIME_MAX.as_millis()))
    }
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("numbers can be told") + "\n"
}

#[cfg(test)]
mod tests;
