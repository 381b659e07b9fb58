//! How far the work on a job is, and who does it; while it waits: for what.

use starling_placement::journey::Progress;

use super::Node;
use super::doers::Word;
use crate::api::{JobPart, JobProgress, JobWait, PartState, WaitReason};
use crate::jobs::{Record, Stage, Turn, now_ms};
use crate::store::Key;

impl Node {
    /// How far the work on a job is; none where this node does not hold it, or it does not run.
    pub fn job_progress(&self, record: &Record) -> Option<JobProgress> {
        let Stage::Running { since_ms } = record.stage else { return None };
        if record.keeping.holder != self.identity.name {
            return None;
        }
        let content = record.ask.content;
        let profiles =
            record.ask.wish.profiles.iter().filter_map(|name| self.profile(Some(name.as_str())).ok());
        let parts = profiles.map(|profile| {
            let word = self.doers.word(content, &profile.name).unwrap_or_default();
            let progress = self.progress(&Key::new(content, &profile));
            (self.part(profile.name.clone(), word, progress), progress)
        });
        Some(in_all(parts.collect(), now_ms().saturating_sub(since_ms)))
    }

    fn part(
        &self,
        profile: crate::profile::ProfileName,
        Word { by, made }: Word,
        progress: Option<Progress>,
    ) -> JobPart {
        let state = match (&by, progress) {
            _ if made => PartState::Done,
            (None, _) | (_, None) => PartState::Placing,
            (Some(_), Some(progress)) if progress.waits => PartState::Waiting,
            (Some(_), Some(_)) => PartState::Running,
        };
        let permille = progress.and_then(|progress| progress.part?.permille);
        let percent = if made { Some(100.0) } else { permille.map(|permille| f64::from(permille) / 10.0) };
        let own = &self.identity;
        let route = by.as_ref().map(|by| match self.live(by).filter(|_| *by != own.name) {
            Some(peer) => format!("{}/{} -> {}/{}", own.name, own.zone, peer.name, peer.zone),
            None if *by == own.name => format!("{}/{}", own.name, own.zone),
            None => format!("{}/{} -> {by}", own.name, own.zone),
        });
        JobPart { profile, state, worker: by, route, percent }
    }

    /// What a job waits for; none where this node does not hold it, or it does not wait.
    pub fn job_wait(&self, record: &Record) -> Option<JobWait> {
        if record.stage != Stage::Queued || record.keeping.holder != self.identity.name {
            return None;
        }
        let wait = |why| JobWait { why, ahead: None, until_ms: None };
        let turn = self.jobs.turn(record);
        if self.rests() || self.is_draining() {
            let ahead = if let Some(Turn::Ahead(ahead)) = turn { Some(ahead as u64) } else { None };
            return Some(JobWait { ahead, ..wait(WaitReason::Resting) });
        }
        Some(match turn {
            Some(Turn::Ahead(ahead)) => JobWait { ahead: Some(ahead as u64), ..wait(WaitReason::Turn) },
            Some(Turn::Later(in_time)) => {
                let until_ms = now_ms() + in_time.as_millis() as u64;
                JobWait { until_ms: Some(until_ms), ..wait(WaitReason::NoPlace) }
            }
            None => wait(WaitReason::Settling),
        })
    }
}

/// All profiles count the same: one that is done as a whole, one that is not begun as nothing.
fn in_all(parts: Vec<(JobPart, Option<Progress>)>, since_begin_ms: u64) -> JobProgress {
    let seconds = since_begin_ms as f64 / 1000.0;
    let encoded: Vec<_> = parts.iter().filter_map(|(_, progress)| progress.as_ref()?.part).collect();
    let waits = parts.iter().all(|(part, progress)| {
        part.state == PartState::Done || progress.as_ref().is_none_or(|progress| progress.waits)
    });
    let is_begun = |part: &JobPart| matches!(part.state, PartState::Done | PartState::Running);
    let percent = parts
        .iter()
        .map(|(part, progress)| match part.percent {
            // Of what is under way it may be unknown how long it is; then so it is of the whole.
            None if progress.is_some_and(|progress| progress.part.is_some()) => None,
            percent => Some(percent.unwrap_or_default()),
        })
        .sum::<Option<f64>>()
        .filter(|_| parts.iter().any(|(part, _)| is_begun(part)))
        .map(|sum| sum / parts.len() as f64);
    let a_second = |sum: f64| (!encoded.is_empty() && seconds > 0.0).then(|| round(sum / seconds));
    JobProgress {
        percent: percent.map(round),
        fps: a_second(encoded.iter().map(|part| part.frames as f64).sum()),
        speed: a_second(encoded.iter().map(|part| part.encoded_ms as f64 / 1000.0).sum()),
        eta_s: percent
            .filter(|percent| *percent > 0.0)
            .map(|percent| round(seconds * (100.0 - percent) / percent)),
        waits,
        parts: parts.into_iter().map(|(part, _)| part).collect(),
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use starling_placement::journey::Part;

    use super::*;

    fn part(state: PartState, permille: Option<u16>) -> (JobPart, Option<Progress>) {
        let percent =
            if state == PartState::Done { Some(100.0) } else { permille.map(|n| f64::from(n) / 10.0) };
        let profile = "360p".parse().unwrap();
        let progress = (state == PartState::Running).then_some(Progress {
            moved: 1,
            waits: false,
            part: Some(Part { permille, frames: 240, encoded_ms: 10_000 }),
        });
        (JobPart { profile, state, worker: None, route: None, percent }, progress)
    }

    #[test]
    fn every_profile_counts_also_what_is_done_and_what_is_not_begun() {
        let (done, running, placing) = (
            part(PartState::Done, None),
            part(PartState::Running, Some(250)),
            part(PartState::Placing, None),
        );
        let all = in_all(vec![done.clone(), running.clone(), placing.clone(), placing.clone()], 5_000);
        assert_eq!((all.percent, all.waits), (Some(31.25), false));
        assert_eq!((all.fps, all.speed, all.eta_s), (Some(48.0), Some(2.0), Some(11.0)));
        let one = in_all(vec![running.clone()], 5_000);
        assert_eq!((one.percent, one.eta_s), (Some(25.0), Some(15.0)));
        let unknown = in_all(vec![done.clone(), part(PartState::Running, None)], 5_000);
        assert_eq!((unknown.percent, unknown.eta_s, unknown.fps), (None, None, Some(48.0)));
        let waits = in_all(vec![placing.clone(), placing], 5_000);
        assert_eq!((waits.percent, waits.fps, waits.eta_s, waits.waits), (None, None, None, true));
        assert!(!in_all(vec![done, running], 1).waits);
    }
}
