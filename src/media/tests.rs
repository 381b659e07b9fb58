//! From facts to command lines, for many kinds of files.

use std::path::Path;

use super::*;
use crate::content::*;
use crate::profile::{Profile, ProfileSet, Scale, Unsuitable};

fn profile(name: &str) -> std::sync::Arc<Profile> {
    ProfileSet::builtin().get(&name.parse().unwrap()).unwrap()
}

fn hd() -> VideoInfo {
    VideoInfo {
        codec: "h264".into(),
        width: 1280,
        height: 720,
        fps: 30.0,
        constant_rate: Ratio::new(30, 1),
        frames: 150,
        counted: true,
        duration: Some(std::time::Duration::from_secs(5)),
        ..VideoInfo::default()
    }
}

fn color(range: &str, matrix: &str, primaries: &str, transfer: &str) -> Color {
    Color {
        range: Range::parse(range),
        matrix: Matrix::parse(matrix),
        primaries: Primaries::parse(primaries),
        transfer: Transfer::parse(transfer),
    }
}

fn clip() -> MediaInfo {
    let audio =
        AudioInfo { index: 1, channels: 2, known_layout: true, sample_rate: 44_100, ..AudioInfo::default() };
    MediaInfo { video: Some(hd()), audio: Some(audio), duration: hd().duration, ..MediaInfo::default() }
}

fn line(name: &str, info: &MediaInfo) -> String {
    let profile = profile(name);
    let plan = Plan::new(info, &profile, &Features::default(), false).unwrap();
    let run = Run {
        input: Path::new("in"),
        output: Path::new("out"),
        threads: 2,
        limits: &MediaLimits::default(),
        hardware: None,
    };
    let text = |argv: Vec<std::ffi::OsString>| {
        argv.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let first = text(plan.argv(&profile, &run));
    match &plan.preview {
        Some(preview) => {
            format!("{first}\n  then: {}", text(preview.argv(&[run.output], Path::new("made"), run.limits)))
        }
        None => first,
    }
}

fn kinds() -> Vec<(&'static str, VideoInfo)> {
    let uhd = color("tv", "bt2020nc", "bt2020", "smpte2084");
    vec![
        ("HD without tags", hd()),
        ("SD without tags", VideoInfo { width: 640, height: 480, ..hd() }),
        ("SD without tags in a stream", VideoInfo { width: 640, height: 480, counted: false, ..hd() }),
        ("HD without tags in a stream", VideoInfo { counted: false, ..hd() }),
        ("PAL, wide pixels", VideoInfo { width: 720, height: 576, pixel_aspect: Ratio::new(64, 45), ..hd() }),
        ("HD with tags", VideoInfo { color: color("tv", "bt709", "bt709", "bt709"), ..hd() }),
        (
            "a browser's, full range",
            VideoInfo { color: color("pc", "bt709", "bt709", "iec61966-2-1"), ..hd() },
        ),
        ("full range by its kind", VideoInfo { samples: Samples::FullRangeYuv, ..hd() }),
        ("RGB", VideoInfo { samples: Samples::Rgb, ..hd() }),
        (
            "RGB that is said to be a matrix",
            VideoInfo { samples: Samples::Rgb, color: color("pc", "gbr", "bt709", "bt709"), ..hd() },
        ),
        ("PQ", VideoInfo { color: uhd, ..hd() }),
        ("PQ, odd size", VideoInfo { color: uhd, width: 1281, ..hd() }),
        ("HLG", VideoInfo { color: color("tv", "bt2020nc", "bt2020", "arib-std-b67"), ..hd() }),
        (
            "wide colours of standard range",
            VideoInfo { color: color("tv", "bt2020nc", "bt2020", "bt2020-10"), ..hd() },
        ),
        ("early HD", VideoInfo { color: color("tv", "smpte240m", "smpte240m", "smpte240m"), ..hd() }),
        (
            "interlaced",
            VideoInfo {
                interlaced: Some(FieldOrder::Top),
                width: 1440,
                height: 1080,
                pixel_aspect: Ratio::new(4, 3),
                ..hd()
            },
        ),
        ("turned", VideoInfo { rotation: 270, ..hd() }),
        (
            "RGB with transparent parts, on a page",
            VideoInfo { samples: Samples::Rgb, backdrop: Some(Backdrop::White), ..hd() },
        ),
        ("transparent parts in a film", VideoInfo { backdrop: Some(Backdrop::Black), ..hd() }),
    ]
}

#[test]
fn a_shape_of_pixels_that_can_not_be_is_no_ones() {
    let filters = |aspect| {
        let video = VideoInfo { pixel_aspect: Ratio::new(aspect, 1), ..hd() };
        picture_filters(&video, Scale::ShortSide(360), Surface::Video, &Features::default())
    };
    assert_eq!(filters(100)[0], "setsar=1");
    assert!(filters(2)[0].starts_with("scale="), "{:?}", filters(2));
}

#[test]
fn the_last_picture_of_a_rate_that_varies_lasts_until_the_end_that_is_told() {
    let mut info = clip();
    let lasts = |info: &MediaInfo| line("360p", info).contains("clip(STARTPTS+450000-ld(0),1500,3000)");
    assert!(!lasts(&info), "of a constant rate it lasts as long as the others");
    info.video.as_mut().unwrap().constant_rate = None;
    assert!(lasts(&info), "{}", line("360p", &info));
    info.video.as_mut().unwrap().duration = None;
    assert!(!lasts(&info));
}

#[test]
fn filters_of_many_kinds() {
    let mut told = Vec::new();
    for (kind, video) in kinds() {
        for (surface, what) in [(Surface::Video, "video"), (Surface::Jpeg, "jpeg")] {
            let filters = picture_filters(&video, Scale::ShortSide(360), surface, &Features::default());
            told.push(format!("{kind}, {what}:\n    {}", filters.join("\n    ")));
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_ffmpeg_lacks_is_done_without() {
    let bare = Features::read("x\n", "Filters:\n ... scale V->V  Scale\n");
    let video = VideoInfo {
        color: color("tv", "bt2020nc", "bt2020", "smpte2084"),
        interlaced: Some(FieldOrder::Bottom),
        ..hd()
    };
    let filters = picture_filters(&video, Scale::Exact(640, 360), Surface::Video, &bare);
    assert_eq!(
        filters,
        [
            "yadif=mode=send_frame:parity=bff:deint=interlaced",
            "scale=640:360:in_color_matrix=auto:out_color_matrix=bt2020:out_range=tv",
            "format=yuv420p",
            // It stays what it is, and says so.
            "setparams=field_mode=prog:range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
        ]
    );
}

#[test]
fn every_command_line_reads_as_before() {
    let lines: Vec<_> = ProfileSet::builtin()
        .iter()
        .map(|profile| format!("{}: {}", profile.name, line(profile.name.as_str(), &clip())))
        .collect();
    insta::assert_snapshot!(lines.join("\n\n"));
}

#[test]
fn the_papers_recipe_is_exactly_the_papers() {
    let line = line("paper", &clip());
    for part in [
        "-vf scale=640:360,format=yuv420p,",
        "-c:v libx264 -preset fast -crf 28 ",
        "-movflags +faststart -f mp4 ",
        "-c:a aac ",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    for part in ["-maxrate", "-g ", "-force_key_frames", "pad=", "setsar", "-profile:v"] {
        assert!(!line.contains(part), "{part} is in {line}");
    }
}

#[test]
fn what_guards_against_hostile_input_stands_before_the_input() {
    for profile in ProfileSet::builtin().iter() {
        let line = line(profile.name.as_str(), &clip());
        let first = line.split('\n').next().unwrap();
        let (before, after) = first.split_once(" -i file:in ").unwrap();
        for guard in [
            "-nostdin",
            "-protocol_whitelist file,pipe",
            "-format_whitelist mov,",
            "-max_pixels ",
            "-max_alloc ",
        ] {
            assert!(before.contains(guard), "{guard} is missing or misplaced in {line}");
        }
        assert!(
            after.contains("-t ")
                && after.contains("-fs ")
                && after.ends_with(if profile.name.as_str() == "hls" {
                    "-y file:audio.mp4"
                } else {
                    "-y file:out"
                }),
            "{line}"
        );
    }
}

#[test]
fn streams_are_taken_by_their_numbers() {
    let mut info = clip();
    info.video.as_mut().unwrap().index = 3;
    info.audio = Some(AudioInfo { index: 7, language: Some("deu".into()), ..info.audio.unwrap() });
    let line = line("360p", &info);
    assert!(line.contains("-map 0:3 ") && line.contains("-map 0:7 "), "{line}");
    assert!(line.contains("-metadata:s:a:0 language=deu "), "{line}");
    // A language that came from a peer and is none.
    info.audio.as_mut().unwrap().language = Some("x -i /etc/passwd".into());
    assert!(!self::line("360p", &info).contains("language="));
}

#[test]
fn a_song_has_a_poster_by_its_cover_and_no_video() {
    let cover =
        VideoInfo { index: 1, codec: "mjpeg".into(), width: 600, height: 600, ..VideoInfo::default() };
    let song = MediaInfo { video: None, cover: Some(cover), ..clip() };
    let line = line("poster", &song);
    assert!(line.contains("-map 0:1 ") && !line.contains("thumbnail"), "{line}");
    let refused = Plan::new(&song, &profile("360p"), &Features::default(), false);
    assert_eq!(refused, Err(Unsuitable::CoverOnly));
    assert!(Plan::new(&song, &profile("audio"), &Features::default(), false).is_ok());
}

#[test]
fn a_poster_is_looked_for_in_the_first_tenth() {
    let long = std::time::Duration::from_secs(3600);
    let film = MediaInfo { video: Some(VideoInfo { duration: Some(long), ..hd() }), ..clip() };
    assert!(line("poster", &film).contains("-skip_frame nokey -t 1080.000 "), "{}", line("poster", &film));
    let short = line("poster", &clip());
    assert!(
        !short.contains("-skip_frame") && short.contains("-t 60.000 ") && short.contains("thumbnail=n=15,"),
        "{short}"
    );
    let unknown = MediaInfo { duration: None, video: Some(VideoInfo { duration: None, ..hd() }), ..clip() };
    assert!(line("poster", &unknown).contains("thumbnail=n=30,"));
}

mod reading {
    use super::*;
    use crate::media::facts;

    fn read(json: &serde_json::Value) -> MediaInfo {
        facts::read(
            json.as_object().unwrap().clone(),
            &Features::read(" D.A.L. aac  AAC\n D.V.L. h264  AVC\n", ""),
        )
        .unwrap()
    }

    fn sound(index: u32, codec: Option<&str>, disposition: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({"index": index, "codec_type": "audio", "codec_name": codec, "channels": 2, "channel_layout": "stereo",
            "sample_rate": "48000", "duration": "4.0", "disposition": disposition})
    }

    fn chosen(streams: &[serde_json::Value]) -> Option<u32> {
        read(&serde_json::json!({"streams": streams, "format": {"format_name": "matroska,webm"}}))
            .audio
            .map(|audio| audio.index)
    }

    #[test]
    fn a_stream_is_chosen_that_can_be_decoded_then_the_default_then_no_commentary() {
        let none = serde_json::json!({});
        let default = serde_json::json!({"default": 1});
        let commentary = serde_json::json!({"default": 1, "comment": 1});
        assert_eq!(chosen(&[sound(1, Some("aac"), &none), sound(2, Some("aac"), &default)]), Some(2));
        assert_eq!(chosen(&[sound(1, Some("aac"), &commentary), sound(2, Some("aac"), &default)]), Some(2));
        assert_eq!(chosen(&[sound(1, None, &default), sound(2, Some("aac"), &none)]), Some(2));
        assert_eq!(chosen(&[sound(1, Some("ac4"), &default), sound(2, Some("aac"), &none)]), Some(2));
        assert_eq!(chosen(&[sound(1, Some("aac"), &none), sound(2, Some("aac"), &none)]), Some(1));
        let mut titled = sound(1, Some("aac"), &none);
        titled["tags"] = serde_json::json!({"title": "Director's Commentary"});
        assert_eq!(chosen(&[titled, sound(2, Some("aac"), &none)]), Some(2));
    }

    #[test]
    fn why_there_is_nothing_to_use_is_known() {
        let of = |streams: serde_json::Value| {
            let info = read(&serde_json::json!({"streams": streams, "format": {"format_name": "mov,mp4"}}));
            (profile("audio").suits(&info), profile("360p").suits(&info))
        };
        let video = serde_json::json!({"index": 0, "codec_type": "video", "codec_name": "h264", "width": 4, "height": 4,
            "nb_frames": "9", "duration": "4.0"});
        let (audio, moving) = of(serde_json::json!([video, sound(1, Some("aac"), &serde_json::json!({}))]));
        assert_eq!(audio, Err(Unsuitable::Lacks { video: false, why: Lack::Empty }));
        assert_eq!(moving, Ok(()));
        let (audio, _) = of(serde_json::json!([video, sound(1, Some("ac4"), &serde_json::json!({}))]));
        assert_eq!(audio, Err(Unsuitable::Lacks { video: false, why: Lack::Undecodable("ac4".into()) }));
        let mut locked = video.clone();
        locked["side_data_list"] = serde_json::json!([{"side_data_type": "Encryption initialization data"}]);
        assert_eq!(
            of(serde_json::json!([locked])).1,
            Err(Unsuitable::Lacks { video: true, why: Lack::Encrypted })
        );
        let mut dolby = video.clone();
        dolby["side_data_list"] = serde_json::json!([{"dv_profile": 5, "dv_bl_signal_compatibility_id": 0}]);
        assert_eq!(
            of(serde_json::json!([dolby])).1,
            Err(Unsuitable::Lacks { video: true, why: Lack::DolbyVisionOnly })
        );
        // A fragmented file counts no frames of anything.
        let mut fragmented = video;
        fragmented["nb_frames"] = serde_json::Value::Null;
        assert_eq!(
            of(serde_json::json!([fragmented, sound(1, Some("aac"), &serde_json::json!({}))])).0,
            Ok(())
        );
    }

    #[test]
    fn an_avi_says_how_long_it_was_by_the_frames_that_its_header_counts() {
        let info = read(
            &serde_json::json!({"streams": [{"index": 0, "codec_type": "video", "codec_name": "h264", "width": 64,
            "height": 64, "r_frame_rate": "25/1", "avg_frame_rate": "25/1", "nb_frames": "150", "duration": "4.24"},
            sound(1, Some("aac"), &serde_json::json!({}))],
            "format": {"format_name": "avi", "nb_streams": 2, "duration": "4.24"}}),
        );
        let whole = Some(std::time::Duration::from_secs(6));
        assert_eq!((info.picture_duration(), info.sound_duration()), (whole, whole));
    }

    #[test]
    fn facts_are_read_as_ffprobe_writes_them() {
        let info = read(
            &serde_json::json!({"streams": [{"index": 2, "codec_type": "video", "codec_name": "h264", "width": 1440,
            "height": 1080, "sample_aspect_ratio": "4:3", "pix_fmt": "yuvj420p", "color_range": "pc", "color_space": "bt709",
            "color_transfer": "arib-std-b67", "color_primaries": "bt2020", "field_order": "bb", "avg_frame_rate": "0/0",
            "r_frame_rate": "1000/1", "tags": {"DURATION": "00:01:08.5"}, "side_data_list": [{"rotation": -90}]}],
            "format": {"format_name": "matroska,webm", "nb_streams": 3}}),
        );
        let video = info.video.unwrap();
        assert_eq!((video.index, video.shown_size()), (2, (1080, 1920)));
        assert_eq!((video.rotation, video.fps, video.constant_rate), (270, 0.0, None));
        assert_eq!((video.samples, video.interlaced), (Samples::FullRangeYuv, Some(FieldOrder::Bottom)));
        assert_eq!(video.color, color("pc", "bt709", "bt2020", "arib-std-b67"));
        assert_eq!(video.duration, Some(std::time::Duration::from_millis(68_500)));
    }
}
