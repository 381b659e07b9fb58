//! The ladder of the profile `hls`, checked from the outside: by a checker of its own for playlists and byte ranges, and by ffmpeg,
//! which plays what the master offers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use starling::store::files::Index;

use crate::support::{Clip, Node, NodeOptions, made_by_ffmpeg};

/// The files of a set, by name, and their names in order.
type Files = BTreeMap<String, Vec<u8>>;

fn unpacked(set: &Bytes) -> (Vec<String>, Files) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set).unwrap();
    let file = std::fs::File::open(file.path()).unwrap();
    let index = Index::read(&file).unwrap();
    let names = index.entries().iter().map(|entry| entry.name.to_string()).collect();
    let files = index.entries().iter().map(|entry| (entry.name.to_string(), entry.read(&file).unwrap()));
    (names, files.collect())
}

/// One segment of a media playlist.
#[derive(Debug, PartialEq)]
struct Segment {
    seconds: f64,
    start: usize,
    end: usize,
    file: String,
}

#[derive(Debug)]
struct Media {
    target: f64,
    segments: Vec<Segment>,
}

fn attribute<'a>(line: &'a str, name: &str) -> Result<&'a str, String> {
    let missing = || format!("{name} is missing in {line}");
    let at = line.find(&format!("{name}=")).filter(|at| matches!(line.as_bytes()[at - 1], b':' | b','));
    let value = &line[at.ok_or_else(missing)? + name.len() + 1..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().ok_or_else(missing),
        None => Ok(value.split(',').next().unwrap_or_default()),
    }
}

fn range(text: &str) -> Result<(usize, usize), String> {
    let (length, start) = text.split_once('@').ok_or("a byte range without a place")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
    Ok((number(start)?, number(start)? + number(length)?))
}

fn is_box(bytes: &[u8], kind: &[u8]) -> bool {
    bytes.get(4..8) == Some(kind)
}

/// Reads and checks one media playlist. `key_frames`: of pictures alone that need no other.
fn check_media(files: &Files, name: &str, key_frames: bool) -> Result<Media, String> {
    let text = files.get(name).ok_or(format!("{name} is not there"))?;
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut lines = text.lines();
    if lines.next() != Some("#EXTM3U") || text.lines().last() != Some("#EXT-X-ENDLIST") {
        return Err(format!("{name} has no begin or no end"));
    }
    let number = |text: &str| text.parse::<f64>().map_err(|error| format!("{text}: {error}"));
    let (mut target, mut version, mut seconds, mut bytes, mut map, mut only) =
        (0.0, 0.0, None, None, false, false);
    let mut segments = Vec::new();
    for line in lines {
        if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            target = number(value)?;
        } else if let Some(value) = line.strip_prefix("#EXT-X-VERSION:") {
            version = number(value)?;
        } else if line.starts_with("#EXT-X-MAP:") {
            let (start, end) = range(attribute(line, "BYTERANGE")?)?;
            let file = files.get(attribute(line, "URI")?).ok_or("the map is of no file of the set")?;
            let init = file.get(start..end).ok_or("the map lies outside its file")?;
            map = start == 0
                && is_box(init, b"ftyp")
                && (is_box(&file[end..], b"moof") || is_box(&file[end..], b"styp"));
        } else if line == "#EXT-X-I-FRAMES-ONLY" {
            only = true;
        } else if let Some(value) = line.strip_prefix("#EXTINF:") {
            seconds = Some(number(value.trim_end_matches(','))?);
        } else if let Some(value) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            bytes = Some(range(value)?);
        } else if !line.starts_with('#') {
            let file = files.get(line).ok_or(format!("{line} is not in the set"))?;
            let (start, end) = bytes.take().ok_or("a segment without a byte range")?;
            let piece = file.get(start..end).ok_or("a byte range outside its file")?;
            if !is_box(piece, b"moof") {
                return Err(format!("{name}: the range at {start} begins with no fragment"));
            }
            let ends_with_fragment = end == file.len() || is_box(&file[end..], b"moof");
            if ends_with_fragment == key_frames && !key_frames {
                return Err(format!("{name}: the range up to {end} ends in the middle of a fragment"));
            }
            let seconds = seconds.take().ok_or("a segment without a duration")?;
            segments.push(Segment { seconds, start, end, file: line.to_owned() });
        }
    }
    if !map || version < 7.0 || only != key_frames || segments.is_empty() {
        return Err(format!("{name}: map {map}, version {version}, key frames only {only}"));
    }
    let longest = segments.iter().map(|segment| segment.seconds.round()).fold(0.0, f64::max);
    if (longest - target).abs() > 1e-9 {
        return Err(format!("{name}: a segment lasts {longest} s, and its target duration is {target} s"));
    }
    if !key_frames && segments.windows(2).any(|pair| pair[0].end != pair[1].start) {
        return Err(format!("{name}: there is a gap between two segments"));
    }
    if !key_frames && segments.last().map(|last| last.end) != files.get(&segments[0].file).map(Vec::len) {
        return Err(format!("{name}: its segments end before their file"));
    }
    Ok(Media { target, segments })
}

/// The peak of a playlist by its segments, in bits a second, where each lasts as long as most.
fn average(media: &Media) -> f64 {
    let bytes: usize = media.segments.iter().map(|segment| segment.end - segment.start).sum();
    bytes as f64 * 8.0 / media.segments.iter().map(|segment| segment.seconds).sum::<f64>()
}

/// Checks all of a ladder: the playlists of its variants, with their sizes.
fn check(files: &Files) -> Result<Vec<(String, Media)>, String> {
    let master = std::str::from_utf8(&files["master.m3u8"]).map_err(|error| error.to_string())?;
    let lines: Vec<_> = master.lines().collect();
    if lines.first() != Some(&"#EXTM3U") || !lines.contains(&"#EXT-X-INDEPENDENT-SEGMENTS") {
        return Err("the master does not begin as one".to_owned());
    }
    let number = |text: &str| text.parse::<f64>().map_err(|error| format!("{text}: {error}"));
    let mut used = vec!["master.m3u8".to_owned()];
    let mut sound = None;
    let mut variants = Vec::new();
    for (line, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
        if line.starts_with("#EXT-X-MEDIA:") {
            let name = attribute(line, "URI")?;
            let media = check_media(files, name, false)?;
            used.extend([name.to_owned(), media.segments[0].file.clone()]);
            sound = Some(media);
        } else if line.starts_with("#EXT-X-STREAM-INF:") {
            let codecs = attribute(line, "CODECS")?;
            if !codecs.starts_with("avc1.") || codecs.contains("mp4a.40.2") != sound.is_some() {
                return Err(format!("codecs {codecs}"));
            }
            let (width, height) = attribute(line, "RESOLUTION")?.split_once('x').ok_or("no resolution")?;
            let side = number(width)?.min(number(height)?);
            if *next != format!("v{side}.m3u8") {
                return Err(format!("{next} is of {side} lines"));
            }
            number(attribute(line, "FRAME-RATE")?)?;
            let media = check_media(files, next, false)?;
            let measured = average(&media) + sound.as_ref().map_or(0.0, average);
            let said = number(attribute(line, "AVERAGE-BANDWIDTH")?)?;
            if (said / measured - 1.0).abs() > 0.01 || number(attribute(line, "BANDWIDTH")?)? < said {
                return Err(format!("{next}: average bandwidth {said}, measured {measured}"));
            }
            used.extend([(*next).to_owned(), media.segments[0].file.clone()]);
            variants.push((attribute(line, "RESOLUTION")?.to_owned(), media));
        } else if line.starts_with("#EXT-X-I-FRAME-STREAM-INF:") {
            attribute(line, "CODECS")?;
            let name = attribute(line, "URI")?;
            check_media(files, name, true)?;
            used.push(name.to_owned());
        }
    }
    used.sort();
    if !files.keys().eq(used.iter()) {
        return Err(format!("the set has {:?}, and the master leads to {used:?}", files.keys()));
    }
    let Some((_, first)) = variants.first() else { return Err("there is no variant".to_owned()) };
    for (size, media) in &variants {
        let alike = first.segments.len() == media.segments.len()
            && first.segments.iter().zip(&media.segments).all(|(a, b)| (a.seconds - b.seconds).abs() < 0.002)
            && (first.target - media.target).abs() < 1e-9;
        if !alike {
            return Err(format!("{size} is cut at other times"));
        }
    }
    Ok(variants)
}

struct Rig {
    node: Node,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { node: Node::start(NodeOptions::new("node1", "FRA")), folder: tempfile::tempdir().unwrap() }
    }

    fn make(&self, name: &str, arguments: &str) -> Bytes {
        made_by_ffmpeg(&self.folder.path().join(name), arguments.split_whitespace())
    }

    /// The ladder of a video, checked and unpacked into a folder.
    async fn ladder(&self, name: &str, video: Bytes) -> (Vec<String>, Files, std::path::PathBuf) {
        let answer =
            self.node.http.upload_with("/upload?profile=hls", &[("x-deadline-ms", "250000")], video).await;
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), "application/x-tar");
        let (names, files) = unpacked(&answer.body);
        assert_eq!(names[0], "master.m3u8");
        let folder = self.folder.path().join(format!("{name}.out"));
        std::fs::create_dir(&folder).unwrap();
        for (name, bytes) in &files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        (names, files, folder)
    }
}

/// Frames and seconds that ffmpeg plays of a playlist's first stream of a kind.
fn played(playlist: &Path, stream: &str) -> (usize, f64) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(playlist)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}: {}", playlist.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let times: Vec<f64> = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    (times.len(), times.last().copied().unwrap_or_default())
}

#[tokio::test]
async fn a_ladder_is_cut_alike_in_all_sizes_and_plays() {
    let rig = Rig::new();
    let clip = rig.make(
        "clip.mp4",
        "-f lavfi -i testsrc2=size=1280x720:rate=15000/1001:duration=9 -f lavfi -i sine=duration=9 -c:v libx264 -preset ultrafast \
         -c:a aac",
    );
    let (names, files, folder) = rig.ladder("clip", clip).await;
    assert_eq!(
        names.join(" "),
        "master.m3u8 v720.m3u8 v720-iframes.m3u8 v480.m3u8 v480-iframes.m3u8 v360.m3u8 v360-iframes.m3u8 audio.m3u8 \
         v720.mp4 v480.mp4 v360.mp4 audio.mp4"
    );
    let variants = check(&files).unwrap();
    let sizes: Vec<_> = variants.iter().map(|(size, _)| size.as_str()).collect();
    assert_eq!(sizes, ["1280x720", "854x480", "640x360"]);
    let lengths: Vec<_> = variants[0].1.segments.iter().map(|segment| segment.seconds.round()).collect();
    assert_eq!(lengths, [6.0, 3.0]);
    let master = String::from_utf8(files["master.m3u8"].clone()).unwrap();
    assert!(master.contains("FRAME-RATE=14.985") && master.contains("CODECS=\"avc1.6400"), "{master}");
    for name in ["v720", "v480", "v360"] {
        let (frames, last) = played(&folder.join(format!("{name}.m3u8")), "v:0");
        assert_eq!(frames, 135, "{name}");
        assert!((8.9..9.1).contains(&last), "{name}: {last}");
        // Each range of the pictures that need no other is one of them, behind the index.
        let key_frames = check_media(&files, &format!("{name}-iframes.m3u8"), true).unwrap().segments;
        assert_eq!(key_frames.len(), 5, "{name}");
        let file = &files[&format!("{name}.mp4")];
        let index = file.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
        for Segment { start, end, .. } in key_frames {
            let path = folder.join("one.mp4");
            std::fs::write(&path, [&file[..index], &file[start..end]].concat()).unwrap();
            let one = [
                "-v",
                "fatal",
                "-nostdin",
                "-i",
                path.to_str().unwrap(),
                "-frames:v",
                "1",
                "-f",
                "rawvideo",
                "-",
            ];
            let picture = Command::new("ffmpeg").args(one).output().unwrap().stdout;
            assert!(picture.len() > 640 * 360, "{name}: no picture at {start}");
        }
    }
    assert!((8.8..9.1).contains(&played(&folder.join("audio.m3u8"), "a:0").1));
    assert_eq!(played(&folder.join("master.m3u8"), "v:0").0, 135);
}

/// The checker that the other tests rely on sees what players stumble over.
#[tokio::test]
async fn the_checker_sees_what_is_wrong_with_a_ladder() {
    let rig = Rig::new();
    let clip = rig.make(
        "clip.mp4",
        "-f lavfi -i testsrc2=size=640x480:rate=10:duration=8 -f lavfi -i sine=duration=8 -c:v libx264 -preset ultrafast -c:a aac",
    );
    let (_, files, _) = rig.ladder("clip", clip).await;
    check(&files).unwrap();
    let wrong = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8(files[name].clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        let mut files = files.clone();
        files.insert(name.to_owned(), text.replacen(from, to, 1).into_bytes());
        check(&files).unwrap_err()
    };
    assert!(wrong("v360.m3u8", "#EXTINF:6.00", "#EXTINF:5.99").contains("cut at other times"));
    assert!(wrong("v360.m3u8", "TARGETDURATION:6", "TARGETDURATION:5").contains("target duration is 5"));
    assert!(wrong("v480.m3u8", "BYTERANGE:", "BYTERANGE:1").contains("byte range outside"));
    let text = String::from_utf8(files["v480.m3u8"].clone()).unwrap();
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:")).unwrap();
    let (start, end) = range(first).unwrap();
    let short = format!("{}@{start}", end - start - 1);
    assert!(wrong("v480.m3u8", first, &short).contains("in the middle of a fragment"));
    assert!(wrong("master.m3u8", ",CODECS=", ",CODEX=").contains("CODECS is missing"));
    assert!(wrong("master.m3u8", "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=9").contains("measured"));
    assert!(wrong("v360.m3u8", "v360.mp4\n#EXT", "v361.mp4\n#EXT").contains("not in the set"));
}

#[tokio::test]
async fn ladders_of_odd_videos_are_right_too() {
    let rig = Rig::new();
    let cases = [
        (
            "silent",
            "-f lavfi -i testsrc2=size=640x360:rate=25:duration=3 -c:v libx264 -preset ultrafast",
            "640x360",
            75,
        ),
        (
            "portrait",
            "-f lavfi -i testsrc2=size=720x1280:rate=12:duration=3 -f lavfi -i sine=duration=3 -c:v libx264 -c:a aac -preset ultrafast",
            "720x1280 480x854 360x640",
            36,
        ),
        (
            "tiny",
            "-f lavfi -i testsrc2=size=90x62:rate=12:duration=1 -f lavfi -i sine=duration=1 -c:v libx264 -c:a aac",
            "90x62",
            12,
        ),
        (
            "surround",
            "-f lavfi -i testsrc2=size=320x240:rate=50:duration=7 -f lavfi -i anullsrc=channel_layout=5.1:sample_rate=48000 -t 7 -c:v libx264 -preset ultrafast -c:a aac",
            "320x240",
            350,
        ),
        (
            "late",
            "-f lavfi -i sine=duration=5 -itsoffset 1 -f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -c:v libx264 -fps_mode passthrough -preset ultrafast -c:a aac",
            "320x240",
            100,
        ),
    ];
    for (name, arguments, sizes, frames) in cases {
        let video = rig.make(&format!("{name}.mp4"), arguments);
        let (names, files, folder) = rig.ladder(name, video).await;
        let variants = check(&files).unwrap_or_else(|error| panic!("{name}: {error}"));
        let got: Vec<_> = variants.iter().map(|(size, _)| size.as_str()).collect();
        assert_eq!(got.join(" "), sizes, "{name}");
        assert_eq!(names.contains(&"audio.mp4".to_owned()), name != "silent", "{name}");
        let of_pictures = |file: &&String| {
            file.strip_suffix(".m3u8").is_some_and(|name| name.starts_with('v') && !name.contains("iframes"))
        };
        for playlist in names.iter().filter(of_pictures) {
            assert_eq!(played(&folder.join(playlist), "v:0").0, frames, "{name} {playlist}");
        }
        if name == "late" {
            // The first picture is shown from the beginning on, and the last one when it was.
            let seconds: f64 = variants[0].1.segments.iter().map(|segment| segment.seconds).sum();
            assert!((4.9..5.1).contains(&seconds), "{seconds}");
        }
    }
    // Pictures at odd times, as browsers record them: cut alike all the same.
    let browser = rig.make(
        "vfr.webm",
        "-f lavfi -i testsrc2=size=640x480:rate=60:duration=9 -vf select='not(mod(n,7))+not(mod(n,11))' -fps_mode vfr -c:v libvpx -deadline realtime",
    );
    let (_, files, _) = rig.ladder("vfr", browser).await;
    assert_eq!(check(&files).unwrap().len(), 2);
}

#[tokio::test]
async fn a_last_picture_is_held_in_all_sizes_and_the_sound_has_a_language() {
    let rig = Rig::new();
    rig.make(
        "plain.mp4",
        "-f lavfi -i testsrc2=size=640x480:rate=10:duration=3 -f lavfi -i sine=duration=9 -c:v libx264 -bf 0 -c:a aac -metadata:s:a:0 language=fre",
    );
    let plain = rig.folder.path().join("plain.mp4");
    let hold =
        "-c copy -map 0 -bsf:v setts=pts=PTS:dts=DTS:duration=if(eq(NEXT_PTS\\,NOPTS)\\,6.1/TB\\,DURATION)";
    for (name, sound) in [("held", ""), ("held and silent", " -an")] {
        let video = rig.make(&format!("{name}.mp4"), &format!("-i {} {hold}{sound}", plain.display()));
        let (_, files, folder) = rig.ladder(name, video).await;
        let variants = check(&files).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(variants.len(), 2, "{name}");
        for (size, media) in &variants {
            let seconds: f64 = media.segments.iter().map(|segment| segment.seconds).sum();
            assert!((8.9..9.1).contains(&seconds), "{name} {size}: {seconds}");
        }
        // The longer head of the last fragment is read by others, too.
        assert_eq!(played(&folder.join("v480.m3u8"), "v:0").0, 30, "{name}");
        assert_eq!(played(&folder.join("v360.m3u8"), "v:0").0, 30, "{name}");
        let master = String::from_utf8(files["master.m3u8"].clone()).unwrap();
        assert_eq!(master.contains("NAME=\"audio\",LANGUAGE=\"fr\","), sound.is_empty(), "{master}");
    }
}

#[tokio::test]
async fn a_ladder_of_a_peer_is_taken_and_kept() {
    let cluster =
        crate::support::Cluster::start_with(&["FRA", "FRA"], |options| options.arg("--policy=round-robin"))
            .await;
    let mut by = Vec::new();
    for tag in 0..2 {
        let clip = Clip { tag, size: "640x480", ..Clip::default() }.make();
        let answer = cluster.nodes[0].http.upload_with("/upload?profile=hls", &[], clip.clone()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        check(&unpacked(&answer.body).1).unwrap();
        by.push(answer.header("x-served-by").to_owned());
        let again = cluster.nodes[0].http.upload_with("/upload?profile=hls", &[], clip).await;
        assert_eq!((again.header("x-cache"), &again.body), ("hit", &answer.body));
    }
    assert_eq!(by, ["node1", "node2"]);
}
