//! Media that means harm: none of it reads another file, opens a socket, outlives its limits or takes the node down.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Clip, Node, NodeOptions, Stub, first_seconds, made_by_ffmpeg, real_clips};

/// The folder of hostile inputs, and another file of the node that they would like to read.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.write("secret.mp4", &Clip::default().make());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn secret(&self) -> String {
        self.path("secret.mp4").display().to_string()
    }

    /// A DASH manifest of one segment. `prefix`: what stands before it.
    fn dash(prefix: &str, url: &str) -> String {
        format!(
            "{prefix}<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT1S\" \
             profiles=\"urn:mpeg:dash:profile:isoff-main:2011\"><Period><AdaptationSet mimeType=\"video/mp4\">\
             <Representation id=\"0\" bandwidth=\"1\"><BaseURL>{url}</BaseURL><SegmentList duration=\"1\">\
             <SegmentURL media=\"{url}\"/></SegmentList></Representation></AdaptationSet></Period></MPD>"
        )
    }

    fn hls(url: &str) -> String {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n")
    }

    /// A clip made by ffmpeg with these arguments.
    fn make(&self, name: &str, arguments: &str) -> Bytes {
        made_by_ffmpeg(&self.path(name), arguments.split_whitespace())
    }
}

fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA"))
}

async fn assert_goes_on(node: &Node) {
    node.http.upload(Clip { tag: 4242, ..Clip::default() }.make()).await.assert_video();
}

#[tokio::test]
async fn one_client_cannot_take_all_places() {
    let tools = Stub::holding();
    let options = NodeOptions::new("node1", "FRA").tools(&tools);
    let node = Node::start(options.arg("--uploads-per-client").arg("2"));
    let clip = Clip { tag: 71, ..Clip::default() }.make();
    let uploads: Vec<_> = (0..2)
        .map(|_| {
            let (http, clip) = (node.http.clone(), clip.clone());
            tokio::spawn(async move { http.upload(clip).await })
        })
        .collect();
    node.busy(1, 0).await;
    // Both of them are known to be there once a third one is refused.
    let refused = loop {
        let answer = node.http.upload_with("/upload?profile=no-such", &[], "x".into()).await;
        if answer.status != 400 {
            break answer;
        }
    };
    refused.assert_problem(429, "too-many-uploads");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(node.http.get("/health").await.status, 200, "only uploads are counted");
    // From another address there is room.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(node.http_address.parse().unwrap()).await.unwrap();
    let request =
        b"POST /upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    tools.release();
    for upload in uploads {
        upload.await.unwrap().assert_video();
    }
    node.http.upload(Clip { tag: 72, ..Clip::default() }.make()).await.assert_video();
}

#[tokio::test]
async fn texts_that_name_other_files_are_no_videos() {
    let (node, folder) = (node(), Folder::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/secret.mp4", listener.local_addr().unwrap());
    for target in [format!("file:{}", folder.secret()), folder.secret(), url] {
        let texts = [
            Folder::dash("<?xml version=\"1.0\"?>\n", &target),
            Folder::dash("<!--free-->", &target),
            Folder::hls(&target),
            format!("ffconcat version 1.0\nfile '{target}'\n"),
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{target}\"/></svg>"),
            format!("v=0\no=- 0 0 IN IP4 127.0.0.1\ns={target}\nm=video 5004 RTP/AVP 96\n"),
        ];
        for text in texts {
            node.http.upload(text.into()).await.assert_problem(415, "not-a-video");
        }
        // A comment that passes for the head of a QuickTime file with a gigabyte of pictures first. A unit test of the
        // workers shows that ffmpeg's list of demuxers stops what may get past the magic bytes.
        let disguised = node.http.upload(Folder::dash("<!--mdat-->", &target).into()).await;
        disguised.assert_problem(415, "not-a-video");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody came for the file");
    assert_eq!(node.metric("starling_transcodes_total").await, 0);
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn the_sandbox_holds_where_the_lists_of_ffmpeg_do_not() {
    if !starling::workers::sandbox::landlock_supported() {
        println!("SKIPPED: this kernel has no landlock, so ffmpeg's own lists are all there is");
        return;
    }
    let folder = Folder::new();
    let manifest =
        folder.write("dash.mp4", Folder::dash("", &format!("file:{}", folder.secret())).as_bytes());
    std::fs::create_dir(folder.path("out")).unwrap();
    let output = folder.path("out").join("o.mp4");
    let ffmpeg = |command: &mut Command| {
        command
            .args(["-v", "error", "-nostdin", "-y", "-i"])
            .arg(&manifest)
            .args(["-c:v", "libx264"])
            .arg(&output);
        command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    // Without any of it the manifest does read the other file: else this test would show nothing.
    assert!(ffmpeg(&mut Command::new("ffmpeg")), "the attack itself doesn't work");
    assert!(!ffmpeg(&mut sandboxed(&folder, &manifest, "/usr/bin/ffmpeg")));
}

/// The node's own way of starting a child.
fn sandboxed(folder: &Folder, readable: &Path, program: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(["sandbox", "--memory-bytes=4000000000", "--file-bytes=1000000", "--cpu-seconds=20"]);
    command.arg(format!("--parent={}", std::process::id())).arg("--readable").arg(readable);
    command.arg("--writable").arg(folder.path("out")).arg("--").arg(program);
    command
}

#[tokio::test]
async fn the_sandbox_leaves_a_program_its_input_its_output_and_nothing_else() {
    if !starling::workers::sandbox::landlock_supported() {
        println!("SKIPPED: this kernel has no landlock");
        return;
    }
    let folder = Folder::new();
    std::fs::create_dir(folder.path("out")).unwrap();
    let input = folder.write("input", b"input");
    let shell = |script: &str| {
        let output = sandboxed(&folder, &input, "/bin/sh")
            .args(["-c", script])
            .current_dir(folder.path("out"))
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Each is one process: a second one is among what is forbidden.
    assert_eq!(shell("exec cat ../input"), (true, "input".to_owned()));
    assert_eq!(shell("echo x > result && exec cat result"), (true, "x".to_owned()));
    assert!(shell("exec perl -e 'use Socket; use POSIX; exit 0'").0, "the tests below need perl");
    for forbidden in [
        format!("exec cat {}", folder.secret()),
        "exec cat /etc/passwd".to_owned(),
        "exec cat /proc/self/environ".to_owned(),
        "exec cat /proc/$PPID/environ".to_owned(),
        "exec ls /".to_owned(),
        "echo x > ../input".to_owned(),
        "echo x > /tmp/starling-test-escape".to_owned(),
        "exec rm ../input".to_owned(),
        // Longer than a file may be.
        "exec head -c 2000000 /dev/zero > big".to_owned(),
        // Signals to what is outside, this test for one.
        "kill -0 $PPID".to_owned(),
        // More memory than it may have.
        "exec perl -e '$x = \"a\" x 5_000_000_000'".to_owned(),
        // Sockets of any kind.
        "exec perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or exit 1'".to_owned(),
        "exec perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 1'".to_owned(),
        // Another process, which would outlive this one, and every way out of the group that is killed.
        "exec perl -e 'defined(fork) or exit 1'".to_owned(),
        "(exit 0); exit 0".to_owned(),
        "exec perl -e 'use POSIX; POSIX::setsid() > 0 or exit 1'".to_owned(),
        "exec perl -e 'setpgrp(0, 0) or exit 1'".to_owned(),
    ] {
        assert!(!shell(&forbidden).0, "{forbidden} was allowed");
    }
    // Ten more than this test's own, whatever that is.
    let nice = (rustix::process::getpriority_process(None).unwrap() + 10).min(19);
    assert_eq!(shell("ulimit -c; ulimit -t; exec nice").1, format!("0\n20\n{nice}"));
    assert_eq!(std::fs::read(&input).unwrap(), b"input");
}

#[tokio::test]
async fn a_child_of_a_killed_parent_dies() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("out")).unwrap();
    // The parent: a shell that starts the sandbox, says its child's number, and is killed.
    let script = "$0 sandbox --parent $$ --memory-bytes 4000000000 --file-bytes 1 --cpu-seconds 20 -- \
                  /bin/sleep 1000 & echo $!; wait";
    let mut parent = Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_starling")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let child = format!("/proc/{}/comm", line.trim());
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::fs::read_to_string(&child).is_ok_and(|name| name.trim() != "sleep") {
        assert!(std::time::Instant::now() < give_up, "it never became sleep");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    let alive = || {
        std::fs::read_to_string(format!("/proc/{}/stat", line.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    while alive() {
        assert!(std::time::Instant::now() < give_up, "it outlived its parent");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn bombs_are_refused_before_they_go_off() {
    let (node, folder) = (node(), Folder::new());
    let bombs = [
        (
            "a picture of 108 million pixels",
            "-f lavfi -i color=size=12000x9000:rate=1:duration=1 -c:v mjpeg -f matroska",
        ),
        (
            "three pictures, half a day apart each",
            "-f lavfi -i color=size=32x32:rate=1:duration=3 -vf setpts=PTS*50000 -vsync vfr -c:v libx264 -f avi",
        ),
    ];
    for (what, arguments) in bombs {
        let bomb = folder.make("bomb", arguments);
        let answer = node.http.upload(bomb).await;
        assert_eq!(answer.status, 422, "{what}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(node.metric("starling_transcodes_total").await, 0);
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn damaged_clips_give_a_valid_video_or_a_refusal() {
    let node = node();
    let smallest = real_clips().into_iter().min_by_key(|path| path.metadata().unwrap().len());
    let clip = match &smallest {
        Some(path) => first_seconds(path, 1.5),
        None => Clip { seconds: 1.5, ..Clip::default() }.make(),
    };
    let mut seed = 0x5eed_u64;
    for round in 0..6 {
        let mut damaged = clip.to_vec();
        for _ in 0..=round * 16 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Past the first bytes, which are the magic ones.
            let at = 64 + (seed >> 16) as usize % (damaged.len() - 64);
            damaged[at] ^= 1 << (seed >> 60 & 7);
        }
        let answer = node.http.upload(damaged.into()).await;
        match answer.status.as_u16() {
            200 => answer.assert_video(),
            _ => answer.assert_problem(422, "unusable-video"),
        }
    }
    for tenths in [1, 5, 9] {
        let answer = node.http.upload(clip.slice(..clip.len() * tenths / 10)).await;
        // What can be read of it is given, and it is told that this is not all.
        match answer.status.as_u16() {
            200 => {
                answer.assert_video();
                assert!(!answer.header("x-input-damage").is_empty(), "{:?}", answer.headers);
            }
            _ => answer.assert_problem(422, "unusable-video"),
        }
    }
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn an_index_at_the_end_is_no_harm() {
    let (node, folder) = (node(), Folder::new());
    let clip =
        folder.make("end.mp4", "-f lavfi -i testsrc2=size=320x240:rate=25:duration=1 -c:v libx264 -f mp4");
    let at = |name: &[u8]| clip.windows(4).position(|window| window == name).unwrap();
    assert!(at(b"mdat") < at(b"moov"));
    node.http.upload(clip).await.assert_video();
}

#[tokio::test]
async fn names_are_for_the_download_and_for_nothing_else() {
    let node = node();
    let clip = Clip::default().make();
    let long = "n".repeat(300);
    let names = [
        "../../../etc/passwd",
        "..",
        "/",
        "-rf",
        "file:/etc/passwd",
        "$(id).mp4",
        "a%0d%0aX-Evil: 1",
        "\"; x=\"",
        &long,
    ];
    for name in names {
        let mut form =
            format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                .into_bytes();
        form.extend_from_slice(&clip);
        form.extend_from_slice(b"\r\n--B--\r\n");
        let raw = [("content-type", "video/mp4"), ("x-filename", name)];
        let as_form = [("content-type", "multipart/form-data; boundary=B")];
        for (headers, body) in [(&raw[..], clip.clone()), (&as_form[..], form.into())] {
            let answer = node.http.send(hyper::Method::POST, "/upload", headers, body).await.unwrap();
            answer.assert_video();
            let told = answer.header("content-disposition");
            assert!(told.len() < 255 + "attachment; filename=\"\"".len(), "{name}: {told}");
            assert!(!told.contains(['/', '\\', '\r', '\n']), "{name}: {told}");
            assert_eq!(told.matches('"').count() % 2, 0, "{name}: {told}");
            assert!(!answer.headers.contains_key("x-evil"));
        }
    }
    // A newline in a form's file name ends the header there; what follows is no header of ours.
    let mut form =
        b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\nX-Evil: 1\"\r\n\r\n".to_vec();
    form.extend_from_slice(&clip);
    form.extend_from_slice(b"\r\n--B--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=B")];
    let answer = node.http.send(hyper::Method::POST, "/upload", &headers, form.into()).await.unwrap();
    assert!(matches!(answer.status.as_u16(), 200 | 400), "{}", answer.status);
    assert!(!answer.headers.contains_key("x-evil"));
    assert_eq!(node.metric("starling_transcodes_total").await, 1, "one content, whatever its names");
}
