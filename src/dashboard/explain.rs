//! Why a candidate got a job or did not, in words: read from the ranking and the answers, decided nowhere.

use std::time::Duration;

use starling_overlay::LoadSample;
use starling_placement::policy::{Candidate, Concern};

use super::board::rounded;
use super::journal::Decided;
use super::state::Weighed;

/// The candidates of a decision in the policy's order, each with its figures. `over`: the job ended without one of them.
pub(super) fn candidates(one: &Decided, over: bool) -> Vec<Weighed> {
    let winner =
        one.candidates.iter().find(|candidate| one.chosen.as_ref() == Some(&candidate.identity.name));
    one.candidates.iter().map(|candidate| weighed((one, over), candidate, winner)).collect()
}

fn weighed((one, over): (&Decided, bool), candidate: &Candidate, winner: Option<&Candidate>) -> Weighed {
    let name = &candidate.identity.name;
    let answer = one.answers.iter().find(|(peer, _)| peer == name).map(|(_, words)| words.clone());
    let won = winner.is_some_and(|winner| winner.identity.name == *name);
    let (load, forecast) = (candidate.load.as_ref(), candidate.forecast.as_ref());
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Weighed {
        name: name.to_string(),
        zone: candidate.identity.zone.to_string(),
        route: candidate.route.as_str().to_owned(),
        score: Some(candidate.score).filter(|score| score.is_finite()).map(|score| rounded(score, 1e4)),
        rtt_ms: candidate.rtt.map(|rtt| rounded(rtt.as_secs_f64() * 1e3, 100.0)),
        cpu: load.map(|load| f64::from(load.cpu_permille) / 1000.0),
        queued: load.map(|load| load.queued_jobs.into()),
        running: load.map(|load| load.running_jobs.into()),
        wait_ms: forecast.map(|forecast| ms(forecast.wait)),
        work_ms: ms(candidate.work),
        transfer_ms: forecast.map(|forecast| ms(forecast.there.saturating_add(forecast.back))),
        why: why(candidate, (winner, over), answer.as_deref(), won),
        answer,
        won,
    }
}

fn why(
    candidate: &Candidate,
    (winner, over): (Option<&Candidate>, bool),
    answer: Option<&str>,
    won: bool,
) -> String {
    if won {
        return "the job went here".to_owned();
    }
    if let Some(words) = answer.filter(|words| *words != "accepted") {
        return format!("was asked: {words}");
    }
    if let Some(words) = concern(candidate.concern) {
        return words.to_owned();
    }
    let Some(winner) = winner else {
        return if over { "the job ended before it was decided" } else { "not decided yet" }.to_owned();
    };
    if candidate.score <= winner.score {
        return match (candidate.is_local(), answer) {
            (true, _) => "ranked before it, but did not do the job".to_owned(),
            (false, Some(_)) => "said yes as well, and another was better".to_owned(),
            (false, None) => "ranked before it, but was not asked".to_owned(),
        };
    }
    let against = reasons(candidate, winner);
    if against.is_empty() { "ranked after it".to_owned() } else { against.join(", ") }
}

fn concern(concern: Concern) -> Option<&'static str> {
    match concern {
        Concern::None => None,
        Concern::Busy => Some("busy here: the peers are asked first"),
        Concern::Unknown => Some("no fresh load of it is known"),
        Concern::Full => Some("full, by what it says of itself"),
        Concern::Unreachable => Some("could not be reached a moment ago"),
        Concern::Distrusted => Some("avoided for what it did before"),
    }
}

/// In what it was worse than the one that got the job.
fn reasons(candidate: &Candidate, winner: &Candidate) -> Vec<String> {
    let mut reasons = Vec::new();
    let rtt = |of: &Candidate| if of.is_local() { Some(Duration::ZERO) } else { of.rtt };
    if let (Some(own), Some(best)) = (rtt(candidate), rtt(winner))
        && own > best.mul_f64(1.2) + Duration::from_millis(1)
    {
        reasons.push(format!("{} ms farther", own.saturating_sub(best).as_millis()));
    }
    if let (Some(own), Some(best)) = (&candidate.forecast, &winner.forecast)
        && own.wait > best.wait + Duration::from_millis(10)
    {
        reasons.push(format!("{} ms longer to wait", own.wait.saturating_sub(best.wait).as_millis()));
    }
    if candidate.work > winner.work.mul_f64(1.05) + Duration::from_millis(10) {
        reasons.push(format!(
            "{} ms slower at the work",
            candidate.work.saturating_sub(winner.work).as_millis()
        ));
    }
    if let (Some(own), Some(best)) = (&candidate.load, &winner.load) {
        let jobs = |of: &LoadSample| u32::from(of.queued_jobs) + u32::from(of.running_jobs);
        if jobs(own) > jobs(best) {
            reasons.push(format!("{} jobs more", jobs(own) - jobs(best)));
        }
        if own.cpu_permille > best.cpu_permille + 50 {
            reasons.push(format!("CPU {} % busier", (own.cpu_permille - best.cpu_permille) / 10));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use starling_overlay::{BootEpoch, Identity, Versions};
    use starling_placement::policy::{Patience, RouteKind};

    use super::*;
    use crate::content::ContentId;

    fn candidate(name: &str, score: f64, rtt_ms: u64, queued_jobs: u16, concern: Concern) -> Candidate {
        let local = name == "here";
        Candidate {
            identity: Arc::new(Identity {
                name: name.parse().unwrap(),
                boot: BootEpoch(1),
                gossip: "10.77.1.1:5000".parse().unwrap(),
                http_port: 5000,
                zone: "FRA".parse().unwrap(),
                capacity_jobs: 1,
                versions: Versions::SPOKEN,
            }),
            route: if local { RouteKind::Local } else { RouteKind::SameRegion },
            score,
            rtt: Some(Duration::from_millis(rtt_ms)).filter(|_| !local),
            load: Some(LoadSample { queued_jobs, ..LoadSample::default() }),
            concern,
            patience: Patience::Any,
            work: Duration::from_secs(2),
            hardware: false,
            forecast: None,
        }
    }

    #[test]
    fn each_candidate_says_why_it_lost() {
        let candidates = [
            candidate("full", 0.05, 5, 9, Concern::None),
            candidate("best", 0.1, 10, 0, Concern::None),
            candidate("here", 0.2, 0, 3, Concern::None),
            candidate("far", 0.4, 200, 0, Concern::None),
            candidate("new", f64::INFINITY, 10, 0, Concern::Unknown),
        ];
        let one = Decided {
            content: ContentId([1; 32]),
            profile: "360p".to_owned(),
            policy: "score",
            at: Instant::now(),
            candidates: candidates.into(),
            answers: vec![
                ("full".parse().unwrap(), "no place".to_owned()),
                ("best".parse().unwrap(), "accepted".to_owned()),
            ],
            chosen: Some("best".parse().unwrap()),
        };
        let told = super::candidates(&one, false);
        let why: Vec<_> = told.iter().map(|one| (&*one.name, &*one.why)).collect();
        assert_eq!(
            why,
            [
                ("full", "was asked: no place"),
                ("best", "the job went here"),
                ("here", "3 jobs more"),
                ("far", "190 ms farther"),
                ("new", "no fresh load of it is known"),
            ]
        );
        assert_eq!(told.iter().map(|one| one.won).collect::<Vec<_>>(), [false, true, false, false, false]);
        assert_eq!((told[4].score, told[2].rtt_ms), (None, None));
    }
}
