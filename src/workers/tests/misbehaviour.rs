use super::*;

/// Runs one job with a stand-in for ffmpeg, and checks that all of it is gone afterwards but the error.
async fn failure(body: &str, deadline: Duration) -> TranscodeError {
    let scripts = tempfile::tempdir().unwrap();
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, body), ..Setup::default() });
    let error = rig.pool.submit(rig.job(deadline)).unwrap().wait().await.unwrap_err();
    rig.until(|stats| stats.running == 0).await;
    assert_eq!(rig.leftovers(), Vec::<PathBuf>::new(), "{error}");
    let stats = rig.pool.stats();
    assert_eq!((stats.transcodes_total, stats.completed_total), (1, 0));
    assert_eq!(stats.failures_total + stats.cancelled_total, 1);
    error
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn one_that_hangs_is_killed_at_the_deadline() {
    let error = failure("trap '' TERM INT HUP; while :; do sleep 1; done", Duration::from_millis(300)).await;
    assert!(matches!(error, TranscodeError::DeadlinePassed { running: true }), "{error}");
}

#[tokio::test]
async fn one_that_hangs_with_its_pipes_closed_is_killed_too() {
    let error = failure("exec >&- 2>&-; while :; do sleep 1; done", Duration::from_millis(300)).await;
    assert!(matches!(error, TranscodeError::DeadlinePassed { running: true }), "{error}");
}

#[tokio::test]
async fn one_that_crashes_is_told_from_one_that_refuses() {
    let error = failure("kill -SEGV $$", SOON).await;
    assert!(matches!(&error, TranscodeError::Crashed { status, .. } if status.contains("11")), "{error}");
    assert!(!error.is_input_fault());
    let error = failure("echo 'file:/x: Invalid data found when processing input' >&2; exit 1", SOON).await;
    assert!(
        matches!(&error, TranscodeError::Refused { reason } if reason.contains("Invalid data")),
        "{error}"
    );
    assert!(error.is_input_fault());
}

#[tokio::test]
async fn garbage_and_nothing_are_no_results() {
    for body in ["head -c 100000 /dev/urandom > \"$out\"", ": > \"$out\"", "exit 0"] {
        let error = failure(body, SOON).await;
        assert!(matches!(error, TranscodeError::BadOutput { .. }), "{body}: {error}");
        assert!(!error.is_input_fault(), "another node's ffmpeg may be sound");
    }
}

#[tokio::test]
async fn a_video_that_is_not_the_one_asked_for_is_no_result() {
    let make =
        "ffmpeg -v error -f lavfi -i color=size=64x64:duration=1 -c:v libx264 -f mp4 -y \"$out\" </dev/null";
    let error = failure(&format!("PATH=/usr/bin:/usr/local/bin; {make}"), SOON).await;
    assert!(matches!(&error, TranscodeError::BadOutput { reason } if reason.contains("size")), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_called_so() {
    let error =
        failure("echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", SOON).await;
    assert!(matches!(error, TranscodeError::DiskFull), "{error}");
    // Two hundred gigabytes that take no room: what counts is the length.
    let error = failure("truncate -s 200G \"$out\"", SOON).await;
    assert!(matches!(error, TranscodeError::OutputTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn what_it_says_is_bounded() {
    let error = failure("yes 'Too much to say' | head -c 30000000 >&2; exit 1", SOON).await;
    assert!(error.to_string().len() < 5000, "{}", error.to_string().len());
    let error = failure("yes 'frame=1' | head -c 30000000; kill -ABRT $$", SOON).await;
    assert!(matches!(error, TranscodeError::Crashed { .. }), "{error}");
}

#[tokio::test]
async fn its_grandchildren_go_with_it() {
    let scripts = tempfile::tempdir().unwrap();
    let note = scripts.path().join("grandchild");
    let body = format!("sleep 1000 & echo $! > {}; wait", note.display());
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, &body), ..Setup::default() });
    let ticket = rig.pool.submit(rig.job(SOON)).unwrap();
    let give_up = Instant::now() + SOON;
    let pid: u32 = loop {
        if let Ok(pid) = std::fs::read_to_string(&note).unwrap_or_default().trim().parse() {
            break pid;
        }
        assert!(Instant::now() < give_up);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    drop(ticket);
    rig.until(|stats| stats.running == 0).await;
    // Gone, or dead and not yet reaped by whoever inherited it.
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < give_up, "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_probe_that_hangs_or_babbles_is_ended() {
    let scripts = tempfile::tempdir().unwrap();
    let limits = MediaLimits { probe_time_max: Duration::from_millis(300), ..MediaLimits::default() };
    for (body, expected) in
        [("sleep 1000", "not done"), ("yes '{'", "too many streams"), ("exit 127", "can't be run")]
    {
        let tools = Tools {
            ffprobe: stub(&scripts, body),
            ..Tools::find("ffmpeg".as_ref(), "ffprobe".as_ref()).unwrap()
        };
        let sandbox = Sandbox { launcher: None, ..Sandbox::default() };
        let prober = Prober::new(Arc::new(tools), sandbox, limits.clone(), 1);
        let error = prober.probe(Path::new("/dev/null")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{body}: {error}");
    }
}
