//! A ladder of another node: what it is not taken as.

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::media::fragments;
use crate::store::Received;
use crate::store::files::{FileName, Index, pack};

const CLIP: &str = "-f lavfi -i testsrc2=size=640x480:rate=25:duration=5 -f lavfi -i sine=duration=5 -c:v libx264 -preset ultrafast \
                    -c:a aac";

type Files = Vec<(String, Vec<u8>)>;

fn unpacked(result: &Verified) -> Files {
    let set = std::fs::File::open(result.path()).unwrap();
    let index = Index::read(&set).unwrap();
    index.entries().iter().map(|entry| (entry.name.to_string(), entry.read(&set).unwrap())).collect()
}

fn read(bytes: &[u8]) -> Result<fragments::TrackFile, &'static str> {
    let fill = |buffer: &mut [u8], at: u64| {
        let at = usize::try_from(at).unwrap();
        buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
        Ok(())
    };
    fragments::read(bytes.len() as u64, fill).unwrap()
}

#[tokio::test]
async fn a_ladder_of_another_node_is_written_again_and_has_to_be_the_same() {
    let rig = Rig::new(&Setup::default());
    let job = rig.clip_job("hls", CLIP).await;
    let (input, info) = (Arc::clone(&job.input), job.info.clone());
    let done = rig.pool.submit(job).unwrap().wait().await.unwrap();
    let good = unpacked(&done.result);
    let judged = async |files: &Files| {
        let files: Vec<(FileName, PathBuf)> = files
            .iter()
            .enumerate()
            .map(|(number, (name, bytes))| {
                let path = rig.folder.path().join(number.to_string());
                std::fs::write(&path, bytes).unwrap();
                (name.parse().unwrap(), path)
            })
            .collect();
        let (file, scratch) = rig.dir.scratch_file("result-").unwrap();
        pack(&files, &file).unwrap();
        let bytes = std::fs::read(&*scratch).unwrap();
        let received =
            Received { sha256: ContentId::of(&bytes), bytes: bytes.len() as u64, file: scratch, room: None };
        let profile = profile("hls");
        let input = Some(((*input).as_ref(), &info));
        let wanted = Wanted { content: ContentId([0; 32]), profile: &profile, input };
        rig.pool.verify(wanted, received, None).await
    };
    assert!(judged(&good).await.is_ok());
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = good.clone();
        change(&mut files.iter_mut().find(|(file, _)| file == name).unwrap().1);
        files
    };
    let replaced = |name: &str, from: &str, to: &str| {
        changed(name, &|bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            *bytes = text.replacen(from, to, 1).into_bytes();
        })
    };
    let without = |name: &str| good.iter().filter(|(file, _)| file != name).cloned().collect::<Files>();
    let cut = |name: &str, back: usize| changed(name, &|bytes| bytes.truncate(bytes.len() - back));
    for (what, files) in [
        ("another file", replaced("v480.m3u8", "v480.mp4", "v481.mp4")),
        ("another host's file", replaced("master.m3u8", "v360.m3u8", "http://example.invalid/v360.m3u8")),
        ("another range", replaced("v360.m3u8", "BYTERANGE:", "BYTERANGE:1")),
        ("another rate", replaced("master.m3u8", "BANDWIDTH=", "BANDWIDTH=1")),
        ("no master", without("master.m3u8")),
        ("no playlist of key frames", without("v360-iframes.m3u8")),
        ("no track", without("v360.mp4")),
        ("a track cut off", cut("v360.mp4", 1)),
        ("a film for a size", {
            let film = good.iter().find(|(name, _)| name == "v480.mp4").unwrap().1.clone();
            changed("v360.mp4", &|bytes| bytes.clone_from(&film))
        }),
        ("no size but one", good.iter().filter(|(name, _)| !name.contains("360")).cloned().collect()),
    ] {
        assert!(matches!(judged(&files).await, Err(Unfit::Wrong(_))), "{what}");
    }
    let track = |name: &str| &good.iter().find(|(file, _)| file == name).unwrap().1;
    let pictures = read(track("v480.mp4")).unwrap();
    assert_eq!(
        (pictures.samples(), pictures.fragments.len(), pictures.codec.as_str()),
        (125, 3, "avc1.64001e")
    );
    assert_eq!(pictures.duration(), Duration::from_secs(5));
    assert_eq!(read(track("audio.mp4")).unwrap().codec, "mp4a.40.2");
    any_bytes_are_borne(track("v360.mp4"));
}

/// Whatever is changed in a track file: it is refused, or all that it tells of lies in it.
fn any_bytes_are_borne(good: &[u8]) {
    let heads = good.len().min(4_000);
    proptest!(ProptestConfig::with_cases(2_000), |(at in 0..heads, byte: u8, keep in 0usize..=100)| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes.truncate(bytes.len() * keep / 100);
        if let Ok(track) = read(&bytes) {
            for fragment in &track.fragments {
                prop_assert!(fragment.at + fragment.bytes <= bytes.len() as u64 && fragment.first_bytes <= fragment.bytes);
            }
        }
    });
}
