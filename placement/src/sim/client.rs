//! Clients: each sends a video to a node, waits for its result, and takes no for an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::Open;
use super::cluster::Cluster;
use super::node::{Object, SimNode};
use super::plan::Request;
use super::setup::{Plant, ZONES};
use super::tally::End;
use crate::content::{ContentId, Key};
use crate::error::WorkError;
use crate::journey::{self, Job, Served, TimeBudget, Timings, clock};

/// A client's own line: its bits a second, and its way to a node of its zone and back.
const CLIENT_BITS_PER_S: f64 = 100e6;
pub(super) const CLIENT_RTT: Duration = Duration::from_millis(10);
/// How often a client that is told to come again does so.
const TRIES_MAX: u32 = 3;
/// How much longer a client waits than its request is given.
const CLIENT_SLACK: Duration = Duration::from_secs(5);

type Answer = Result<Served<Object>, WorkError>;

/// What a node made of a request.
enum Outcome {
    Answered(Answer),
    /// Its connection broke, or no answer came.
    Broken,
}

pub(super) fn on_line(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / CLIENT_BITS_PER_S)
}

/// The key of a content's result.
pub(super) fn key_of(content: ContentId) -> Key {
    Key { content, profile: "paper".parse().expect("a valid name"), recipe: ContentId([0; 32]) }
}

/// Sends a request until it is served, or not to be served.
pub(super) async fn send(cluster: &Arc<Cluster>, request: &Request) -> End {
    let begun = clock::now();
    cluster.knows(request.content, request.video.result_bytes);
    let mut end = End::Broken;
    for tried in 0..TRIES_MAX {
        // Numbers of tries are numbers of requests, too.
        let number = request.number * u64::from(TRIES_MAX) + u64::from(tried);
        let Some(node) = pick(cluster, request) else { break };
        let outcome = try_once(cluster, &node, request, number).await;
        let (ended, wait) = judge(&outcome, begun);
        end = ended;
        let came_back = tried > 0;
        if came_back {
            let mut record = cluster.record();
            record.tally.came_back += 1;
            record.tally.taken_after_coming_back += u64::from(matches!(end, End::Served(_)));
        }
        match wait.filter(|_| cluster.setup.comes_back) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => break,
        }
    }
    if let End::Served(_) = end {
        tokio::time::sleep(CLIENT_RTT / 2 + on_line(request.video.result_bytes)).await;
        end = End::Served(clock::now() - begun);
    }
    let at = cluster.elapsed();
    let mut record = cluster.record();
    record.trace.note(at, format_args!("request {} ends: {end:?}", request.number));
    record.tally.ended(end);
    end
}

/// How it ended, and when it is to come again.
fn judge(outcome: &Outcome, begun: std::time::Instant) -> (End, Option<Duration>) {
    match outcome {
        Outcome::Answered(Ok(_)) => (End::Served(clock::now() - begun), None),
        Outcome::Answered(Err(error)) if is_refusal(error) => {
            // In whole seconds, as the header says it.
            let wait = error.retry_after().map(|wait| Duration::from_secs(wait.as_secs_f64().ceil() as u64));
            (End::Refused, wait)
        }
        Outcome::Answered(Err(_)) => (End::Late, None),
        Outcome::Broken => (End::Broken, None),
    }
}

fn is_refusal(error: &WorkError) -> bool {
    matches!(error, WorkError::Saturated { .. } | WorkError::TooShort { .. } | WorkError::Draining)
}

/// The node that a request is for, or the next one of its zone that runs; a balancer before them sees which do.
fn pick(cluster: &Cluster, request: &Request) -> Option<Arc<SimNode>> {
    let nodes = cluster.setup.nodes;
    let zone = (0..nodes.div_ceil(ZONES)).map(|turn| (request.node + turn * ZONES) % nodes);
    let any = (0..nodes).map(|turn| (request.node + turn) % nodes);
    zone.chain(any).find_map(|index| {
        cluster.node(index).filter(|node| !node.draining.load(std::sync::atomic::Ordering::Relaxed))
    })
}

async fn try_once(cluster: &Arc<Cluster>, node: &Arc<SimNode>, request: &Request, number: u64) -> Outcome {
    tokio::time::sleep(CLIENT_RTT).await;
    if node.process.is_gone() {
        return Outcome::Broken;
    }
    let allowed = cluster.setup.workload.deadline;
    let (tell, told) = oneshot::channel();
    let (arrived, serving) = (cluster.elapsed(), Arc::clone(node));
    let open = Open {
        node: node.index,
        content: request.content,
        arrived,
        ready: arrived,
        deadline: arrived + allowed,
        promised: None,
    };
    cluster.record().check.arrived(number, open);
    let (request, served_from) = (request.clone(), Arc::clone(cluster));
    node.process.spawn(Box::pin(async move {
        let answer = serve(&served_from, &serving, &request, number).await;
        // A client that is gone needs none.
        drop(tell.send(answer));
    }));
    let answer = tokio::select! {
        biased;
        answer = told => answer.ok(),
        () = tokio::time::sleep(allowed + CLIENT_SLACK) => None,
    };
    let at = cluster.elapsed();
    let Some(answer) = answer else {
        cluster.record().check.broken(number, at);
        return Outcome::Broken;
    };
    if cluster.setup.plant != Some(Plant::LostAnswer) {
        let is_refusal = answer.as_ref().err().is_some_and(is_refusal);
        cluster.record().check.answered(number, at, is_refusal);
    }
    Outcome::Answered(answer)
}

/// What a node does with a request: its HTTP server, in short.
async fn serve(cluster: &Arc<Cluster>, node: &Arc<SimNode>, request: &Request, number: u64) -> Answer {
    let arrived = clock::now();
    let key = key_of(request.content);
    let allowed = cluster.setup.workload.deadline;
    let budget = TimeBudget::new(arrived, allowed);
    let _owner = cluster.owns(node.index, &key);
    if request.announces {
        if let Some(object) = node.cached(&key) {
            return Ok(Served::hit(&node.identity, 0, object));
        }
        if let Some(refusal) = journey::refuse_unread(&**node, request.client, &key, &budget).await {
            return Err(refusal);
        }
    }
    tokio::time::sleep(on_line(request.bytes)).await;
    cluster.record().check.received(number, cluster.elapsed());
    let mut video = request.video;
    video.requester = node.index;
    let timings = Timings::new(arrived);
    let job = Job::new((key, request.bytes), request.client, budget, timings, video);
    let answer = journey::answer(node, job).await;
    let delay = match cluster.setup.plant {
        Some(Plant::LateAnswer) => clock::left(budget.deadline()) + Duration::from_secs(1),
        Some(Plant::SlowRefusal) if answer.as_ref().is_err_and(is_refusal) => Duration::from_secs(2),
        _ => return answer,
    };
    tokio::time::sleep(delay).await;
    answer
}
