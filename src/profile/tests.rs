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
            "av1 video/mp4 mp4",
            "gif image/gif gif",
            "hevc video/mp4 mp4",
            "hls application/x-tar tar",
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
[[profile]]
name = "p"
kind = "video"
container = "mp4"
codec = "h264"
scale = { short-side = 480 }
crf = 20
audio = { codec = "aac", kbps = 128 }
"#;

fn read(texts: &[&str]) -> Result<ProfileSet, String> {
    let texts: Vec<_> = texts
        .iter()
        .zip('a'..)
        .map(|(text, name)| (format!("{name}.toml").into(), (*text).to_owned()))
        .collect();
    ProfileSet::with_texts(&texts).map_err(|error| error.to_string())
}

/// What is said of the one file after a change of it.
fn broken(from: &str, to: &str) -> String {
    assert!(ONE.contains(from), "{from}");
    read(&[&ONE.replace(from, to)]).unwrap_err()
}

#[test]
fn every_fault_says_file_line_field_and_what_is_expected() {
    let cases = [
        ("crf = 20", "crf = 52", "a.toml:8: profile p: crf: 52 is not a number from 0 to 51"),
        ("crf = 20", "crf = -1", "a.toml:8: profile p: crf: -1 is not a number from 0 to 51"),
        ("crf = 20", "crf = 2.5", "a.toml:8: profile p: crf: 2.5 is not a number from 0 to 51"),
        ("crf = 20", "crf = \"x\"", "a.toml:8: profile p: crf: \"x\" is not a number from 0 to 51"),
        ("crf = 20\n", "", "a.toml:2: profile p: crf is missing: give a number from 0 to 51"),
        (
            "480",
            "481",
            "a.toml:7: profile p: scale: give { short-side = PIXELS }, { within = [LONG, SHORT] } or { exact = [WIDTH, HEIGHT] }, in even",
        ),
        ("480", "8", "a.toml:7: profile p: scale.short-side: 8 is not a number from 16 to 4320"),
        (
            "{ short-side = 480 }",
            "{ exact = [640, 9999] }",
            "a.toml:7: profile p: scale.exact: 9999 is not a number from 16 to 4320",
        ),
        (
            "{ short-side = 480 }",
            "{ long-side = 640 }",
            "a.toml:7: profile p: scale.long-side is unknown here: there are short-side, within, exact",
        ),
        (
            "scale = { short-side = 480 }",
            "scale = 480",
            "a.toml:7: profile p: scale: 480 is not { short-side = PIXELS }, { within = [LONG",
        ),
        ("128", "8", "a.toml:9: profile p: audio.kbps: 8 is not a number from 16 to 640"),
        ("\"mp4\"", "\"avi\"", "a.toml:5: profile p: container: \"avi\" is not one of mp4, webm"),
        ("\"mp4\"", "\"webm\"", "a.toml:2: profile p: container: webm takes vp9"),
        ("\"aac\"", "\"opus\"", "a.toml:9: profile p: audio.codec: mp4 takes aac here, not opus"),
        ("\"h264\"", "\"vp9\"", "a.toml:2: profile p: container: mp4 takes h264"),
        (
            "\"h264\"",
            "\"h264 -i /etc/passwd\"",
            "a.toml:6: profile p: codec: \"h264 -i /etc/passwd\" is not one of",
        ),
        (
            "crf = 20",
            "crf = 20\nextra = \"-f lavfi\"",
            "a.toml:9: profile p: extra is unknown here: there are name, ",
        ),
        (
            "crf = 20",
            "crf = 20\nspeed = 5",
            "a.toml:9: profile p: speed: h264 takes a preset instead, as in \"fast\"",
        ),
        (
            "crf = 20",
            "crf = 20\npreset = \"placebo\"",
            "a.toml:9: profile p: preset: \"placebo\" is not one of ultrafast,",
        ),
        (
            "crf = 20",
            "crf = 20\nfps-max = 0",
            "a.toml:9: profile p: fps-max: 0 is not a number from 1 to 240",
        ),
        ("crf = 20", "crf = 20\nbounded = 1", "a.toml:9: profile p: bounded: 1 is not true or false"),
        (
            "\"p\"",
            "\"P/../x\"",
            "a.toml:3: name: \"P/../x\" is no name: a profile's name is 1 to 32 of a-z, 0-9 and '-'",
        ),
        ("name = \"p\"\n", "", "a.toml:2: name is missing: give a name for clients to ask by"),
        (
            "\"video\"",
            "\"film\"",
            "a.toml:4: profile p: kind: \"film\" is not one of video, audio, poster, sprite, gif, hls",
        ),
        ("[[profile]]", "default = \"q\"\n[[profile]]", "a.toml:2: default: q is not defined: give one of "),
        (
            "[[profile]]",
            "defaults = \"p\"\n[[profile]]",
            "a.toml:2: defaults is unknown here: there are default, builtin, profile",
        ),
        (
            "[[profile]]",
            "[profile]",
            "a.toml:2: profile: a value of type table is not a list of tables: begin each",
        ),
        ("crf = 20", "crf = ", "a.toml:8: this is not TOML: "),
    ];
    for (from, to, expected) in cases {
        let told = broken(from, to);
        assert!(told.starts_with(expected), "{to}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn previews_are_bounded() {
    let preview = |fields: &str| read(&[&format!("[[profile]]\nname = \"p\"\n{fields}")]).err();
    assert_eq!(preview("kind = \"sprite\"\ntile = { within = [160, 90] }\nquality = 4"), None);
    assert_eq!(preview("kind = \"gif\"\nscale = { within = [480, 270] }\nfps = 15"), None);
    for (fields, what) in [
        (
            "kind = \"sprite\"\ntile = { within = [640, 360] }\nquality = 4",
            "tile: give within or exact, at most 320",
        ),
        (
            "kind = \"sprite\"\ntile = { short-side = 90 }\nquality = 4",
            "tile: give within or exact, at most 320",
        ),
        (
            "kind = \"sprite\"\ntile = { within = [90, 160] }\nquality = 4",
            "tile: give { short-side = PIXELS }, ",
        ),
        (
            "kind = \"sprite\"\ntile = { within = [160, 90] }\nquality = 1",
            "quality: 1 is not a number from 2 to 31",
        ),
        (
            "kind = \"gif\"\nscale = { within = [1920, 1080] }\nfps = 10",
            "scale: give within or exact, at most 640",
        ),
        ("kind = \"gif\"\nscale = { within = [480, 270] }\nfps = 16", "fps: 16 is not a number from 1 to 15"),
    ] {
        let told = preview(fields).unwrap();
        assert!(
            told.starts_with(&format!(
                "a.toml:{}: profile p: {what}",
                if what.starts_with(['q', 'f']) { 5 } else { 4 }
            )),
            "{told}"
        );
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once_by_their_lines() {
    let twice = format!("{}{ONE}", ONE.replace("20", "99").replace("128", "1"));
    assert_eq!(
        read(&[&twice]).unwrap_err(),
        "a.toml:8: profile p: crf: 99 is not a number from 0 to 51\n\
         a.toml:9: profile p: audio.kbps: 1 is not a number from 16 to 640"
    );
    let twice = format!("{ONE}{ONE}");
    assert_eq!(read(&[&twice]).unwrap_err(), "a.toml:11: profile p is defined twice: remove one");
}

#[test]
fn files_add_to_the_built_in_profiles_and_replace_them_by_name() {
    let names = |set: &ProfileSet| set.iter().map(|profile| profile.name.to_string()).collect::<Vec<_>>();
    let builtin = ProfileSet::builtin();
    let added = read(&[ONE]).unwrap();
    assert_eq!((added.default_name(), names(&added).len()), (&name("360p"), names(&builtin).len() + 1));
    // A later file's counts, for profiles and for the default.
    let other = format!("default = \"p\"\n{}", ONE.replace("crf = 20", "crf = 21"));
    let replaced = read(&[ONE, &other]).unwrap();
    assert_eq!((replaced.default_name(), names(&replaced)), (&name("p"), names(&added)));
    let recipe = |set: &ProfileSet| set.get(&name("p")).unwrap().recipe_id();
    assert_ne!(recipe(&replaced), recipe(&added));
    assert_eq!(recipe(&read(&[&other, ONE]).unwrap()), recipe(&added));
    // Without the built-in ones.
    let alone = format!("builtin = false\ndefault = \"p\"\n{ONE}");
    assert_eq!(names(&read(&[&alone]).unwrap()), ["p"]);
    assert_eq!(
        read(&[&alone.replace("default = \"p\"\n", "")]).unwrap_err(),
        "a.toml:1: default: 360p is not defined: give one of p"
    );
    assert_eq!(
        read(&["builtin = false"]).unwrap_err(),
        "a.toml:1: there is no profile, and builtin = false: define one"
    );
    assert_eq!(names(&read(&[""]).unwrap()), names(&builtin));
}

#[test]
fn what_each_makes_is_told() {
    let told: Vec<_> = ProfileSet::builtin()
        .iter()
        .map(|profile| format!("{}: {}", profile.name, serde_json::to_string(&profile.made()).unwrap()))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

mod strangers {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_borne(text in "\\PC{0,200}") {
            drop(read(&[&text]));
        }

        /// Whatever stands in a field: the file is refused, with its line, or what was read is in its range.
        #[test]
        fn any_value_is_borne(field in "(crf|speed|fps-max|scale|audio|kind|codec|name)", value in "(-?[0-9]{1,25}|\"[a-z-]{0,9}\"|\\[[0-9, ]{0,9}\\]|true|\\{ ?\\}|1e9|0x1f)") {
            let lines = ONE.lines().map(|line| if line.starts_with(&field) { format!("{field} = {value}") } else { line.to_owned() });
            if let Err(told) = read(&[&lines.collect::<Vec<_>>().join("\n")]) {
                prop_assert!(told.lines().all(|line| line.starts_with("a.toml:")), "{told}");
            }
        }
    }
}
