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

/// A bound for a machine that is busy: what is looked at comes long before.
const SOON: Duration = Duration::from_secs(120);

#[tokio::test]
async fn an_input_that_turns_out_larger_than_it_said_is_ended() {
    let scripts = tempfile::tempdir().unwrap();
    // Goes on and on, and says so.
    let body = "frame=0; while :; do frame=$((frame + 5000)); printf 'frame=%d\nout_time_us=1000000\nprogress=continue\n' $frame; \
                sleep 0.05; done";
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, body), ..Setup::default() });
    let error = rig.pool.submit(rig.job(SOON)).unwrap().wait().await.unwrap_err();
    assert!(
        matches!(&error, TranscodeError::LargerThanSaid { what } if what.contains("25 pictures")),
        "{error}"
    );
    assert!(error.is_input_fault());
    rig.until(|stats| stats.running == 0).await;
    // Nor has it taught anything.
    assert_eq!(rig.pool.stats().service_ms, 0);
}

/// Small pictures first, and then big ones: ffprobe sees the first alone.
#[tokio::test]
async fn pictures_that_grow_far_beyond_the_first_ones_are_not_decoded() {
    let rig = Rig::new(&Setup::default());
    let picture = |size: &str| {
        let path = rig.folder.path().join(format!("{size}.jpg"));
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
            .arg(format!("color=c=red:size={size}"))
            .args(["-frames:v", "1", "-pix_fmt", "yuvj420p", "-f", "image2"])
            .arg(&path)
            .status();
        assert!(made.expect("ffmpeg is installed").success());
        path
    };
    // AVI with a motion JPEG a frame, as `ffmpeg -c copy` joins them.
    let list = rig.folder.path().join("list.txt");
    let (small, big) = (picture("64x64"), picture("2048x2048"));
    let lines: Vec<_> = (0..30)
        .map(|at| if at < 20 { &small } else { &big })
        .map(|file| format!("file '{}'\nduration 0.04\n", file.display()))
        .collect();
    std::fs::write(&list, format!("ffconcat version 1.0\n{}", lines.concat())).unwrap();
    let input = rig.folder.path().join("grows.mkv");
    let joined = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "concat", "-safe", "0", "-i"])
        .arg(&list)
        .args(["-c", "copy"])
        .arg(&input)
        .status();
    assert!(joined.expect("ffmpeg is installed").success());
    let info = rig.pool.prober().probe(&input, CLIENT).await.unwrap();
    assert_eq!(info.video.as_ref().map(|video| video.width), Some(64), "the attack itself does not work");
    let job = Job { info, input: Job::kept(input), ..rig.job(SOON) };
    let error = rig.pool.submit(job).unwrap().wait().await.unwrap_err();
    assert!(
        matches!(&error, TranscodeError::LargerThanSaid { what } if what.contains("pictures grow")),
        "{error}"
    );
}

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
        matches!(&error, TranscodeError::Refused { reason } if reason.contains("no video and no sound can be found in it")),
        "{error}"
    );
    assert!(error.is_input_fault());
}

#[tokio::test]
async fn a_fault_of_the_machine_is_no_verdict() {
    for body in [
        "echo \"sh: 1: cannot create $out: Directory nonexistent\" >&2; exit 2",
        "echo \"file:$out: No such file or directory\" >&2; exit 1",
        "echo 'pthread_create() failed: Resource temporarily unavailable' >&2; exit 1",
        "echo half a word >&2; kill -KILL $$",
        "exit 1",
    ] {
        let error = failure(body, SOON).await;
        assert!(matches!(error, TranscodeError::Failed { .. }), "{body}: {error}");
        assert!(!error.is_input_fault() && error.is_tool_fault());
    }
    let error = failure("echo 'Error: Cannot allocate memory' >&2; exit 1", SOON).await;
    assert!(matches!(error, TranscodeError::OutOfMemory { .. }) && !error.is_input_fault(), "{error}");
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
        "ffmpeg -v error -f lavfi -i color=size=32x32:duration=1 -c:v libx264 -f mp4 -y \"$out\" </dev/null";
    let error = failure(&format!("PATH=/usr/bin:/usr/local/bin; {make}"), SOON).await;
    assert!(matches!(&error, TranscodeError::BadOutput { reason } if reason.contains("size")), "{error}");
}

#[tokio::test]
async fn a_video_that_is_cut_off_is_no_result_although_its_index_is_there() {
    let tools = Tools::find("ffmpeg".as_ref(), "ffprobe".as_ref()).unwrap();
    let scripts = tempfile::tempdir().unwrap();
    let body = format!("{} \"$@\" && truncate -s -3000 \"$out\"", tools.ffmpeg.display());
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, &body), ..Setup::default() });
    let source = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=1 -c:v libx264";
    for (profile, source) in [("360p", source), ("audio", "-f lavfi -i sine=duration=2 -c:a aac")] {
        let job = rig.clip_job(profile, source).await;
        let error = rig.pool.submit(job).unwrap().wait().await.unwrap_err();
        assert!(
            matches!(&error, TranscodeError::BadOutput { reason } if reason == "it is cut off"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_called_so() {
    let error =
        failure("echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", SOON).await;
    assert!(matches!(error, TranscodeError::DiskFull), "{error}");
    // As ffmpeg 5.1 does when the end of the file finds no room.
    let error = failure("echo broken >\"$out\"; echo 'trailer: No space left on device' >&2", SOON).await;
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
    for (body, expected) in [
        ("exec sleep 1000", "hung"),
        ("yes '{'", "too many streams"),
        ("exit 127", "can't be run"),
        ("kill -KILL $$", "can't be run"),
        ("echo '{'; exit 0", "can't be run"),
        ("echo no >&2; kill -SEGV $$", "crashed (signal: 11"),
        ("echo 'sh: Cannot fork' >&2; exit 2", "can't be run"),
        ("echo '[mov @ 0x55cd] it is no video' >&2; exit 1", "ffprobe says: it is no video"),
    ] {
        let tools = Tools {
            ffprobe: stub(&scripts, body),
            ..Tools::find("ffmpeg".as_ref(), "ffprobe".as_ref()).unwrap()
        };
        let sandbox = Sandbox { launcher: None, ..Sandbox::default() };
        let prober = Prober::new(Arc::new(tools), sandbox, limits.clone(), 1);
        let error = prober.probe(Path::new("/dev/null"), CLIENT).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{body}: {error}");
    }
}

/// Run by the test below where the temporary folder is on a disk of two megabytes.
#[tokio::test]
#[ignore = "runs as a child of the test below"]
async fn on_a_small_disk() {
    use http_body_util::Full;
    // The clip itself lies elsewhere; only the data folder is on the small disk.
    let clips = tempfile::tempdir_in("/dev/shm").unwrap();
    let noise = "-f lavfi -i nullsrc=size=640x360:rate=25:duration=3,geq=random(1)*255:128:128 -c:v libx264 -crf 10 \
                 -preset ultrafast";
    let input = clip(&clips, noise);
    let rig = Rig::new(&Setup::default());
    let info = rig.pool.prober().probe(&input, CLIENT).await.unwrap();
    // Of a bit rate without a bound.
    let job = Job { info, input: Job::kept(&input), profile: profile("paper"), ..rig.job(SOON) };
    let error = rig.pool.submit(job).unwrap().wait().await.unwrap_err();
    assert!(matches!(error, TranscodeError::DiskFull), "{error}");
    let body = Full::new(bytes::Bytes::from(std::fs::read(&input).unwrap()));
    let store =
        crate::store::Store::open(rig.dir.clone(), 0, "5.1.9", crate::events::Events::default()).unwrap();
    let error = store.receive(body, &crate::store::Limits::default()).await.unwrap_err();
    assert!(matches!(error, crate::store::IngestError::DiskFull), "{error}");
    while !rig.leftovers().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("small disk: as it should be");
}

#[test]
fn a_disk_that_fills_up_is_called_so() {
    // A mount namespace of its own: the small disk goes with the process.
    let script = "mount -t tmpfs -o size=2m none \"$1\" && TMPDIR=\"$1\" exec \"$0\" \
                  workers::tests::misbehaviour::on_a_small_disk --exact --ignored --nocapture";
    let folder = tempfile::tempdir().unwrap();
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("SKIPPED: needs root, to mount a small disk");
        return;
    }
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("as it should be"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
