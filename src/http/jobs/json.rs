//! A job as clients see it.

use std::time::Duration;

use crate::api::{JobJson, NoticeJson, OutputJson, Problem};
use crate::http::ApiError;
use crate::jobs::{Failure, Notice, Record, Stage};
use crate::node::{Node, NotAll};

pub(super) fn of(node: &Node, record: &Record) -> JobJson {
    let Record { keeping, ask, stage, .. } = record;
    let id = record.id();
    let began_ms = if let Stage::Running { since_ms } = stage { Some(*since_ms) } else { None };
    let outputs = match stage {
        Stage::Done { outputs, .. } => outputs.as_slice(),
        _ => &[],
    };
    let problem =
        if let Stage::Failed { why, .. } = stage { Some(problem_of(why, ask.allowed())) } else { None };
    JobJson {
        state: stage.state(),
        node: keeping.holder.clone(),
        kept_at: keeping.keepers(),
        retry_of: record.retry_of.clone(),
        content: ask.content,
        bytes: ask.bytes,
        filename: ask.wish.filename.clone(),
        profiles: ask.wish.profiles.clone(),
        priority: ask.wish.priority,
        accepted_ms: record.accepted_ms,
        began_ms,
        ended_ms: stage.ended_ms(),
        begun: record.begun,
        interrupted: record.interrupted,
        wait: node.job_wait(record),
        progress: node.job_progress(record),
        outputs: outputs
            .iter()
            .map(|output| OutputJson {
                profile: output.meta.profile.clone(),
                href: format!("/jobs/{id}/output/{}", output.meta.profile),
                bytes: output.meta.bytes,
                sha256: output.meta.sha256,
                media_type: output.meta.media_type.clone(),
                extension: output.meta.extension.clone(),
                served_by: output.by.clone(),
                route: output.route.clone(),
                cache: output.cache.clone(),
                damage: output.meta.damage.as_ref().map(ToString::to_string),
            })
            .collect(),
        problem,
        webhook: webhook_of(record),
        id,
    }
}

fn webhook_of(record: &Record) -> Option<NoticeJson> {
    let (url, notice) = (record.ask.wish.webhook.clone()?, record.notice.as_ref());
    let (tries, next_ms, why) = match notice {
        None => (0, None, None),
        Some(Notice::Pending { tries, next_ms, why }) => (*tries, Some(*next_ms), why.clone()),
        Some(Notice::Delivered { tries, .. }) => (*tries, None, None),
        Some(Notice::Dead { tries, why, .. }) => (*tries, None, Some(why.clone())),
    };
    Some(NoticeJson { url, state: notice.map(Notice::state), tries, next_ms, why })
}

/// What an upload would have been told.
fn problem_of(why: &Failure, allowed: Duration) -> Problem {
    let error = match why {
        Failure::Work { profile, error } => {
            ApiError::failed(NotAll { profile: profile.clone(), error: error.clone() }, allowed)
        }
        Failure::Damaged { .. } => ApiError::Unprocessable(why.to_string()),
        Failure::Interrupted { times } => ApiError::Interrupted { times: *times },
        Failure::Lost { what } => ApiError::Internal(what.clone()),
    };
    error.of_job().problem()
}
