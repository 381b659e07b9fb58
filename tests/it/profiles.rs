//! Profiles of files, nodes whose files differ, and nodes that can't make what another one can.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Clip, Cluster, Node, NodeOptions, probe_video};

fn starling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling")).args(args).env_remove("STARLING_PROFILES").output().unwrap()
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file with a profile `mine` of this size.
struct Profiles {
    dir: tempfile::TempDir,
}

impl Profiles {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("profiles.toml"), text).unwrap();
        Self { dir }
    }

    fn of_size(side: u16) -> Self {
        Self::new(&format!(
            "default = \"mine\"\n[[profile]]\nname = \"mine\"\nkind = \"video\"\ncontainer = \"mp4\"\ncodec = \"h264\"\n\
             scale = {{ short-side = {side} }}\ncrf = 30\naudio = {{ codec = \"aac\", kbps = 64 }}\n"
        ))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("profiles.toml")
    }

    fn option(&self) -> String {
        format!("--profiles={}", self.path().display())
    }
}

#[test]
fn a_file_is_checked_without_a_node_and_refused_by_one() {
    let (good, bad) = (Profiles::of_size(64), Profiles::of_size(65));
    let checked = starling(&["profiles", "check", good.path().to_str().unwrap()]);
    assert!(
        checked.status.success() && told(&checked.stdout).starts_with("good: mine by default, of 1080p, ")
    );
    let path = bad.path();
    let fault = format!("{}:7: profile mine: scale: give ", path.display());
    let checked = starling(&["profiles", "check", path.to_str().unwrap()]);
    assert_eq!((checked.status.code(), told(&checked.stdout).as_str()), (Some(2), ""));
    assert!(told(&checked.stderr).starts_with(&fault), "{}", told(&checked.stderr));
    let node = starling(&["node", "--name=a", &bad.option()]);
    assert_eq!(node.status.code(), Some(2));
    assert!(told(&node.stderr).starts_with(&format!("starling node: {fault}")), "{}", told(&node.stderr));
    let missing = starling(&["profiles", "check", "/nowhere/x.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(told(&missing.stderr).starts_with("can't read the profile file /nowhere/x.toml: No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_a_file_is_told_of_and_made() {
    let file = Profiles::of_size(64);
    let node = Node::start(NodeOptions::new("node1", "FRA").arg(file.option()));
    let listed = node.http.json("/profiles").await;
    assert_eq!(listed["default"], "mine");
    let of = |name: &str| -> Value {
        let all = listed["profiles"].as_array().unwrap();
        all.iter().find(|profile| profile["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(of("mine")["video"]["short_side"], 64);
    assert_eq!(of("mine")["audio"]["kbps"], 64);
    assert_eq!(of("720p")["extension"], "mp4");
    assert!(
        listed["profiles"].as_array().unwrap().iter().all(|profile| profile["available"] == true),
        "{listed}"
    );

    let answer = node.http.upload(Clip::default().make()).await;
    assert_eq!(probe_video(&answer.body), ("h264".to_owned(), 86, 64));
    let unknown = node.http.upload_with("/upload?profile=theirs", &[], Clip::default().make()).await;
    unknown.assert_problem(400, "unknown-profile");
    let detail = unknown.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("\"theirs\"") && detail.contains("1080p, 360p, ") && detail.contains("mine"),
        "{detail}"
    );

    let url = format!("http://{}", node.http_address);
    let table = told(&starling(&["profiles", "--node", &url]).stdout);
    let row =
        table.lines().find(|line| line.starts_with("mine (default)")).unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains("video/mp4") && row.contains("h264 64p") && row.ends_with("yes"), "{row}");
    let json = told(&starling(&["profiles", "--node", &url, "--json"]).stdout);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), listed);
}

#[tokio::test]
async fn nodes_with_another_recipe_of_a_name_do_not_do_each_others_work() {
    let files = [Profiles::of_size(64), Profiles::of_size(96)];
    let cluster = Cluster::start_with(&["FRA", "FRA"], |options| {
        let file = if options.name == "node1" { &files[0] } else { &files[1] };
        options.arg("--policy=round-robin").arg(file.option())
    })
    .await;
    // Each node is the first for one upload, and then its peer: whoever is home of what, nobody gets the other's size.
    for tag in 0..4 {
        let clip = Clip { tag, ..Clip::default() }.make();
        for (node, height) in cluster.nodes.iter().zip([64, 96]) {
            let answer = node.http.upload(clip.clone()).await;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            assert_eq!(probe_video(&answer.body).2, height, "{}", node.options.name);
            assert_eq!(answer.header("x-served-by"), node.options.name);
            assert_eq!(answer.header("x-cache"), "miss");
        }
    }
    assert_eq!(cluster.transcodes().await, 8);
    let node = &cluster.nodes[0];
    let refused = node.logged("offer refused: next candidate", |_| true).await;
    assert!(refused["reason"].as_str().unwrap().contains("another recipe"), "{refused}");
    assert_eq!(node.metric("starling_avoided_peers").await, 0, "to have another file is no fault");
    // What both have from Starling they do for each other.
    let mut routes = Vec::new();
    for tag in 10..12 {
        let clip = Clip { tag, ..Clip::default() }.make();
        routes.push(
            node.http.upload_with("/upload?profile=360p", &[], clip).await.header("x-served-by").to_owned(),
        );
    }
    assert!(routes.contains(&"node2".to_owned()), "{routes:?}");
}

#[tokio::test]
async fn a_peer_of_an_older_version_names_no_recipe_and_means_the_built_in_one() {
    let file = Profiles::new(
        "[[profile]]\nname = \"720p\"\nkind = \"video\"\ncontainer = \"mp4\"\ncodec = \"h264\"\n\
         scale = { short-side = 64 }\ncrf = 30\naudio = { codec = \"aac\", kbps = 64 }\n",
    );
    let node = Node::start(NodeOptions::new("node1", "FRA").arg(file.option()));
    let offer = |profile: &str| {
        serde_json::json!({"from": "node9", "content": "00".repeat(32), "bytes": 1, "profile": profile,
            "deadline_ms": 40_000, "backlog": null, "info": null})
        .to_string()
    };
    assert_eq!(node.http.ask_node("/internal/offers", offer("480p")).await.status, 200);
    node.http.ask_node("/internal/offers", offer("720p")).await.assert_problem(409, "unknown-recipe");
    node.http.ask_node("/internal/offers", offer("theirs")).await.assert_problem(409, "unknown-recipe");
    let held = |profile: &str| format!("/internal/results/{}/{profile}", "00".repeat(32));
    node.http.get(&held("480p")).await.assert_problem(404, "not-found");
    node.http.get(&held("720p")).await.assert_problem(409, "unknown-recipe");
}

/// What ffprobe says of a result.
fn probed(bytes: &[u8], arguments: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"])
        .args(arguments)
        .arg(file.path())
        .output()
        .unwrap();
    told(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn hevc_and_av1_are_what_players_take() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip { size: "1280x720", seconds: 5.0, ..Clip::default() }.make();
    let small = Clip { size: "90x62", ..Clip::default() }.make();
    for (profile, fields) in
        [("hevc", "hevc,Main,hvc1,1280,720,yuv420p,93"), ("av1", "av1,Main,av01,1280,720,yuv420p,5")]
    {
        let answer = node.http.upload_with(&format!("/upload?profile={profile}"), &[], clip.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "video/mp4"), "{profile}");
        let entries = "stream=codec_name,profile,codec_tag_string,width,height,pix_fmt,level";
        assert_eq!(probed(&answer.body, &["-show_entries", entries]), fields);
        assert_eq!(probed(&answer.body, &["-show_entries", "stream=color_range,color_space"]), "tv,bt709");
        // Begun and cut every two seconds, at pictures that need no other, and all of them play.
        let keys = probed(&answer.body, &["-show_entries", "packet=pts_time,flags"]);
        let keys: Vec<_> = keys.lines().filter(|line| line.contains('K')).collect();
        assert!(
            keys.len() == 3 && keys[1].starts_with("2.00") && keys[2].starts_with("4.00"),
            "{profile}: {keys:?}"
        );
        assert_eq!(probe_video(&answer.body).0, profile);
        let at = |name: &[u8]| answer.body.windows(4).position(|window| window == name).unwrap();
        assert!(at(b"moov") < at(b"mdat"), "{profile}: its index is behind it");
        let answer = node.http.upload_with(&format!("/upload?profile={profile}"), &[], small.clone()).await;
        if profile == "av1" {
            answer.assert_problem(422, "unusable-video");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("too small for av1: 90x62, at least 64 each way"), "{detail}");
        } else {
            assert_eq!(probe_video(&answer.body), ("hevc".to_owned(), 90, 62));
        }
    }
}

/// A folder with an ffmpeg that is built without an encoder, by its own word.
fn without(encoder: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let real = Command::new("sh").args(["-c", "command -v ffmpeg"]).output().unwrap();
    let real = told(&real.stdout);
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in -codecs) {0} \"$@\" | sed 's/{encoder}//g'; exit;; esac\nexec {0} \"$@\"\n",
        real.trim()
    );
    let path = dir.path().join("ffmpeg");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

#[tokio::test]
async fn what_a_node_lacks_the_encoder_for_another_one_makes() {
    let stub = without("libvpx-vp9");
    let cluster = Cluster::start_with(&["FRA", "IAD"], |mut options| {
        if options.name == "node1" {
            options.path = Some(stub.path().to_owned());
        }
        options.arg("--policy=round-robin")
    })
    .await;
    let [bare, whole] = &cluster.nodes[..] else { panic!("two nodes") };
    bare.logged("a profile can't be made here: other nodes are asked for it", |line| {
        line["profile"] == "webm"
    })
    .await;
    let listed = bare.http.json("/profiles").await;
    let webm =
        listed["profiles"].as_array().unwrap().iter().find(|profile| profile["name"] == "webm").unwrap();
    assert_eq!(webm["available"], false);
    assert!(webm["lack"].as_str().unwrap().contains("libvpx-vp9"), "{webm}");
    for tag in 0..3 {
        let clip = Clip { tag, ..Clip::default() }.make();
        let answer = bare.http.upload_with("/upload?profile=webm", &[], clip.clone()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("x-served-by"), "node2");
        // And the other way the offer is refused, and it is made where it can be.
        let clip = Clip { tag: tag + 10, ..Clip::default() }.make();
        let answer = whole.http.upload_with("/upload?profile=webm", &[], clip).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "node2"));
    }
    let refused = whole.logged("offer refused: next candidate", |_| true).await;
    assert!(refused["reason"].as_str().unwrap().contains("libvpx-vp9"), "{refused}");
    assert_eq!(bare.metric("starling_transcodes_total").await, 0);
}

#[tokio::test]
async fn what_no_node_can_make_is_said_to_be_so() {
    let stub = without("libvpx-vp9");
    let mut options = NodeOptions::new("node1", "FRA");
    options.path = Some(stub.path().to_owned());
    let node = Node::start(options);
    let clip = Clip::default().make();
    let answer = node.http.upload_with("/upload?profile=webm", &[], clip.clone()).await;
    answer.assert_problem(501, "profile-unavailable");
    assert!(answer.json()["detail"].as_str().unwrap().contains("libvpx-vp9"));
    node.http.upload(clip).await.assert_video();
}
