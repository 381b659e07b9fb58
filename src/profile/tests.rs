use super::*;
use crate::content::{AudioInfo, MediaInfo, MediaLimits, VideoInfo};

fn name(text: &str) -> ProfileName {
    text.parse().unwrap()
}

#[test]
fn the_default_keeps_the_shape_and_the_papers_is_there() {
    let set = ProfileSet::builtin();
    assert_eq!(set.default_name(), &name("360p"));
    let scale = |profile: &str| match set.get(&name(profile)).unwrap().recipe {
        Recipe::Video { scale, .. } => scale,
        _ => panic!("{profile} makes no video"),
    };
    assert_eq!(scale("paper"), Scale::Exact(640, 360));
    for (shown, made) in [
        ((1920, 1080), (640, 360)),
        ((1248, 1664), (360, 480)),
        ((1080, 1920), (360, 640)),
        ((1440, 1440), (360, 360)),
        ((1024, 576), (640, 360)),
        ((321, 241), (320, 240)),
        ((1, 1), (2, 2)),
        ((16, 100_000), (16, 16_384)),
    ] {
        assert_eq!(scale("360p").fit(shown.0, shown.1), made, "{shown:?}");
    }
}

#[test]
fn a_small_picture_fits_into_its_frame_whichever_way_round() {
    let tile = Scale::Within(160, 90);
    for (shown, made) in [
        ((1920, 1080), (160, 90)),
        ((1080, 1920), (90, 160)),
        ((640, 480), (120, 90)),
        ((1000, 1000), (90, 90)),
        ((2390, 1000), (160, 66)),
        ((64, 48), (64, 48)),
        ((65, 49), (66, 50)),
        ((160, 91), (158, 90)),
        ((1, 1), (2, 2)),
        ((16, 100_000), (2, 160)),
    ] {
        assert_eq!(tile.fit(shown.0, shown.1), made, "{shown:?}");
        assert!(tile.allows(made.0, made.1), "{shown:?}");
    }
    assert!(!tile.allows(160, 92) && !tile.allows(162, 90) && !tile.allows(92, 160));
}

#[test]
fn the_size_of_a_picture_that_is_not_used_does_not_matter() {
    let limits = MediaLimits { picture_pixels_max: 64 * 48, ..MediaLimits::default() };
    let sized = |width| {
        let video = VideoInfo { width, height: 48, ..VideoInfo::default() };
        MediaInfo { video: Some(video), audio: Some(AudioInfo::default()), ..MediaInfo::default() }
    };
    let within = |profile: &str, width| {
        ProfileSet::builtin().get(&name(profile)).unwrap().within(&limits, &sized(width))
    };
    assert_eq!((within("360p", 64), within("audio", 65)), (Ok(()), Ok(())));
    let refused = within("poster", 65).unwrap_err().to_string();
    assert_eq!(refused, "the picture's size is over this node's limit: 65x48, at most 3072 pixels");
}

#[test]
fn every_profile_says_what_comes_out() {
    let listed: Vec<_> = ProfileSet::builtin()
        .iter()
        .map(|p| format!("{} {} {}", p.name, p.media_type(), p.extension()))
        .collect();
    assert_eq!(
        listed,
        [
            "1080p video/mp4 mp4",
            "360p video/mp4 mp4",
            "480p video/mp4 mp4",
            "720p video/mp4 mp4",
            "audio audio/mp4 m4a",
            "gif image/gif gif",
            "paper video/mp4 mp4",
            "poster image/jpeg jpg",
            "sprite application/x-tar tar",
            "webm video/webm webm"
        ]
    );
}

#[test]
fn a_changed_recipe_has_another_id_and_a_changed_description_has_not() {
    let set = ProfileSet::builtin();
    let original = set.get(&name("360p")).unwrap();
    let mut described = (*original).clone();
    described.description.push('!');
    assert_eq!(described.recipe_id(), original.recipe_id());
    let mut changed = (*original).clone();
    if let Recipe::Video { crf, .. } = &mut changed.recipe {
        *crf += 1;
    }
    assert_ne!(changed.recipe_id(), original.recipe_id());
    assert_ne!(set.get(&name("480p")).unwrap().recipe_id(), set.get(&name("720p")).unwrap().recipe_id());
}

#[test]
fn a_profile_says_what_it_cannot_be_made_of() {
    let set = ProfileSet::builtin();
    let silent = MediaInfo { video: Some(VideoInfo::default()), ..MediaInfo::default() };
    let sound = MediaInfo { audio: Some(AudioInfo::default()), ..MediaInfo::default() };
    assert_eq!(set.get(&name("360p")).unwrap().suits(&silent), Ok(()));
    assert_eq!(set.get(&name("360p")).unwrap().suits(&sound), Err(Unsuitable::NoVideo));
    assert_eq!(set.get(&name("poster")).unwrap().suits(&sound), Err(Unsuitable::NoVideo));
    assert_eq!(set.get(&name("audio")).unwrap().suits(&sound), Ok(()));
    assert_eq!(set.get(&name("audio")).unwrap().suits(&silent), Err(Unsuitable::NoAudio));
}

#[test]
fn names_are_safe_in_paths_and_urls() {
    for bad in ["", "A", "a b", "../x", "a/b", "a\n", "é", &"x".repeat(33)] {
        assert_eq!(bad.parse::<ProfileName>(), Err(ProfileNameError), "{bad:?}");
    }
    assert_eq!(name("hls-1080p").to_string(), "hls-1080p");
}

const ONE: &str = r#"
default = "p"
[[profile]]
name = "p"
description = ""
kind = "video"
container = "mp4"
codec = "h264"
scale = { short-side = 480 }
crf = 20
audio = { codec = "aac", kbps = 128 }
"#;

#[test]
fn a_profile_file_is_validated_as_a_whole() {
    assert!(ProfileSet::from_toml(ONE).is_ok());
    let broken = |from: &str, to: &str| {
        assert!(ONE.contains(from));
        ProfileSet::from_toml(&ONE.replace(from, to)).unwrap_err().to_string()
    };
    assert_eq!(
        broken("crf = 20", "crf = 52"),
        "profile p: crf is out of range: 0 to 51 for h264, 0 to 63 for vp9"
    );
    assert_eq!(broken("480", "481"), "profile p: scale is out of range: even numbers from 16 to 4320");
    assert_eq!(broken("128", "8"), "profile p: audio.kbps is out of range: 16 to 640");
    assert_eq!(
        broken("\"mp4\"", "\"webm\""),
        "profile p: webm goes with vp9 and opus, mp4 with h264 and aac"
    );
    assert_eq!(
        broken("default = \"p\"", "default = \"q\""),
        "the default profile q is not defined: define it, or name another"
    );
    assert!(broken("crf = 20", "crf = 20\nextra = \"-f lavfi\"").contains("extra"));
    assert!(broken("\"h264\"", "\"h264 -i /etc/passwd\"").contains("unknown variant"));
    let preview = |fields: &str| {
        let head = "default = \"p\"\n[[profile]]\nname = \"p\"\ndescription = \"\"\n";
        ProfileSet::from_toml(&format!("{head}{fields}")).err().map(|error| error.to_string())
    };
    assert_eq!(preview("kind = \"sprite\"\ntile = { within = [160, 90] }\nquality = 4"), None);
    assert_eq!(preview("kind = \"gif\"\nscale = { within = [480, 270] }\nfps = 15"), None);
    for (fields, what) in [
        ("kind = \"sprite\"\ntile = { within = [640, 360] }\nquality = 4", "tile is out of range"),
        ("kind = \"sprite\"\ntile = { short-side = 90 }\nquality = 4", "tile is out of range"),
        ("kind = \"sprite\"\ntile = { within = [90, 160] }\nquality = 4", "scale is out of range"),
        ("kind = \"sprite\"\ntile = { within = [160, 90] }\nquality = 1", "quality is out of range"),
        ("kind = \"gif\"\nscale = { within = [1920, 1080] }\nfps = 10", "scale is out of range"),
        ("kind = \"gif\"\nscale = { within = [480, 270] }\nfps = 16", "fps is out of range"),
    ] {
        assert!(preview(fields).is_some_and(|error| error.contains(what)), "{fields}");
    }
    let twice = format!("{ONE}{}", ONE.replace("default = \"p\"", ""));
    assert_eq!(
        ProfileSet::from_toml(&twice).unwrap_err().to_string(),
        "profile p is defined twice: remove one"
    );
}
