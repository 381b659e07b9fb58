//! Encoders in hardware, as far as they can be tested without one: a stand-in takes the command lines that are meant for NVENC, and
//! encodes by software what it is told there.

use crate::support::{Clip, Http, Node, NodeOptions, Stub, eventually};

const PROFILES: &str = r#"
[[profile]]
name = "fast"
description = "By hardware, where there is some"
kind = "video"
container = "mp4"
codec = "h264"
scale = { short-side = 180 }
preset = "fast"
crf = 28
hardware = true
audio = { codec = "aac", kbps = 96 }
"#;

/// What NVENC's own options are for x264; `HOW` is what the stand-in does with a job, and with the node's test.
const NVENC: &str = r#"
    my ($ffmpeg, @given) = @ARGV;
    my @args = @given;
    if (grep { /_nvenc$/ } @given) {
        my $is_test = grep { $_ eq "lavfi" } @given;
        HOW
        @args = ();
        while (@given) {
            my $option = shift @given;
            if ($option eq "-preset") { shift @given; push @args, "-preset", "ultrafast" }
            elsif ($option eq "-rc") { shift @given }
            elsif ($option eq "-cq") { push @args, "-crf", shift @given }
            elsif ($option =~ /_nvenc$/) { push @args, "libx264" }
            else { push @args, $option }
        }
    }
    exec { $ffmpeg } $ffmpeg, @args or exit 126;
"#;

/// A node whose ffmpeg has such an NVENC.
struct Rig {
    node: Node,
    /// The flag that names its profiles.
    profiles: String,
    _stub: Stub,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(how: &str, hardware: &str) -> Self {
        let (stub, dir) = (Stub::like_the_real_one(), tempfile::tempdir().unwrap());
        stub.plays_perl(&NVENC.replace("HOW", how));
        let profiles = dir.path().join("profiles.toml");
        std::fs::write(&profiles, PROFILES).unwrap();
        let flag = format!("--profiles={}", profiles.display());
        let options = NodeOptions::new("node1", "FRA").tools(&stub).arg(flag.clone());
        let node = Node::start(options.arg(format!("--hardware={hardware}")));
        Self { node, profiles: flag, _stub: stub, _dir: dir }
    }

    async fn works(&self) {
        self.node.logged_like("an encoder in hardware works").await;
        eventually("it is told of", async || {
            self.node.http.json("/health").await["hardware"] == serde_json::json!(["h264"])
        })
        .await;
    }

    /// Whether the stand-in made it: x264 writes into each result how it was told to work.
    async fn by_hardware(&self, profile: &str, tag: u32) -> bool {
        by_hardware(&self.node.http, profile, tag).await
    }
}

async fn by_hardware(http: &Http, profile: &str, tag: u32) -> bool {
    let clip = Clip { tag, ..Clip::default() }.make();
    let answer = http.upload_with(&format!("/upload?profile={profile}"), &[], clip).await;
    answer.assert_video();
    let says = |words: &[u8]| memchr::memmem::find(&answer.body, words).is_some();
    assert!(says(b"cabac=0") || says(b"cabac=1"));
    says(b"cabac=0")
}

#[tokio::test]
async fn an_encoder_that_passes_its_test_is_used_by_the_profiles_that_allow_it() {
    let rig = Rig::new("", "nvenc");
    rig.works().await;
    assert!(rig.by_hardware("fast", 1).await);
    assert!(!rig.by_hardware("360p", 2).await, "that profile does not allow it");
}

#[tokio::test]
async fn one_that_fails_gives_way_to_software_and_rests() {
    let rig = Rig::new("if (!$is_test) { print STDERR \"no capable devices found\\n\"; exit 1 }", "nvenc");
    rig.works().await;
    assert!(!rig.by_hardware("fast", 1).await);
    let line = rig.node.logged_like("an encoder in hardware failed where software did not").await;
    assert_eq!((&line["encoder"], &line["rest_s"]), (&"h264_nvenc".into(), &60.into()), "{line}");
    assert!(!rig.by_hardware("fast", 2).await);
    assert_eq!(rig.node.metric("starling_transcodes_total").await, 2);
}

#[tokio::test]
async fn one_whose_pictures_are_wrong_is_not_used() {
    let how = "if ($is_test) { s/format=yuv420p/negate,format=yuv420p/ for @given }";
    let rig = Rig::new(how, "nvenc");
    let line = rig.node.logged_like("an encoder in hardware does not work here").await;
    assert_eq!(line["reason"], "its pictures have other colours than went in");
    assert!(!rig.by_hardware("fast", 1).await);
}

#[tokio::test]
async fn none_is_looked_for_where_there_is_no_device_or_none_is_wanted() {
    let rig = Rig::new("print STDERR \"asked for\\n\"; exit 1;", "off");
    assert!(!rig.by_hardware("fast", 1).await);
    assert_eq!(rig.node.http.json("/health").await["hardware"], serde_json::json!([]));
}

#[tokio::test]
async fn a_node_without_asks_one_of_its_zone_that_has_some() {
    let rig = Rig::new("", "nvenc");
    rig.works().await;
    let options = NodeOptions::new("node2", "FRA").join(&rig.node.gossip).arg(&rig.profiles);
    let other = Node::start(options.arg("--hardware=off"));
    eventually("it has heard of it", async || {
        let members = other.http.json("/members").await;
        let has = |member: &serde_json::Value| {
            member["name"] == "node1" && member["load"]["hardware"] == serde_json::json!(["h264"])
        };
        members["members"].as_array().unwrap().iter().any(has)
    })
    .await;
    assert!(by_hardware(&other.http, "fast", 1).await);
    assert!(!by_hardware(&other.http, "360p", 2).await);
}
