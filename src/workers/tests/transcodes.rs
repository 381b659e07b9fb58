use super::*;

const LANDSCAPE: &str = "-f lavfi -i testsrc2=size=322x242:rate=25:duration=1 -f lavfi -i sine=duration=1 -c:v libx264 \
                         -preset ultrafast -c:a aac";
const SILENT_PORTRAIT: &str =
    "-f lavfi -i testsrc2=size=720x1280:rate=25:duration=1 -c:v libx264 -preset ultrafast";

#[tokio::test]
async fn the_papers_profile_makes_640x360_with_sound() {
    let rig = Rig::new(&Setup::default());
    let ticket = rig.pool.submit(rig.clip_job("paper", LANDSCAPE).await).unwrap();
    let mut progress = ticket.progress();
    let done = ticket.wait().await.unwrap();
    let video = done.result.info().video.as_ref().unwrap();
    assert_eq!((video.codec.as_str(), video.width, video.height), ("h264", 640, 360));
    assert_eq!(done.result.info().audio.as_ref().unwrap().codec, "aac");
    let written = std::fs::read(done.result.path()).unwrap();
    assert_eq!((written.len() as u64, ContentId::of(&written)), (done.result.bytes(), done.result.sha256()));
    assert_eq!(progress.borrow_and_update().fraction, Some(1.0));
    // The index is in front of the pictures, so that a player can start early.
    let at = |name: &[u8]| written.windows(4).position(|window| window == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
    let stats = rig.pool.stats();
    assert_eq!((stats.transcodes_total, stats.completed_total, stats.running), (1, 1, 0));
    assert!(stats.service_ms > 0 && stats.speed.is_some_and(|speed| speed.pixels_per_s > 1_000.0));
    drop(done);
    drop(rig.pool.clone());
}

#[tokio::test]
async fn every_profile_gives_what_it_says() {
    let rig = Rig::new(&Setup::default());
    let expected = [
        ("paper", LANDSCAPE, Some(("h264", 640, 360)), true),
        ("paper", SILENT_PORTRAIT, Some(("h264", 640, 360)), false),
        ("360p", SILENT_PORTRAIT, Some(("h264", 360, 640)), false),
        // Portrait: the shorter side is the width. Never enlarged, always even.
        ("480p", SILENT_PORTRAIT, Some(("h264", 480, 854)), false),
        ("720p", SILENT_PORTRAIT, Some(("h264", 720, 1280)), false),
        ("1080p", LANDSCAPE, Some(("h264", 322, 242)), true),
        ("webm", LANDSCAPE, Some(("vp9", 322, 242)), true),
        ("hevc", LANDSCAPE, Some(("hevc", 322, 242)), true),
        ("hevc", SILENT_PORTRAIT, Some(("hevc", 720, 1280)), false),
        ("av1", LANDSCAPE, Some(("av1", 322, 242)), true),
        ("audio", LANDSCAPE, None, true),
        ("poster", SILENT_PORTRAIT, Some(("mjpeg", 720, 1280)), false),
    ];
    for (name, source, video, audio) in expected {
        let done = rig.pool.submit(rig.clip_job(name, source).await).unwrap().wait().await.unwrap();
        let got = done.result.info().video.as_ref().map(|v| (v.codec.as_str(), v.width, v.height));
        assert_eq!((got, done.result.info().audio.is_some()), (video, audio), "{name}");
    }
}

#[tokio::test]
async fn odd_and_rotated_pictures_come_out_upright_and_even() {
    let rig = Rig::new(&Setup::default());
    // Coded 320x180, shown upright as 180x320.
    let plain = clip(&rig.folder, "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1 -c:v libx264");
    let rotated = format!("-display_rotation 90 -i {} -c copy", plain.display());
    let older = format!("-i {} -c copy -metadata:s:v:0 rotate=90", plain.display());
    let made = Command::new("ffmpeg").args(["-v", "quiet", "-h", "full"]).output().unwrap();
    let arguments =
        if String::from_utf8_lossy(&made.stdout).contains("display_rotation") { rotated } else { older };
    let done = rig.pool.submit(rig.clip_job("480p", &arguments).await).unwrap().wait().await.unwrap();
    let video = done.result.info().video.as_ref().unwrap();
    assert_eq!((video.width, video.height), (180, 320));
    let odd = "-f lavfi -i testsrc2=size=321x241:rate=25:duration=1 -c:v libx264 -pix_fmt yuv444p";
    let done = rig.pool.submit(rig.clip_job("480p", odd).await).unwrap().wait().await.unwrap();
    let video = done.result.info().video.as_ref().unwrap();
    assert_eq!((video.width % 2, video.height), (0, 240));
}

#[tokio::test]
async fn a_profile_that_cannot_be_made_of_it_is_refused_before_any_work() {
    let rig = Rig::new(&Setup::default());
    let refused = rig.pool.submit(rig.clip_job("audio", SILENT_PORTRAIT).await);
    assert!(matches!(refused, Err(SubmitError::Unsuitable(crate::profile::Unsuitable::NoAudio))));
    assert_eq!(rig.pool.stats().transcodes_total, 0);
}

#[tokio::test]
async fn of_a_clip_that_is_cut_off_there_is_what_could_be_read_and_how_much_was_lost() {
    let rig = Rig::new(&Setup::default());
    let whole = clip(
        &rig.folder,
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -c:v libx264 -movflags +faststart",
    );
    let bytes = std::fs::read(&whole).unwrap();
    let cut = rig.folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let info = rig.pool.prober().probe(&cut, CLIENT).await.unwrap();
    let job = Job { info, input: Job::kept(cut), ..rig.job(Duration::from_secs(30)) };
    let done = rig.pool.submit(job).unwrap().wait().await.unwrap();
    let damage = done.result.damage().unwrap();
    let read = done.result.info().picture_duration().unwrap();
    assert_eq!(damage.expected_ms, Some(4000));
    assert!(damage.read().abs_diff(read) < Duration::from_millis(2), "{damage}, {read:?}");
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&read), "{read:?}");
}

#[tokio::test]
async fn a_result_over_the_limit_is_refused_and_not_cut_short() {
    let limits = MediaLimits { output_bytes_max: 20_000, ..MediaLimits::default() };
    let rig = Rig::new(&Setup { limits, ..Setup::default() });
    let noise = "-f lavfi -i nullsrc=size=640x360:rate=25:duration=2,geq=random(1)*255:128:128 -c:v libx264 \
                 -preset ultrafast";
    let error = rig.pool.submit(rig.clip_job("720p", noise).await).unwrap().wait().await.unwrap_err();
    assert!(matches!(error, TranscodeError::OutputTooLarge { max: 20_000 }), "{error}");
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_by_the_probe() {
    let limits = MediaLimits {
        duration_max: Duration::from_secs(2),
        picture_pixels_max: 320 * 240,
        streams_max: 1,
        ..MediaLimits::default()
    };
    let rig = Rig::new(&Setup { limits, ..Setup::default() });
    let refusal = async |arguments: &str| {
        rig.pool.prober().probe(&clip(&rig.folder, arguments), CLIENT).await.unwrap_err().to_string()
    };
    let long = refusal("-f lavfi -i color=size=32x32:duration=3 -c:v libx264").await;
    assert_eq!(long, "the duration is over this node's limit: 3s, at most 2s");
    // The limit itself is within the limit; what is not used is of any size.
    let sized = async |size: &str, profile: &str| {
        let source = format!("-f lavfi -i color=size={size}:duration=1 -c:v libx264");
        rig.pool.submit(rig.clip_job(profile, &source).await).err().map(|error| error.to_string())
    };
    assert_eq!(sized("320x240", "360p").await, None);
    let big = sized("322x240", "360p").await.unwrap();
    assert_eq!(big, "the picture's size is over this node's limit: 322x240, at most 76800 pixels");
    let many = refusal("-f lavfi -i color=size=32x32:duration=1 -map 0:v -map 0:v -c:v libx264").await;
    assert_eq!(many, "the number of streams is over this node's limit: more than 1, at most 1");
}

#[tokio::test]
async fn a_film_that_is_over_before_a_tenth_of_its_length_has_a_poster_too() {
    let rig = Rig::new(&Setup::default());
    for source in [
        // One picture; one with a long sound; and a container that tells no more than the sound's length.
        "-f lavfi -i testsrc2=size=64x64:rate=25:duration=0.04 -c:v libx264",
        "-f lavfi -i testsrc2=size=64x64:rate=25:duration=0.04 -f lavfi -i sine=duration=3 -c:v libx264 -c:a aac",
        "-f lavfi -i testsrc2=size=64x64:rate=25:duration=0.2 -f lavfi -i sine=duration=9 -c:v libx264 -c:a aac -f matroska",
    ] {
        let done = rig.pool.submit(rig.clip_job("poster", source).await).unwrap().wait().await;
        assert_eq!(done.unwrap().result.info().video.as_ref().unwrap().codec, "mjpeg", "{source}");
    }
}

#[tokio::test]
async fn what_has_no_picture_that_can_be_decoded_is_not_called_this_nodes_fault() {
    let rig = Rig::new(&Setup::default());
    let path = clip(&rig.folder, "-f lavfi -i testsrc2=size=64x64:rate=25:duration=1 -c:v libx264");
    let mut bytes = std::fs::read(&path).unwrap();
    // No part of it lasts: where its duration stands behind the kind of each box.
    for (kind, behind) in [(b"mdhd", 20), (b"tkhd", 24), (b"elst", 12)] {
        let at = bytes.windows(4).position(|window| window == kind).unwrap() + behind;
        bytes[at..at + 4].fill(0);
    }
    std::fs::write(&path, bytes).unwrap();
    for name in ["360p", "poster"] {
        let info = rig.pool.prober().probe(&path, CLIENT).await.unwrap();
        let job =
            Job { info, input: Job::kept(&path), profile: profile(name), ..rig.job(Duration::from_secs(30)) };
        let error = rig.pool.submit(job).unwrap().wait().await.unwrap_err();
        assert!(matches!(error, TranscodeError::NoPicture) && error.is_input_fault(), "{name}: {error}");
    }
}

#[tokio::test]
async fn what_plays_longer_than_it_says_and_than_it_may_is_not_cut_short() {
    let limits = MediaLimits { duration_max: Duration::from_secs(3), ..MediaLimits::default() };
    let rig = Rig::new(&Setup { limits, ..Setup::default() });
    let input = clip(&rig.folder, "-f lavfi -i testsrc2=size=64x64:rate=25:duration=5 -c:v libx264");
    for (says, refused) in [(1, true), (3, false)] {
        let says = Duration::from_secs(says);
        let video = VideoInfo { width: 64, height: 64, frames: 25, fps: 25.0, ..VideoInfo::default() };
        let info = MediaInfo { duration: Some(says), video: Some(video), ..MediaInfo::default() };
        let job = Job { info, input: Job::kept(&input), ..rig.job(Duration::from_secs(30)) };
        let done = rig.pool.submit(job).unwrap().wait().await;
        assert_eq!(matches!(done, Err(TranscodeError::TooLong { .. })), refused, "{says:?}: {done:?}");
    }
}

#[tokio::test]
async fn ffmpegs_own_lists_stop_a_manifest_even_without_the_sandbox() {
    let rig = Rig::new(&Setup::default());
    let secret = clip(&rig.folder, "-f lavfi -i color=size=64x64:duration=1 -c:v libx264");
    let manifest = rig.folder.path().join("manifest.mp4");
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT1S\" \
         profiles=\"urn:mpeg:dash:profile:isoff-main:2011\"><Period><AdaptationSet mimeType=\"video/mp4\">\
         <Representation id=\"0\" bandwidth=\"1\"><SegmentList duration=\"1\"><SegmentURL media=\"file:{0}\"/>\
         </SegmentList><BaseURL>file:{0}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        secret.display()
    );
    std::fs::write(&manifest, &text).unwrap();
    let bare = Command::new("ffprobe").args(["-v", "error"]).arg(&manifest).status().unwrap();
    assert!(bare.success(), "the attack itself doesn't work");
    let error = rig.pool.prober().probe(&manifest, CLIENT).await.unwrap_err();
    assert!(matches!(error, ProbeError::Refused { .. }), "{error}");
    // Nor does ffmpeg read it, should the probe be passed by.
    let job = Job { input: Job::kept(manifest), ..rig.job(Duration::from_secs(30)) };
    let error = rig.pool.submit(job).unwrap().wait().await.unwrap_err();
    assert!(matches!(error, TranscodeError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn every_container_that_is_taken_goes_all_the_way() {
    use crate::store::{Container, sniff};
    let rig = Rig::new(&Setup::default());
    let source = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -f lavfi -i sine=duration=1";
    let cases = [
        ("-c:v libx264 -c:a aac -f mov", Container::Mp4),
        ("-c:v libx264 -c:a aac -f mp4 -movflags +frag_keyframe+empty_moov", Container::Mp4),
        ("-c:v libx264 -c:a aac -f matroska", Container::Matroska),
        // As a browser records it: without a duration.
        ("-c:v libvpx -c:a libopus -f webm -live 1", Container::Matroska),
        ("-c:v libx264 -c:a aac -f mpegts", Container::MpegTs),
        ("-c:v libx264 -c:a aac -f mpegts -mpegts_m2ts_mode 1", Container::MpegTs),
        ("-c:v mpeg2video -c:a mp2 -f mpeg", Container::MpegPs),
        ("-c:v mpeg4 -c:a libmp3lame -f avi", Container::Avi),
        ("-c:v flv -c:a libmp3lame -ar 44100 -f flv", Container::Flv),
        ("-c:v wmv2 -c:a wmav2 -f asf", Container::Asf),
        ("-c:v libtheora -c:a libvorbis -f ogg", Container::Ogg),
    ];
    for (arguments, container) in cases {
        let arguments = format!("{source} {arguments}");
        let path = clip(&rig.folder, &arguments);
        let head = std::fs::read(&path).unwrap();
        assert_eq!(sniff(&head[..head.len().min(1024)]), Ok(container), "{arguments}");
        let info = rig
            .pool
            .prober()
            .probe(&path, CLIENT)
            .await
            .unwrap_or_else(|error| panic!("{arguments}: {error}"));
        let job = Job { info, input: Job::kept(path), ..rig.job(Duration::from_secs(30)) };
        let done =
            rig.pool.submit(job).unwrap().wait().await.unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert!(
            done.result.info().audio.is_some()
                && done.result.info().duration.unwrap() > Duration::from_millis(700),
            "{arguments}"
        );
    }
    for (arguments, container) in [
        ("-f wav", Container::Wav),
        ("-f flac", Container::Flac),
        ("-f mp3", Container::MpegAudio),
        ("-f adts", Container::MpegAudio),
    ] {
        let path = clip(&rig.folder, &format!("-f lavfi -i sine=duration=1 {arguments}"));
        assert_eq!(sniff(&std::fs::read(&path).unwrap()[..1024]), Ok(container), "{arguments}");
        let info = rig.pool.prober().probe(&path, CLIENT).await.unwrap();
        let job = Job {
            info,
            input: Job::kept(path),
            profile: profile("audio"),
            ..rig.job(Duration::from_secs(30))
        };
        rig.pool.submit(job).unwrap().wait().await.unwrap_or_else(|error| panic!("{arguments}: {error}"));
    }
}
