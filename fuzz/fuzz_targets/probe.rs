//! What ffprobe says of a stranger's file, and the file's first bytes: `scripts/fuzz-target.sh fuzz probe`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use starling::content::{MediaInfo, MediaLimits};
use starling::fuzzing::{probed, within};
use starling::store::{Container, sniff};
use starling::media::{Features, Plan, Run};
use starling::profile::ProfileSet;

static PROFILES: LazyLock<ProfileSet> = LazyLock::new(ProfileSet::builtin);
static FEATURES: LazyLock<Features> = LazyLock::new(Features::default);
static LIMITS: LazyLock<MediaLimits> = LazyLock::new(MediaLimits::default);

/// How texts begin that make ffmpeg open other files.
const TEXTS: [&[u8]; 4] = [b"#EXTM3U", b"ffconcat version 1.0", b"<?xml", b"v=0\r\n"];
/// With fewer bytes a format can be taken for another.
const HEAD_BYTES_MIN: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let [kind, rest @ ..] = bytes else { return };
    match kind % 4 {
        0 => first_bytes(rest),
        1 => text(TEXTS[usize::from(kind / 4) % TEXTS.len()], rest),
        _ => description(rest),
    }
});

fn first_bytes(head: &[u8]) {
    let whole = sniff(head);
    let Some(short) = head.get(..HEAD_BYTES_MIN).and_then(|short| sniff(short).ok()) else { return };
    // What has no word of its own to be known by may look otherwise when more of it is there.
    if !matches!(short, Container::MpegTs | Container::MpegAudio | Container::Dv) {
        assert_eq!(whole, Ok(short), "more bytes have changed it");
    }
}

fn text(begin: &[u8], rest: &[u8]) {
    assert!(sniff(&[begin, rest].concat()).is_err(), "a text is taken for a video");
}

fn description(json: &[u8]) {
    let Ok(info) = probed(json) else { return };
    let usable = info.video.is_some() || info.audio.is_some() || info.cover.is_some();
    assert!(usable || info.video_lack.is_some() || info.audio_lack.is_some(), "nothing, and no reason");
    for video in info.video.iter().chain(&info.cover) {
        assert!(video.width > 0 && video.height > 0 && video.fps >= 0.0 && video.fps.is_finite());
    }
    // It is reckoned with before a peer's word for it is checked.
    for profile in PROFILES.iter() {
        if let Ok(plan) = Plan::new(&info, profile, &FEATURES, false) {
            let run = Run { input: "in".as_ref(), output: "out".as_ref(), threads: 1, limits: &LIMITS, hardware: None };
            assert!(plan.argv(profile, &run).len() < 400);
        }
        let work = profile.work_pixels(&info);
        assert!(work == 0 || info.video.is_some() || info.cover.is_some(), "work without a picture");
    }
    if within(&LIMITS, &info).is_ok() {
        assert!(info.streams <= LIMITS.streams_max);
        assert!(info.picture_duration().unwrap_or_default() <= LIMITS.duration_max);
    }
    // It travels to a peer.
    let there = serde_json::to_vec(&info).expect("it is plain data");
    let mut there: MediaInfo = serde_json::from_slice(&there).expect("what was written can be read");
    for (here, there) in [(&info.video, &mut there.video), (&info.cover, &mut there.cover)] {
        if let (Some(here), Some(there)) = (here, there) {
            assert!((here.fps - there.fps).abs() <= here.fps * f64::EPSILON * 4.0);
            there.fps = here.fps;
        }
    }
    assert_eq!(there, info);
    assert!(info.duration.is_none_or(|duration| !duration.is_zero()));
}
