//! What is read from an index here, beside what ffprobe says of the same file.

use std::fs::{self, File};

use super::super::cancel::Cancel;
use super::super::mp4_boxes;
use super::*;
use crate::media::DEMUXERS;

const CLIP: &str = "-f lavfi -i testsrc2=size=322x242:rate=25:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 -preset ultrafast \
                    -c:a aac";

fn described(path: &Path) -> Option<MediaInfo> {
    mp4_boxes::look(&File::open(path).unwrap()).unwrap()
}

/// Of rates and durations containers have more than one opinion: these may differ by a hundredth.
fn assert_alike(ours: &MediaInfo, ffprobes: &MediaInfo, of: &str) {
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 0.01 * b.max(1.0), "{of}: {a} {b}");
    let seconds = |duration: Option<Duration>| duration.unwrap().as_secs_f64();
    near(seconds(ours.duration), seconds(ffprobes.duration));
    assert_eq!(ours.video.is_some(), ffprobes.video.is_some(), "{of}");
    if let (Some(ours), Some(theirs)) = (&ours.video, &ffprobes.video) {
        near(ours.fps, theirs.fps);
        near(seconds(ours.duration), seconds(theirs.duration));
        let facts = |video: &VideoInfo| (video.codec.clone(), video.width, video.height, video.frames);
        assert_eq!(facts(ours), facts(theirs), "{of}");
    }
    // What an index says of a result's sound is what a result is held against.
    let sound = |info: &MediaInfo| info.audio.as_ref().map(|audio| (audio.codec.clone(), audio.channels));
    assert_eq!((sound(ours), ours.streams), (sound(ffprobes), ffprobes.streams), "{of}");
    if let (Some(ours), Some(theirs)) = (&ours.audio, &ffprobes.audio) {
        near(seconds(ours.duration), seconds(theirs.duration));
    }
    assert_eq!(ours.container, ffprobes.container, "{of}");
}

#[tokio::test]
async fn a_plain_index_says_what_ffprobe_says() {
    let rig = Rig::new(&Setup::default());
    let probed =
        |path: &Path| rig.pool.prober().probe_blocking(path, DEMUXERS, &Cancel::new().unwrap()).unwrap();
    let arguments = [
        CLIP,
        "-f lavfi -i testsrc2=size=64x64:rate=30000/1001:duration=3 -c:v libx264 -bf 3 -movflags +faststart",
        "-f lavfi -i testsrc2=size=64x64:rate=240:duration=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
        "-f lavfi -i sine=duration=2 -c:a aac -ac 1",
        "-f lavfi -i sine=duration=2 -c:a libmp3lame -ac 2",
        "-f lavfi -i testsrc2=size=64x64:duration=2 -f lavfi -i sine=duration=1 -c:v libvpx-vp9 -c:a libopus -strict -2",
    ];
    let mut paths: Vec<_> =
        arguments.into_iter().map(|arguments| (arguments.to_owned(), clip(&rig.folder, arguments))).collect();
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/videos");
    let real = fs::read_dir(real).into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.extend(real.map(|path| (path.display().to_string(), path)));
    for (of, path) in paths {
        let ours = described(&path).unwrap_or_else(|| panic!("{of}: it is plain"));
        assert_alike(&ours, &probed(&path), &of);
    }
}

#[test]
fn what_is_not_plain_is_left_to_ffprobe() {
    let folder = tempfile::tempdir().unwrap();
    let plain = clip(&folder, CLIP);
    let plain = plain.display();
    for arguments in [
        // No index for all of it; another container; a codec, an edit and a kind of track that are not known here.
        format!("-i {plain} -c copy -movflags +frag_keyframe+empty_moov"),
        format!("-i {plain} -c copy -f matroska"),
        "-f lavfi -i testsrc2=size=64x64:duration=1 -c:v mpeg4".to_owned(),
        "-f lavfi -i sine=duration=1 -c:a pcm_s16le -f mov".to_owned(),
        format!("-ss 0.5 -i {plain} -c copy"),
        format!("-itsoffset 1 -i {plain} -i {plain} -map 0:v -map 1:a -c copy"),
    ] {
        assert_eq!(described(&clip(&folder, &arguments)), None, "{arguments}");
    }
}

#[test]
fn an_index_that_tells_of_more_than_there_is_describes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(&folder, CLIP);
    let whole = fs::read(&path).unwrap();
    let find = |name: &[u8]| whole.windows(4).position(|window| window == name).unwrap();
    let look_at = |bytes: &[u8]| {
        let path = folder.path().join("changed");
        fs::write(&path, bytes).unwrap();
        described(&path)
    };
    assert!(look_at(&whole).is_some());
    for cut in [0, 1, 15, 16, whole.len() / 2, whole.len() - 1] {
        assert_eq!(look_at(&whole[..cut]), None, "{cut}");
    }
    // The boxes end with the file, and the last samples do not lie in it.
    let boxes = mp4_boxes::top_boxes(&File::open(&path).unwrap()).unwrap().unwrap();
    let mdat = boxes.iter().find(|found| &found.kind == b"mdat").unwrap();
    let mut shorter = whole.clone();
    let end = (mdat.at + mdat.bytes) as usize;
    shorter.drain(end - 100..end);
    let head = mdat.at as usize;
    shorter[head..head + 4].copy_from_slice(&(mdat.bytes as u32 - 100).to_be_bytes());
    assert_eq!(look_at(&shorter), None);
    // A table of a track is a sample or a chunk longer or shorter than the others, or empty.
    for (name, count_at) in [(b"stsz", 12), (b"stts", 8), (b"stco", 8), (b"stsc", 8)] {
        let at = find(name) + count_at;
        let count = u32::from_be_bytes(whole[at..at + 4].try_into().unwrap());
        for wrong in [count - 1, count + 1, 0, u32::MAX] {
            let mut changed = whole.clone();
            changed[at..at + 4].copy_from_slice(&wrong.to_be_bytes());
            assert_eq!(look_at(&changed), None, "{} {count} {wrong}", String::from_utf8_lossy(name));
        }
    }
    // Any byte of it may be anything.
    let (from, to) = (find(b"moov"), whole.len());
    for at in (from..to.min(from + 4000)).step_by(3) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            drop(look_at(&changed));
        }
    }
}
