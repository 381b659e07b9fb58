use super::*;
use crate::content::AudioInfo;
use proptest::prelude::*;

fn parse(json: &[u8]) -> Result<MediaInfo, ProbeError> {
    super::parse(json, &Features::default())
}

const CLIP: &str = r#"{"programs":[],"streams":[
        {"codec_name":"mjpeg","codec_type":"video","width":600,"height":600,"avg_frame_rate":"0/0","disposition":{"attached_pic":1}},
        {"codec_name":"aac","codec_type":"audio","channels":2,"avg_frame_rate":"0/0","nb_frames":"216","duration":"5.0","disposition":{"attached_pic":0}},
        {"codec_name":"h264","codec_type":"video","width":1080,"height":1920,"r_frame_rate":"24/1","avg_frame_rate":"24/1",
         "nb_frames":"121","duration":"5.041667","disposition":{"attached_pic":0}}],
        "format":{"nb_streams":3,"format_name":"mov,mp4,m4a,3gp,3g2,mj2","duration":"5.041667"}}"#;

#[test]
fn a_clip_is_read_and_cover_art_is_no_video() {
    let info = parse(CLIP.as_bytes()).unwrap();
    let video = info.video.as_ref().unwrap();
    assert_eq!((video.codec.as_str(), video.width, video.height, video.frames), ("h264", 1080, 1920, 121));
    let sound = AudioInfo {
        codec: "aac".into(),
        channels: 2,
        duration: Some(Duration::from_secs(5)),
        ..AudioInfo::default()
    };
    assert_eq!(info.audio, Some(sound));
    assert_eq!(info.pixels(), 1080 * 1920 * 121);
    assert_eq!(info.streams, 3);
}

#[test]
fn a_single_picture_beside_a_film_is_its_thumbnail() {
    let used = |frames: u32| {
        let json = format!(
            r#"{{"streams":[
                {{"index":0,"codec_name":"mjpeg","codec_type":"video","width":160,"height":90,"nb_frames":"1","disposition":{{"default":1}}}},
                {{"index":1,"codec_name":"h264","codec_type":"video","width":640,"height":360,"nb_frames":"{frames}"}}],
                "format":{{"nb_streams":2,"format_name":"mov,mp4,m4a,3gp,3g2,mj2"}}}}"#
        );
        parse(json.as_bytes()).unwrap().video.unwrap().index
    };
    assert_eq!(used(50), 1);
    assert_eq!(used(1), 0, "of two films of one picture, the one that is marked as default");
}

#[test]
fn an_avi_counts_in_the_rate_of_its_header() {
    // Pictures out of order, in chunks of which every second is empty.
    let json = br#"{"streams":[{"codec_name":"h264","codec_type":"video","width":64,"height":64,"nb_frames":"100",
            "r_frame_rate":"25/1","avg_frame_rate":"50/1","duration":"2.000000"}],"format":{"nb_streams":1,"format_name":"avi"}}"#;
    assert_eq!(parse(json).unwrap().video.unwrap().duration, Some(Duration::from_secs(2)));
}

#[test]
fn tags_of_a_longer_file_do_not_count() {
    let json = br#"{"streams":[{"codec_name":"h264","codec_type":"video","width":64,"height":64,
            "tags":{"DURATION":"00:00:08.021000000"}}],"format":{"nb_streams":1,"format_name":"matroska,webm","duration":"2.021000"}}"#;
    assert_eq!(parse(json).unwrap().video.unwrap().duration, Some(Duration::from_millis(2021)));
}

#[test]
fn a_length_that_an_mp4_does_not_know_is_that_of_its_streams() {
    let says = |says: &str, stream: &str| {
        let json = format!(
            r#"{{"streams":[{{"codec_name":"h264","codec_type":"video","width":64,"height":64,"duration":"{stream}"}}],
                "format":{{"nb_streams":1,"format_name":"mov,mp4,m4a,3gp,3g2,mj2","duration":"{says}"}}}}"#
        );
        parse(json.as_bytes()).unwrap().duration.map(|duration| duration.as_secs())
    };
    // All bits of 32, in 1000, 600 and 90000 ticks a second.
    for mark in ["4294967.295000", "7158278.825000", "47721.858833"] {
        assert_eq!(says(mark, "2.000000"), Some(2), "{mark}");
        assert_eq!(says(mark, mark), None, "{mark}");
    }
    assert_eq!(says("47721.000000", "2.000000"), Some(47_721));
}

#[test]
fn a_clock_that_begins_late_makes_no_file_longer() {
    let read = |start: &str, says: &str| {
        let json = format!(
            r#"{{"streams":[{{"codec_name":"h264","codec_type":"video","width":64,"height":64,
                    "tags":{{"DURATION":"00:01:42.000000000"}}}}],
                    "format":{{"nb_streams":1,"format_name":"matroska,webm","start_time":"{start}","duration":"{says}"}}}}"#
        );
        let info = parse(json.as_bytes()).unwrap();
        (info.duration, info.video.unwrap().duration)
    };
    let secs = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(read("100.000000", "102.000000"), (secs(2), secs(2)));
    assert_eq!(read("0.000000", "102.000000"), (secs(102), secs(102)));
    assert_eq!(read("-1.000000", "102.000000"), (secs(102), secs(102)));
    // A recorder that says a length.
    assert_eq!(read("3600.000000", "50.000000"), (secs(50), secs(50)));
}

#[test]
fn frames_are_reckoned_where_they_are_not_counted() {
    let json = CLIP.replace("\"nb_frames\":\"121\",", "");
    assert_eq!(parse(json.as_bytes()).unwrap().video.unwrap().frames, 121);
    let json = json.replace("5.041667", "N/A");
    let info = parse(json.as_bytes()).unwrap();
    assert_eq!((info.duration, info.pixels()), (None, 0));
}

#[test]
fn nothing_to_see_or_hear_is_refused_with_a_reason() {
    for json in ["{}", r#"{"streams":[{"codec_type":"data"}]}"#, r#"{"streams":[{"codec_type":7}]}"#] {
        assert!(matches!(parse(json.as_bytes()), Err(ProbeError::Refused { .. })), "{json}");
    }
}

#[test]
fn a_hang_is_the_files_doing_only_where_there_was_work() {
    let (max, ms) = (Duration::from_secs(10), Duration::from_millis);
    assert!(matches!(timed_out(max, ms(2_499)), ProbeError::Crashed { .. }));
    assert!(matches!(timed_out(max, ms(2_500)), ProbeError::TimedOut(_)));
}

#[test]
fn what_is_no_json_object_is_not_the_files_fault() {
    for json in
        [&b""[..], b"{", b"[]", b"null", b"7\xff\x00garbage", b"\xff\x00garbage", &CLIP.as_bytes()[..200]]
    {
        assert!(matches!(parse(json), Err(ProbeError::Tool(_))), "{}", String::from_utf8_lossy(json));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes: Vec<u8>) {
        drop(parse(&bytes));
    }

    #[test]
    fn any_values_in_the_right_places_are_borne(
        width: u32, height: u32, rate in "[-0-9./eNa]{0,9}", frames in "[-0-9N/A]{0,22}", seconds in "[-0-9.einfN/A]{0,12}",
    ) {
        let json = serde_json::json!({"streams": [{"codec_type": "video", "codec_name": "h264", "width": width,
            "height": height, "avg_frame_rate": rate, "r_frame_rate": rate, "nb_frames": frames, "duration": seconds}],
            "format": {"duration": seconds}});
        if let Ok(info) = parse(json.to_string().as_bytes()) {
            let video = info.video.as_ref().unwrap();
            prop_assert!(video.fps >= 0.0 && video.fps.is_finite());
            let _ = info.pixels();
        }
    }

    #[test]
    fn a_mutated_description_is_borne(at in 0..CLIP.len(), byte: u8) {
        let mut json = CLIP.as_bytes().to_vec();
        json[at] = byte;
        drop(parse(&json));
    }
}
