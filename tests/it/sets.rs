//! Results that are sets of files: asked for as a whole and file by file, of any node, with tokens, and from peers that lie.

use std::io::Read;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use starling::config::KeyFile;
use starling::content::ContentId;
use starling::store::files::header;

use crate::support::{Answer, Clip, Cluster, Node, NodeOptions, Play, Rogue, made_by_ffmpeg, probe_video};

fn clip(tag: u32) -> Bytes {
    Clip { tag, seconds: 2.0, ..Clip::default() }.make()
}

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    node.http.send(Method::GET, path, headers, Bytes::new()).await.unwrap()
}

/// What is in a tar, in its order.
pub fn unpacked(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

#[tokio::test]
async fn a_set_is_one_tar_and_each_of_its_files_has_a_url() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--allow-origin=http://player.example"));
    let clip = clip(1);
    let whole = node.http.upload_with("/upload?profile=sprite", &[], clip.clone()).await;
    assert_eq!(whole.status, 200, "{}", String::from_utf8_lossy(&whole.body));
    assert_eq!(whole.header("content-type"), "application/x-tar");
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"clip.sprite.tar\"");
    let path = whole.header("content-location").to_owned();
    assert_eq!(path, format!("/objects/{}/sprite", ContentId::of(&clip)));
    let files = unpacked(&whole.body);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sprite.vtt", "sprite-1.jpg"]);
    assert_eq!(get(&node, &path, &[]).await.body, whole.body);

    let listing = get(&node, &format!("{path}/"), &[]).await.json();
    assert_eq!(
        (&listing["profile"], listing["files"].as_array().unwrap().len()),
        (&Value::from("sprite"), 2)
    );
    let origin = ("origin", "http://player.example");
    let mut tags = vec![whole.header("etag").to_owned()];
    for ((name, bytes), listed) in files.iter().zip(listing["files"].as_array().unwrap()) {
        assert_eq!(
            (listed["name"].as_str(), listed["bytes"].as_u64()),
            (Some(&**name), Some(bytes.len() as u64))
        );
        let url = listed["url"].as_str().unwrap();
        let file = get(&node, url, &[origin]).await;
        assert_eq!((file.status.as_u16(), &file.body[..]), (200, &bytes[..]), "{url}");
        assert_eq!(file.header("content-type"), listed["media_type"].as_str().unwrap());
        assert_eq!(file.header("content-length"), bytes.len().to_string());
        assert_eq!(file.header("cache-control"), "max-age=31536000, immutable");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        assert_eq!(file.header("access-control-allow-origin"), "http://player.example");
        let tag = file.header("etag").to_owned();
        let part = get(&node, url, &[("range", "bytes=4-11"), ("if-range", &tag)]).await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &bytes[4..12]), "{url}");
        assert_eq!(part.header("content-range"), format!("bytes 4-11/{}", bytes.len()));
        let last = get(&node, url, &[("range", "bytes=-3")]).await;
        assert_eq!(&last.body[..], &bytes[bytes.len() - 3..]);
        let beyond = get(&node, url, &[("range", &format!("bytes={}-", bytes.len()))]).await;
        beyond.assert_problem(416, "no-such-range");
        assert_eq!(beyond.header("content-range"), format!("bytes */{}", bytes.len()));
        assert_eq!(get(&node, url, &[("if-none-match", &tag)]).await.status, 304);
        assert_eq!(get(&node, url, &[("if-match", "\"x\"")]).await.status, 412);
        let head = node.http.send(Method::HEAD, url, &[], Bytes::new()).await.unwrap();
        assert_eq!((head.header("etag"), head.body.len()), (tag.as_str(), 0));
        assert_eq!(head.header("content-length"), bytes.len().to_string());
        assert!(!tags.contains(&tag), "{tags:?}");
        tags.push(tag);
    }
    assert_eq!(listing["files"][0]["media_type"], "text/vtt");
    for missing in ["sprite-2.jpg", "..", "SPRITE.VTT", "sprite.vtt;a", "%73prite.vtt"] {
        get(&node, &format!("{path}/{missing}"), &[]).await.assert_problem(404, "not-found");
    }
    get(&node, &format!("{path}/sprite.vtt/"), &[]).await.assert_problem(404, "not-found");
    let post = node.http.send(Method::POST, &format!("{path}/sprite.vtt"), &[], Bytes::new()).await.unwrap();
    post.assert_problem(405, "method-not-allowed");
}

/// A song whose only picture comes late: whatever a player shows above its seek bar, there is something for all of it.
#[tokio::test]
async fn a_film_of_one_late_picture_has_its_tile() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = tempfile::tempdir().unwrap();
    let picture =
        ["-itsoffset", "3", "-f", "lavfi", "-i", "color=0x1eb428:size=320x180:rate=25:duration=0.04"];
    let sound = ["-f", "lavfi", "-i", "sine=duration=6"];
    let how =
        ["-map", "0", "-map", "1", "-c:v", "libx264", "-bf", "0", "-c:a", "aac", "-fps_mode", "passthrough"];
    let video = made_by_ffmpeg(&folder.path().join("late.mkv"), [&picture[..], &sound, &how].concat());
    let set = node.http.upload_with("/upload?profile=sprite", &[], video).await;
    assert_eq!(set.status, 200, "{}", String::from_utf8_lossy(&set.body));
    let files = unpacked(&set.body);
    let list = std::str::from_utf8(&files[0].1).unwrap();
    assert_eq!(list.matches(" --> ").count(), 1, "{list}");
    assert!(
        list.contains("\n00:00:00.000 --> 00:00:0") && list.contains("\nsprite-1.jpg#xywh=0,0,160,90"),
        "{list}"
    );
    let (codec, width, height) = probe_video(&files[1].1);
    assert_eq!((codec.as_str(), width % 160, height), ("mjpeg", 0, 90));
}

#[tokio::test]
async fn a_result_that_is_one_file_is_a_set_of_that_one() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = clip(1);
    let whole = node.http.upload(clip.clone()).await;
    whole.assert_video();
    let path = format!("/objects/{}/360p", ContentId::of(&clip));
    let listing = get(&node, &format!("{path}/"), &[]).await.json();
    let files = listing["files"].as_array().unwrap_or_else(|| panic!("{listing}"));
    assert_eq!((files.len(), &files[0]["name"]), (1, &Value::from("360p.mp4")));
    let file = get(&node, files[0]["url"].as_str().unwrap(), &[]).await;
    assert_eq!((file.header("content-type"), &file.body), ("video/mp4", &whole.body));
    get(&node, &format!("/objects/{}/480p/", ContentId::of(&clip)), &[])
        .await
        .assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_set_that_a_peer_made_is_there_on_both_nodes() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    near.http.upload(clip(1)).await.assert_video();
    let clip = clip(2);
    let made = near.http.upload_with("/upload?profile=sprite", &[], clip.clone()).await;
    assert_eq!((made.status.as_u16(), made.header("x-served-by")), (200, "node2"), "{made:?}");
    let path = format!("/objects/{}/sprite/sprite-1.jpg", ContentId::of(&clip));
    let (here, there) = (get(near, &path, &[]).await, get(far, &path, &[]).await);
    assert_eq!((&here.body, here.header("etag")), (&there.body, there.header("etag")));
    assert_eq!(probe_video(&here.body).0, "mjpeg");
    assert_eq!(unpacked(&made.body)[1].1, here.body);
    // A moving preview is looked at just so.
    near.http.upload(self::clip(3)).await.assert_video();
    let gif = near.http.upload_with("/upload?profile=gif", &[], self::clip(4)).await;
    assert_eq!((gif.status.as_u16(), gif.header("x-served-by")), (200, "node2"));
    assert_eq!((gif.header("content-type"), probe_video(&gif.body).0.as_str()), ("image/gif", "gif"));
}

#[tokio::test]
async fn the_token_of_a_private_set_stays_in_the_names_that_are_relative_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    KeyFile::create(&key).unwrap();
    let key = format!("--key-file={}", key.display());
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--private-results").arg(key));
    let clip = clip(1);
    let made = node.http.upload_with("/upload?profile=sprite", &[], clip.clone()).await;
    let location = made.header("content-location").to_owned();
    let (path, token) = location.split_once("?token=").unwrap();
    for refused in ["/", "/sprite.vtt", ";token=0/sprite.vtt", ";token=/", ";x=1/sprite.vtt"] {
        get(&node, &format!("{path}{refused}"), &[]).await.assert_problem(401, "private-result");
    }
    let bearer = format!("Bearer {token}");
    let listing = get(&node, &format!("{path}/?token={token}"), &[]).await.json();
    let url = listing["files"][0]["url"].as_str().unwrap();
    assert_eq!(url, format!("{path};token={token}/sprite.vtt"));
    let list = get(&node, url, &[]).await;
    assert_eq!(
        (list.status.as_u16(), list.header("cache-control")),
        (200, "private, max-age=31536000, immutable")
    );
    // As a player resolves the names in it.
    let sheet = url.rsplit_once('/').unwrap().0.to_owned() + "/sprite-1.jpg";
    assert!(std::str::from_utf8(&list.body).unwrap().contains("\nsprite-1.jpg#xywh="));
    let sheet = get(&node, &sheet, &[]).await;
    assert_eq!((sheet.status.as_u16(), sheet.header("content-type")), (200, "image/jpeg"));
    for (way, headers) in [
        (format!("{path}/sprite-1.jpg?token={token}"), &[][..]),
        (format!("{path}/sprite-1.jpg"), &[("authorization", bearer.as_str())]),
    ] {
        assert_eq!(get(&node, &way, headers).await.body, sheet.body, "{way}");
    }
    assert_eq!(get(&node, &format!("{path};token={token}"), &[]).await.body, made.body);
    get(&node, &format!("/objects/{}/gif;token={token}/gif.gif", ContentId::of(&clip)), &[])
        .await
        .assert_problem(401, "private-result");
}

/// A tar of these files as a node writes it, for files of any name and any length that it tells.
fn tar(files: &[(&str, u64, &[u8])]) -> Bytes {
    let mut tar = Vec::new();
    for (name, told, bytes) in files {
        tar.extend(header(name, *told).unwrap());
        tar.extend(*bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    tar.into()
}

#[tokio::test]
async fn a_peers_set_that_no_node_makes_is_refused_and_the_peer_avoided() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--load-weight=1").arg("--rtt-weight=0"));
    // An honest one of the same video, which the others are made of.
    let alone = Node::start(NodeOptions::new("node2", "FRA"));
    let video = clip(0);
    let honest = alone.http.upload_with("/upload?profile=sprite", &[], video.clone()).await;
    assert_eq!(honest.status, 200, "{honest:?}");
    let files = unpacked(&honest.body);
    let (vtt, jpg) = (&files[0].1[..], &files[1].1[..]);
    let whole = |bytes: &[u8]| bytes.len() as u64;
    let linked = {
        let mut link = tar::Header::new_ustar();
        link.set_path("sprite-1.jpg").unwrap();
        link.set_link_name("/etc/passwd").unwrap();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        link.set_mode(0o644);
        link.set_cksum();
        let list = tar(&[("sprite.vtt", whole(vtt), vtt)]);
        [&list[..list.len() - 1024], link.as_bytes(), &[0; 1024]].concat().into()
    };
    let lies: [(&str, Bytes); 6] = [
        ("up", tar(&[("../sprite.vtt", whole(vtt), vtt), ("sprite-1.jpg", whole(jpg), jpg)])),
        ("root", tar(&[("sprite.vtt", whole(vtt), vtt), ("/etc/cron.d/a.jpg", whole(jpg), jpg)])),
        ("link", linked),
        ("huge", tar(&[("sprite.vtt", whole(vtt), vtt), ("sprite-1.jpg", (1 << 33) - 1, jpg)])),
        ("twice", tar(&[("sprite.vtt", whole(vtt), vtt), ("sprite.vtt", whole(jpg), jpg)])),
        (
            "outside",
            tar(&[
                (
                    "sprite.vtt",
                    whole(vtt),
                    String::from_utf8_lossy(vtt).replacen("#xywh=120,", "#xywh=9999,", 1).as_bytes(),
                ),
                ("sprite-1.jpg", whole(jpg), jpg),
            ]),
        ),
    ];
    let mut rogues = Vec::new();
    for (tag, (name, lie)) in (1..).zip(lies) {
        let plays = move |path: &str| path.starts_with("/internal/jobs/").then(|| Play::result(&lie));
        let rogue = Rogue::join(&node, name, None, plays).await;
        let answer = node.http.upload_with("/upload?profile=sprite", &[], clip(tag)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "node1"), "{name}");
        assert_eq!(unpacked(&answer.body).len(), 2, "{name}");
        assert_eq!(rogue.jobs(), 1, "{name}");
        let line = node.logged("a peer is avoided", move |line| line["peer"] == name).await;
        assert_eq!(line["fault"], "lied", "{line}");
        rogues.push(rogue);
    }
    let after = node.http.upload_with("/upload?profile=sprite", &[], clip(100)).await;
    assert_eq!((after.status.as_u16(), after.header("x-served-by")), (200, "node1"));
    assert_eq!(rogues.iter().map(Rogue::jobs).sum::<usize>(), 6, "each one job and no more");
}
