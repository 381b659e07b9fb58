//! Jobs of a cluster, asked of one of its nodes.

use std::time::Duration;

use bytes::Bytes;
use comfy_table::{Table, presets};
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request};

use super::http::{broken, nonsense, read, refuse};
use super::members::trim_lines;
use super::{Client, ClientError, Endpoint};
use crate::api::{HEADER, JobJson, JobState, JobsJson, NoticeState, PartState};
use crate::jobs::JobId;
use crate::printable;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks for jobs.
#[derive(Clone, Debug)]
pub struct Jobs<'a> {
    client: &'a Client,
    endpoint: &'a Endpoint,
}

impl<'a> Jobs<'a> {
    /// Of the cluster that this node belongs to.
    pub const fn of(client: &'a Client, endpoint: &'a Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// One of them.
    pub async fn show(&self, id: &JobId) -> Result<JobJson, ClientError> {
        self.ask(Method::GET, &format!("/jobs/{id}"), None).await
    }

    /// It is not wanted any more; one that has come to its end is forgotten.
    pub async fn cancel(&self, id: &JobId) -> Result<JobJson, ClientError> {
        self.ask(Method::DELETE, &format!("/jobs/{id}"), None).await
    }

    /// It failed or was cancelled, and is to be done again, in so much time if that is another than before: the new job.
    pub async fn retry(&self, id: &JobId, allowed: Option<Duration>) -> Result<JobJson, ClientError> {
        self.ask(Method::POST, &format!("/jobs/{id}/retry"), allowed).await
    }

    /// A page of them, the newest first: those of this client, or of everybody where it asks on the node's own machine.
    pub async fn list(
        &self,
        (state, webhook): (Option<JobState>, Option<NoticeState>),
        after: Option<&JobId>,
        limit: u16,
    ) -> Result<JobsJson, ClientError> {
        let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
        let webhook = match webhook {
            None => "",
            Some(NoticeState::Pending) => "&webhook=pending",
            Some(NoticeState::Delivered) => "&webhook=delivered",
            Some(NoticeState::Dead) => "&webhook=dead",
        };
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/jobs?limit={limit}{state}{webhook}{after}");
        self.ask(Method::GET, &path, None).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        allowed: Option<Duration>,
    ) -> Result<T, ClientError> {
        let endpoint = self.endpoint;
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
        let mut request = Request::builder().method(method).uri(endpoint.uri(path));
        if let Some(allowed) = allowed {
            request = request.header(HEADER::DEADLINE_MS, allowed.as_millis().to_string());
        }
        let request = request.body(body).map_err(|error| broken(endpoint, &error))?;
        let exchange = async {
            let response = refuse(endpoint, self.client.send(endpoint, request).await?).await?;
            read(endpoint, response).await
        };
        let late = |_| ClientError::TimedOut { endpoint: endpoint.clone(), after: TIMEOUT };
        let body = tokio::time::timeout(TIMEOUT, exchange).await.map_err(late)??;
        serde_json::from_slice(&body).map_err(|error| nonsense(endpoint, &error))
    }
}

/// A table of them for people.
pub fn job_table(jobs: &[JobJson]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["JOB", "STATE", "PROFILES", "FILE", "PROGRESS"]);
    for job in jobs {
        let profiles: Vec<_> = job.profiles.iter().map(crate::profile::ProfileName::as_str).collect();
        let file = printable::line(job.filename.as_deref().unwrap_or("-")).into_owned();
        table.add_row([
            job.id.to_string(),
            job.state.to_string(),
            profiles.join(","),
            file,
            job_progress(job),
        ]);
    }
    trim_lines(&table.to_string())
}

/// How far a job is, in a few words.
pub fn job_progress(job: &JobJson) -> String {
    if let Some(problem) = &job.problem {
        return printable::line(&problem.detail).into_owned();
    }
    if let Some(wait) = &job.wait {
        let ahead = wait.ahead.map(|ahead| format!(", {ahead} before it")).unwrap_or_default();
        return format!("{}{ahead}", wait.why.in_words());
    }
    let Some(progress) = &job.progress else { return String::new() };
    let mut workers: Vec<_> = progress
        .parts
        .iter()
        .filter(|part| part.state != PartState::Done)
        .filter_map(|part| part.worker.as_ref().map(ToString::to_string))
        .collect();
    workers.dedup();
    let at = if workers.is_empty() { String::new() } else { format!(" at {}", workers.join(", ")) };
    if progress.waits {
        return format!("waits for a worker{at}");
    }
    let mut parts = Vec::new();
    parts.extend(progress.percent.map(|percent| format!("{percent:.0} %")));
    parts.extend(progress.fps.map(|fps| format!("{fps:.0} fps")));
    parts.extend(progress.speed.map(|speed| format!("{speed:.2}x")));
    parts.extend(progress.eta_s.map(|eta| format!("{eta:.0} s left")));
    format!("{}{at}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{JobPart, JobProgress, JobWait, Priority, WaitReason};
    use crate::content::ContentId;

    fn part(profile: &str, state: PartState, worker: Option<&str>) -> JobPart {
        let worker = worker.map(|name| name.parse().unwrap());
        JobPart { profile: profile.parse().unwrap(), state, worker, route: None, percent: None }
    }

    #[test]
    fn a_table_has_a_line_a_job_and_says_how_far_each_is() {
        let mut job = JobJson {
            id: "0193f0000000000000000000000000ab-node1".parse().unwrap(),
            state: JobState::Running,
            node: "node1".parse().unwrap(),
            kept_at: Vec::new(),
            retry_of: None,
            content: ContentId::of(b"a"),
            bytes: 1,
            filename: Some("a\u{1b}[2J.mp4".into()),
            profiles: vec!["360p".parse().unwrap(), "poster".parse().unwrap()],
            priority: Priority::Batch,
            accepted_ms: 1,
            began_ms: None,
            ended_ms: None,
            begun: 1,
            interrupted: 0,
            wait: None,
            progress: Some(JobProgress {
                percent: Some(12.4),
                fps: Some(48.0),
                speed: Some(1.9),
                eta_s: Some(30.2),
                waits: false,
                parts: vec![
                    part("360p", PartState::Running, Some("node2")),
                    part("poster", PartState::Done, Some("node3")),
                ],
            }),
            outputs: Vec::new(),
            problem: None,
            webhook: None,
        };
        let text = job_table(std::slice::from_ref(&job));
        assert!(text.contains("360p,poster") && !text.contains('\u{1b}'), "{text}");
        assert!(text.ends_with("12 %, 48 fps, 1.90x, 30 s left at node2"), "{text}");
        let (percent, fps, speed, eta_s) = (None, None, None, None);
        let parts = vec![part("360p", PartState::Placing, None)];
        job.progress = Some(JobProgress { percent, fps, speed, eta_s, waits: true, parts });
        assert_eq!(job_progress(&job), "waits for a worker");
        job.wait = Some(JobWait { why: WaitReason::Turn, ahead: Some(3), until_ms: None });
        assert_eq!(job_progress(&job), "waits for its turn, 3 before it");
    }
}
