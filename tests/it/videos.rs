//! Videos of every shape: the real ones where they are at hand, and made ones everywhere.

use bytes::Bytes;

use crate::support::{Clip, Cluster, real_clips};

/// Uploads each one to a node of its turn, twice, and expects one transcode a content.
async fn each_comes_back_valid_and_once(videos: Vec<(String, Bytes)>) {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    for (index, (name, video)) in videos.iter().enumerate() {
        let node = &cluster.nodes[index % cluster.nodes.len()];
        let first = node.http.upload(video.clone()).await;
        assert_eq!(first.status.as_u16(), 200, "{name}: {}", String::from_utf8_lossy(&first.body));
        first.assert_video();
        let second = node.http.upload(video.clone()).await;
        second.assert_video();
        assert_eq!(second.header("x-cache"), "hit", "{name}");
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
    let read = |path: std::path::PathBuf| (path.display().to_string(), std::fs::read(path).unwrap().into());
    each_comes_back_valid_and_once(clips.into_iter().map(read).collect()).await;
}
