//! Videos of every shape: the real ones where they are at hand, and made ones everywhere.

use bytes::Bytes;

use crate::support::{Clip, Cluster, first_seconds, real_clips};

/// Uploads each one to a node of its turn, twice, and expects one transcode a content.
async fn each_comes_back_valid_and_once(videos: Vec<(String, Bytes)>) {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    for (index, (name, video)) in videos.iter().enumerate() {
        let node = &cluster.nodes[index % cluster.nodes.len()];
        let first = node.http.upload(video.clone()).await;
        assert_eq!(first.status.as_u16(), 200, "{name}: {}", String::from_utf8_lossy(&first.body));
        first.assert_video();
        let second = node.http.upload(video.clone()).await;
        assert_eq!((second.header("x-cache"), &second.body), ("hit", &first.body), "{name}");
    }
    assert_eq!(cluster.transcodes().await, videos.len() as u64);
    for node in &cluster.nodes {
        assert_eq!(node.count("suspected"), 0, "{} suspected somebody while ffmpeg ran", node.options.name);
    }
}

#[tokio::test]
async fn made_ones() {
    let shapes =
        [("320x240", true), ("240x426", false), ("1280x720", true), ("638x358", false), ("1920x1080", true)];
    let make = |(tag, (size, audio)): (usize, (&'static str, bool))| {
        let clip = Clip { size, audio, seconds: 0.6, tag: tag as u32, ..Clip::default() };
        (format!("{size}, sound: {audio}"), clip.make())
    };
    each_comes_back_valid_and_once(shapes.into_iter().enumerate().map(make).collect()).await;
}

#[tokio::test]
async fn real_ones() {
    let clips = real_clips();
    if clips.is_empty() {
        eprintln!("SKIPPED: no real clips at hand (set STARLING_TEST_VIDEOS to a folder of them)");
        return;
    }
    // Every fourth as it is, of the others what comes first: all shapes, and a fraction of the work.
    let read = |(index, path): (usize, std::path::PathBuf)| {
        let whole = index % 4 == 0;
        let video = if whole { std::fs::read(&path).unwrap().into() } else { first_seconds(&path, 1.5) };
        (path.display().to_string(), video)
    };
    each_comes_back_valid_and_once(clips.into_iter().enumerate().map(read).collect()).await;
}
