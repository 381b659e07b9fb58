//! What errors are told as.

use std::time::Duration;

use starling_placement::error::WorkError;

use super::*;

#[test]
fn a_deadline_that_is_too_short_says_how_long_it_has_to_be_and_not_to_come_back() {
    let (allowed, needs) = (Duration::from_millis(400), Duration::from_millis(2_345));
    let problem = ApiError::DeadlineTooShort { allowed, needs, more: MoreTime::AsUpload }.problem();
    assert_eq!((problem.status, problem.retry_after_s), (504, None));
    assert!(problem.detail.starts_with("this takes about 2s 400ms here, and 400ms were"), "{problem:?}");
    assert_eq!(rounded(Duration::MAX), Duration::from_millis(u64::MAX));
}

#[test]
fn the_time_that_is_named_is_the_requests_own() {
    let second = Duration::from_secs(1);
    let passed = ApiError::ended(WorkError::TooLate, second);
    assert_eq!(passed, ApiError::DeadlinePassed { allowed: second, more: MoreTime::AsUpload });
    let short = ApiError::ended(WorkError::TooShort { needs: second * 3 }, second);
    let more = MoreTime::AsUpload;
    assert_eq!(short, ApiError::DeadlineTooShort { allowed: second, needs: second * 3, more });
}

#[test]
fn what_has_no_time_is_told_how_to_ask_for_a_job_and_a_job_how_to_have_more() {
    let second = Duration::from_secs(1);
    let ends = [
        WorkError::TooLate,
        WorkError::TooShort { needs: second * 3 },
        WorkError::Saturated { retry_after: second },
    ];
    for end in ends {
        let as_upload = ApiError::ended(end.clone(), second).problem();
        assert!([503, 504].contains(&as_upload.status), "{as_upload:?}");
        for way in ["POST /jobs,", "Prefer: respond-async"] {
            assert!(as_upload.detail.contains(way), "{as_upload:?}");
        }
        let in_profile = ApiError::ended(end, second).in_profile(&"360p".parse().unwrap());
        assert!(in_profile.problem().detail.contains("Prefer: respond-async"), "{in_profile:?}");
    }
    for end in [WorkError::TooLate, WorkError::TooShort { needs: second * 3 }] {
        let not_all = crate::node::NotAll { profile: Some("360p".parse().unwrap()), error: end };
        let as_job = ApiError::failed(not_all, second).of_job().problem();
        assert!(as_job.detail.contains("/retry") && !as_job.detail.contains("respond-async"), "{as_job:?}");
    }
}

#[test]
fn how_work_ended_is_told_in_the_words_of_old() {
    let told = |error| ApiError::ended(error, Duration::from_secs(1)).problem();
    let verdict = told(WorkError::unusable("no video stream"));
    assert_eq!((verdict.status, verdict.detail.as_str()), (422, "the video can't be used: no video stream"));
    let crashed = told(WorkError::Crashed { how: "ffmpeg hung on a node".into() });
    assert_eq!(crashed.status, 500);
    assert_eq!(crashed.detail, "not done, and it may be the video's fault: ffmpeg hung on a node");
    assert_eq!(told(WorkError::fault("x")).detail, "internal error: x");
    assert_eq!(verdict.ended, None, "codes are for nodes");
}

#[test]
fn saturated_says_when_to_come_back() {
    let problem = ApiError::Saturated { retry_after: Duration::from_millis(2_300) }.problem();
    assert_eq!((problem.status, problem.retry_after_s), (503, Some(3)));
    assert_eq!(ApiError::Saturated { retry_after: Duration::ZERO }.problem().retry_after_s, Some(1));
    assert_eq!(ApiError::EmptyBody.problem().retry_after_s, None);
    let never = ApiError::Saturated { retry_after: Duration::MAX }.problem();
    assert_eq!(never.retry_after_s, Some(24 * 3600));
    assert!(never.detail.contains("try again in 86400 s, or send it as a job"), "{}", never.detail);
}
