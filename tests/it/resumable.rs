//! `/uploads`: videos that come in parts, by tus and by draft-ietf-httpbis-resumable-upload, with public clients, at any node.

use std::collections::VecDeque;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Answer, Clip, Cluster, Http, Node, NodeOptions, eventually, fetched, skipped};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const TUS_PART: (&str, &str) = ("content-type", "application/offset+octet-stream");
const PART: (&str, &str) = ("content-type", "application/partial-upload");

fn clip(tag: u32) -> Bytes {
    Clip { tag, audio: false, ..Clip::default() }.make()
}

async fn send(http: &Http, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    http.send(method, path, headers, body).await.unwrap()
}

/// An upload begins by tus; its path.
async fn create(http: &Http, length: usize) -> String {
    let length = length.to_string();
    // filename: clip.mp4, profile: poster
    let metadata = ("upload-metadata", "filename Y2xpcC5tcDQ=,profile cG9zdGVy,is_public");
    let head = [TUS, ("upload-length", length.as_str()), metadata];
    let begun = send(http, Method::POST, "/uploads", &head, Bytes::new()).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&begun.body));
    assert_eq!((begun.header("tus-resumable"), begun.header("upload-offset")), ("1.0.0", "0"));
    assert!(begun.header("upload-expires").ends_with(" GMT"), "{:?}", begun.headers);
    begun.header("location").to_owned()
}

async fn patch(http: &Http, path: &str, offset: usize, body: Bytes) -> Answer {
    let offset = offset.to_string();
    send(http, Method::PATCH, path, &[TUS, TUS_PART, ("upload-offset", &offset)], body).await
}

async fn offset(http: &Http, path: &str) -> usize {
    let told = send(http, Method::HEAD, path, &[TUS], Bytes::new()).await;
    assert_eq!(
        (told.status, told.header("cache-control")),
        (StatusCode::OK, "no-store"),
        "{:?}",
        told.headers
    );
    told.header("upload-offset").parse().unwrap()
}

async fn done(http: &Http, job: &str) -> Value {
    http.job_in_state(&format!("/jobs/{job}"), "done").await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_become_a_job_at_any_node_by_either_protocol() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let (own, other) = (&cluster.nodes[0].http, &cluster.nodes[1].http);
    let spoken = send(own, Method::OPTIONS, "/uploads", &[], Bytes::new()).await;
    assert_eq!((spoken.status, spoken.header("tus-version")), (StatusCode::NO_CONTENT, "1.0.0"));
    assert!(spoken.header("tus-extension").contains("checksum"), "{:?}", spoken.headers);

    // tus, whose requests come to one node or the other.
    let video = clip(31);
    let path = create(own, video.len()).await;
    let half = video.len() / 2;
    let answer = patch(other, &path, 0, video.slice(..half)).await;
    assert_eq!(
        (answer.status, answer.header("upload-offset")),
        (StatusCode::NO_CONTENT, half.to_string().as_str())
    );
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    assert_eq!((offset(own, &path).await, offset(other, &path).await), (half, half));
    for http in [own, other] {
        let wrong = patch(http, &path, 5, video.slice(5..)).await;
        wrong.assert_problem(409, "http-problem-types#mismatching-upload-offset");
        let problem = wrong.json();
        assert_eq!((&problem["expected-offset"], &problem["provided-offset"]), (&half.into(), &5.into()));
        let bad = [TUS, TUS_PART, ("upload-offset", "0"), ("upload-checksum", "md5 AAAA")];
        send(http, Method::PATCH, &path, &bad, Bytes::new()).await.assert_problem(400, "bad-request");
        let at = half.to_string();
        let false_sum = "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let wrong = [TUS, TUS_PART, ("upload-offset", at.as_str()), ("upload-checksum", false_sum)];
        let answer = send(http, Method::PATCH, &path, &wrong, video.slice(half..)).await;
        answer.assert_problem(460, "checksum-mismatch");
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
    }
    let told = other.json(&path).await;
    assert_eq!(
        (&told["offset"], &told["complete"], &told["job"]),
        (&half.into(), &false.into(), &Value::Null)
    );
    let last = patch(other, &path, half, video.slice(half..)).await;
    assert_eq!(last.status, StatusCode::NO_CONTENT);
    let job = done(other, last.header("x-job")).await;
    assert_eq!((&job["filename"], &job["profiles"][0]), (&"clip.mp4".into(), &"poster".into()));
    assert_eq!(job["content"], starling::content::ContentId::of(&video).to_string());
    // What is whole stays so; deleted, it is gone, and the job is not.
    assert_eq!(offset(other, &path).await, video.len());
    for http in [other, own] {
        let again = patch(http, &path, video.len(), Bytes::new()).await;
        assert_eq!((again.status, again.header("x-job")), (StatusCode::NO_CONTENT, last.header("x-job")));
        let more = patch(http, &path, video.len(), Bytes::from_static(b"x")).await;
        more.assert_problem(400, "http-problem-types#completed-upload");
    }
    let ended = send(other, Method::DELETE, &path, &[TUS], Bytes::new()).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    for http in [own, other] {
        http.get(&path).await.assert_problem(404, "no-upload");
    }
    assert_eq!(own.get(&format!("/jobs/{}", last.header("x-job"))).await.status, StatusCode::OK);

    // The draft: the answer to the last part is the job's.
    let video = clip(32);
    let head = [("upload-complete", "?0"), ("x-filename", "b.mp4")];
    let begun = send(own, Method::POST, "/jobs?profile=poster", &head, video.slice(..1000)).await;
    assert_eq!((begun.status, begun.header("upload-complete")), (StatusCode::CREATED, "?0"));
    assert!(begun.header("upload-limit").contains("max-age="), "{:?}", begun.headers);
    let path = begun.header("location").to_owned();
    let told = send(other, Method::HEAD, &path, &[], Bytes::new()).await;
    assert_eq!((told.status, told.header("upload-offset")), (StatusCode::NO_CONTENT, "1000"));
    assert_eq!((told.header("upload-complete"), told.header("upload-length")), ("?0", ""));
    let head = [PART, ("upload-offset", "1000"), ("upload-complete", "?0")];
    let answer = send(other, Method::PATCH, &path, &head, video.slice(1000..2000)).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (StatusCode::NO_CONTENT, "2000"));
    let head = [PART, ("upload-offset", "2000"), ("upload-complete", "?1")];
    let answer = send(other, Method::PATCH, &path, &head, video.slice(2000..)).await;
    assert_eq!((answer.status, answer.header("upload-complete")), (StatusCode::ACCEPTED, "?1"));
    let job = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/jobs/{job}"));
    assert_eq!(done(own, &job).await["filename"], "b.mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_part_is_refused_in_words() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--upload-bytes-max=1MB"));
    let (http, none) = (&node.http, Bytes::new);
    let begin = async |headers: &[(&str, &str)]| send(http, Method::POST, "/uploads", headers, none()).await;
    begin(&[]).await.assert_problem(400, "bad-request");
    begin(&[TUS]).await.assert_problem(400, "bad-request");
    let old = begin(&[("tus-resumable", "0.2.2"), ("upload-length", "5")]).await;
    old.assert_problem(412, "tus-version");
    assert_eq!(old.header("tus-version"), "1.0.0");
    begin(&[TUS, ("upload-length", "1000001")]).await.assert_problem(413, "too-large");
    begin(&[TUS, ("upload-length", "-1")]).await.assert_problem(400, "bad-request");
    begin(&[TUS, ("upload-length", "5"), ("upload-metadata", "a =")])
        .await
        .assert_problem(400, "bad-request");
    // profile: nope
    let unknown = begin(&[TUS, ("upload-length", "5"), ("upload-metadata", "profile bm9wZQ==")]).await;
    unknown.assert_problem(400, "unknown-profile");
    begin(&[TUS, ("upload-length", "0")]).await.assert_problem(400, "empty-body");
    // A part that is sent as if it were all of it is not taken for that.
    let part = http.upload_with("/upload", &[("upload-complete", "?0")], clip(33)).await;
    part.assert_problem(400, "bad-request");
    // What is no video is told by its first part, and nothing of it stays.
    let path = create(http, 4000).await;
    let page = Bytes::from("<!doctype html>".repeat(200));
    patch(http, &path, 0, page).await.assert_problem(415, "not-a-video");
    patch(http, &path, 0, none()).await.assert_problem(404, "no-upload");
    let path = create(http, 10).await;
    patch(http, &path, 0, clip(33)).await.assert_problem(413, "upload-beyond");
    let path = create(http, 10).await;
    let untyped = [TUS, ("upload-offset", "0")];
    send(http, Method::PATCH, &path, &untyped, none()).await.assert_problem(415, "wrong-media-type");
    send(http, Method::POST, &path, &[TUS], none()).await.assert_problem(405, "method-not-allowed");
    let overridden = [TUS, TUS_PART, ("upload-offset", "0"), ("x-http-method-override", "PATCH")];
    let answer = send(http, Method::POST, &path, &overridden, none()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let far = format!("/uploads/{}-nowhere", "0".repeat(32));
    patch(http, &far, 0, none()).await.assert_problem(404, "no-upload");
    let old = [("tus-resumable", "0.2.2"), TUS_PART, ("upload-offset", "0")];
    let old = send(http, Method::PATCH, &path, &old, none()).await;
    old.assert_problem(412, "tus-version");
    assert_eq!(old.header("tus-version"), "1.0.0");
    patch(http, "/uploads/x", 0, none()).await.assert_problem(400, "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_there_after_a_broken_connection_and_a_killed_node() {
    let mut node = Node::start(NodeOptions::new("node1", "FRA"));
    let video = clip(34);
    let (path, third) = (create(&node.http, video.len()).await, video.len() / 3);
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        video.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&video[..third]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    // Not by HEAD, which ends the request that brings it.
    eventually("what came is kept", async || node.http.json(&path).await["offset"] == third).await;
    assert_eq!(offset(&node.http, &path).await, third);
    node.kill_and_restart();
    assert_eq!(offset(&node.http, &path).await, third);
    let answer = patch(&node.http, &path, third, video.slice(third..2 * third)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    node.kill_and_restart();
    let answer = patch(&node.http, &path, 2 * third, video.slice(2 * third..)).await;
    let job = done(&node.http, answer.header("x-job")).await;
    assert_eq!(job["content"], starling::content::ContentId::of(&video).to_string());
}

async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_sends_an_upload_and_goes_on_at_another_node() {
    let Some(python) = fetched("tus/python") else {
        skipped("tuspy is not in target/tools (scripts/deps.sh test fetches it by pip)");
        return;
    };
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let (video, folder) = (clip(35), tempfile::tempdir().unwrap());
    let file = folder.path().join("clip.mp4");
    std::fs::write(&file, &video).unwrap();
    let tuspy = |endpoint: String, more: &[&str]| {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &python).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tus/upload.py"));
        command.arg(endpoint).arg(&file).arg("5000").args(more);
        run(command)
    };
    let [own, other] = [0, 1].map(|at: usize| format!("http://{}", cluster.nodes[at].http_address));
    let told = tuspy(format!("{own}/uploads"), &["15000"]).await;
    let (url, offset) = told.split_once(' ').unwrap();
    assert!(offset.parse::<usize>().is_ok_and(|offset| (15_000..video.len()).contains(&offset)), "{told}");
    let path = url.strip_prefix(own.as_str()).unwrap();
    tuspy(format!("{other}{path}"), &[]).await;
    let upload = cluster.nodes[0].http.json(path).await;
    let job = done(&cluster.nodes[1].http, upload["job"].as_str().unwrap()).await;
    assert_eq!((&job["filename"], &job["bytes"]), (&"clip.mp4".into(), &video.len().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_sends_uploads_by_each_protocol_while_the_node_is_killed() {
    let Some(modules) = fetched("tus/node_modules") else {
        skipped("tus-js-client is not in target/tools (scripts/deps.sh test fetches it by npm)");
        return;
    };
    let mut node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{}/uploads", node.http_address);
    for (tag, protocol) in [(36, "tus-v1"), (37, "ietf-draft-05"), (38, "ietf-draft-03")] {
        let (video, file) = (clip(tag), folder.path().join(format!("{tag}.mp4")));
        std::fs::write(&file, &video).unwrap();
        let mut command = Command::new("node");
        command.env("TUS_MODULES", &modules).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tus/upload.js"));
        command.arg(&endpoint).arg(&file).args([protocol, "1000"]);
        let sent = tokio::spawn(run(command));
        // Once it has begun, the node goes away under it.
        eventually("an upload has begun", async || node.metric("starling_unfinished_uploads").await > 0)
            .await;
        node.kill_and_restart();
        let told = sent.await.unwrap();
        let (url, job) = told.split_once(' ').unwrap();
        let path = url.strip_prefix(&format!("http://{}", node.http_address)).unwrap();
        let upload = node.http.json(path).await;
        assert_eq!(upload["job"], job, "{protocol}");
        let job = done(&node.http, job).await;
        let content = starling::content::ContentId::of(&video).to_string();
        assert_eq!((&job["content"], &job["profiles"][0]), (&content.into(), &"poster".into()), "{protocol}");
    }
}

/// A way to a node that breaks: of each connection so many bytes get through to the node, the last number counting for all later ones.
struct Breaking {
    address: String,
    passed: Arc<AtomicU64>,
}

impl Breaking {
    async fn to(node: &str, limits: &[u64]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, node) = (listener.local_addr().unwrap().to_string(), node.to_owned());
        let (passed, mut limits) = (Arc::new(AtomicU64::new(0)), VecDeque::from(limits.to_vec()));
        let count = Arc::clone(&passed);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let limit = if limits.len() > 1 { limits.pop_front().unwrap() } else { limits[0] };
                let Ok(mut server) = TcpStream::connect(&node).await else { continue };
                let count = Arc::clone(&count);
                // Ends with either end of the connection, or at its limit: then both are closed.
                tokio::spawn(async move {
                    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                        (client.split(), server.split());
                    let forth = async {
                        let (mut left, mut buffer) = (limit, [0; 4096]);
                        while left > 0 {
                            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                            let read = from_client.read(&mut buffer[..room]).await.unwrap_or(0);
                            if read == 0 || to_server.write_all(&buffer[..read]).await.is_err() {
                                return;
                            }
                            left -= read as u64;
                            count.fetch_add(read as u64, Ordering::Relaxed);
                        }
                    };
                    tokio::select! {
                        () = forth => {}
                        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    }
                });
            }
        });
        Self { address, passed }
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starling_upload_goes_on_where_it_ended_in_the_same_run_and_in_the_next() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let video = Clip { seconds: 4.0, size: "640x480", tag: 41, ..Clip::default() }.make();
    let (folder, length) = (tempfile::tempdir().unwrap(), video.len() as u64);
    let (file, state) = (folder.path().join("film.mp4"), folder.path().join("state"));
    std::fs::write(&file, &video).unwrap();
    let upload = |node: String, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        command.env("XDG_STATE_HOME", &state).env_remove("STARLING_NODE").env_remove("RUST_LOG");
        command.args(["upload", "--resume", "--json", "--node", &node, "-o"]).arg(folder.path());
        command.arg(&file).args(more);
        tokio::task::spawn_blocking(move || {
            let output = command.output().unwrap();
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.success(), said)
        })
    };
    // In one run, over connections that break twice.
    let breaking = Breaking::to(&cluster.nodes[0].http_address, &[length / 3, length / 3, u64::MAX]).await;
    let (success, said) = upload(breaking.address.clone(), &[]).await.unwrap();
    assert!(success && said["served_by"].is_string(), "{said}");
    let made = std::fs::read(said["output"].as_str().unwrap()).unwrap();
    assert_eq!(crate::support::probe_video(&made).0, "h264");
    assert!(breaking.passed() < length * 3 / 2, "{} of {length} bytes: it began anew", breaking.passed());
    let notes = || std::fs::read_dir(state.join("starling/uploads")).unwrap().count();
    assert_eq!(notes(), 0, "what is done is not noted any more");

    // In two runs, the second one at another node, which passes on what lies at the first.
    let other = crate::support::unlike(&video, 42);
    std::fs::write(&file, &other).unwrap();
    let breaking = Breaking::to(&cluster.nodes[0].http_address, &[length / 2, 200]).await;
    let (success, said) = upload(breaking.address.clone(), &["--timeout", "4s"]).await.unwrap();
    assert!(!success && said["error"].is_string(), "{said}");
    assert_eq!(notes(), 1);
    let whole = Breaking::to(&cluster.nodes[1].http_address, &[u64::MAX]).await;
    let (success, said) = upload(whole.address.clone(), &["--profile", "360p,poster"]).await.unwrap();
    assert!(success && said["outputs"].as_array().is_some_and(|outputs| outputs.len() == 2), "{said}");
    // That was another upload: of other profiles.
    assert!(whole.passed() > length && notes() == 1);
    let before = whole.passed();
    let (success, said) = upload(whole.address.clone(), &[]).await.unwrap();
    assert!(success, "{said}");
    assert!(whole.passed() - before < length * 2 / 3, "{} of {length} bytes", whole.passed() - before);
    assert_eq!(notes(), 0);
    // Another film under the same name, of the same size and time, is another upload: nothing of the first one is in it.
    let (first, second) = (crate::support::unlike(&video, 43), crate::support::unlike(&video, 44));
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    let write = |film: &[u8]| {
        std::fs::write(&file, film).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    };
    write(&first);
    let breaking = Breaking::to(&cluster.nodes[0].http_address, &[length / 2, 200]).await;
    let (success, said) = upload(breaking.address.clone(), &["--timeout", "4s"]).await.unwrap();
    assert!(!success && said["error"].as_str().unwrap().contains("the same command goes on"), "{said}");
    write(&second);
    let (success, said) = upload(whole.address.clone(), &[]).await.unwrap();
    assert!(success, "{said}");
    let newest = cluster.nodes[0].http.json("/jobs?limit=1").await["jobs"][0].clone();
    let content = starling::content::ContentId::of(&second).to_string();
    assert_eq!((&newest["content"], &newest["state"]), (&content.into(), &"done".into()));
    std::fs::remove_dir_all(state.join("starling")).unwrap();
    // What no job can be made of is said at once, and a node that is not there as well.
    std::fs::write(&file, "no film").unwrap();
    let (success, said) = upload(whole.address.clone(), &[]).await.unwrap();
    assert!(!success && said["status"] == 415, "{said}");
    let (success, said) = upload("127.0.0.1:1".into(), &[]).await.unwrap();
    assert!(!success && said["status"].is_null(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_stands_in_for_one_that_dies_with_the_first_part() {
    let mut cluster = Cluster::start(&["FRA", "IAD"]).await;
    let video = Clip { seconds: 4.0, size: "640x480", tag: 45, ..Clip::default() }.make();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, &video).unwrap();
    // The first node gets a part, and is not there any more.
    let breaking = Breaking::to(&cluster.nodes[0].http_address, &[video.len() as u64 / 2, 0]).await;
    let nodes = format!("{},{}", breaking.address, cluster.nodes[1].http_address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.env("XDG_STATE_HOME", folder.path().join("state")).env_remove("STARLING_NODE");
    command.args(["upload", "--resume", "--json", "--node", &nodes, "--timeout", "2m", "-o"]);
    command.arg(folder.path()).arg(&file);
    let sent = tokio::task::spawn_blocking(move || command.output().unwrap());
    let first = &cluster.nodes[0];
    eventually("a part has come", async || first.metric("starling_unfinished_uploads_size_bytes").await > 0)
        .await;
    cluster.nodes[0].kill();
    let output = sent.await.unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && said["served_by"] == cluster.nodes[1].options.name, "{said}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("begun anew at another one"), "{told}");
}
