//! What HTTP has for uploads and results, and what strangers make of it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use hyper::Method;
use starling::content::ContentId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bad_input::{assert_nothing_left, raw};
use crate::support::{Clip, Node, NodeOptions, eventually};

fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA"))
}

fn digest(bytes: &[u8]) -> String {
    let digest = base64::engine::general_purpose::STANDARD.encode(ContentId::of(bytes).0);
    format!("sha-256=:{digest}:")
}

fn form(clip: &[u8]) -> Vec<u8> {
    let mut form =
        b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"clip.mp4\"\r\n\r\n".to_vec();
    form.extend_from_slice(clip);
    form.extend_from_slice(
        b"\r\n--B\r\nContent-Disposition: form-data; name=\"later\"\r\n\r\nx\r\n--B--\r\n",
    );
    form
}

#[tokio::test]
async fn an_announced_digest_is_checked_on_arrival() {
    let node = node();
    let clip = Clip::default().make();
    let form = Bytes::from(form(&clip));
    let form_type = ("content-type", "multipart/form-data; boundary=B");
    let send = async |headers: &[(&str, &str)], body: &Bytes| {
        node.http.send(Method::POST, "/upload", headers, body.clone()).await.unwrap()
    };
    let wrong = digest(b"something else");
    for (headers, body) in [(&[][..], &clip), (&[form_type], &form)] {
        let with = |value| [headers, &[("content-digest", value)]].concat();
        send(&with(&wrong), body).await.assert_problem(400, "digest-mismatch");
        send(&with("sha-256=:AAAA:"), body).await.assert_problem(400, "bad-request");
        assert_nothing_left(&node).await;
        // What is of the body as it was sent.
        send(&with(&digest(body)), body).await.assert_video();
    }
    let both = [("content-digest", wrong.as_str()), ("x-content-sha256", &ContentId::of(&clip).to_string())];
    send(&both, &clip).await.assert_problem(400, "bad-request");
    assert_eq!(node.metric("starling_transcodes_total").await, 1, "one content");
    // Known beforehand, the body need not come, by either header.
    let known = send(&[("content-digest", &digest(&clip))], &Bytes::from_static(b"anything")).await;
    assert_eq!(known.header("x-cache"), "hit");
}

/// An upload whose client waits to be asked for the body.
async fn expecting(node: &Node, target: &str, digest: &str, length: usize) -> (TcpStream, String) {
    expecting_with(node, target, digest, length, "").await
}

/// The same with further headers.
async fn expecting_with(
    node: &Node,
    target: &str,
    digest: &str,
    length: usize,
    headers: &str,
) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\n\
         x-content-sha256: {digest}\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = vec![0; 12];
    stream.read_exact(&mut first).await.unwrap();
    (stream, String::from_utf8(first).unwrap())
}

#[tokio::test]
async fn a_client_that_waits_is_asked_for_the_body_only_where_it_is_wanted() {
    let node = node();
    let clip = Clip::default().make();
    let digest = ContentId::of(&clip).to_string();
    let (mut stream, first) = expecting(&node, "/upload", &digest, clip.len()).await;
    assert_eq!(first, "HTTP/1.1 100");
    stream.write_all(&clip).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("HTTP/1.1 200 OK\r\n") && rest.contains("x-cache: miss"), "{rest:.400}");
    // Nobody sends it: it is known, too large, or asked for in vain.
    let (mut stream, first) = expecting(&node, "/upload", &digest, clip.len()).await;
    assert_eq!(first, "HTTP/1.1 200");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("x-cache: hit"));
    // A form has to come where it may name a profile yet, and only there.
    let form = "content-type: multipart/form-data; boundary=B\r\n";
    for (target, headers, status) in [
        ("/upload", form.to_owned(), 100),
        ("/upload?profile=360p", form.to_owned(), 200),
        ("/upload", format!("{form}x-profile: 360p\r\n"), 200),
        ("/upload?profile=720p", form.to_owned(), 100),
    ] {
        let (_, first) = expecting_with(&node, target, &digest, clip.len(), &headers).await;
        assert_eq!(first, format!("HTTP/1.1 {status}"), "{target} {headers}");
    }
    for (target, length, status) in
        [("/upload", 1 << 40, 413), ("/upload?profile=8k", 1000, 400), ("/nowhere", 1000, 404)]
    {
        let (_, first) = expecting(&node, target, &digest, length).await;
        assert_eq!(first, format!("HTTP/1.1 {status}"), "{target}");
    }
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--connections-per-client=2"));
    let first = TcpStream::connect(&node.http_address).await.unwrap();
    let _second = TcpStream::connect(&node.http_address).await.unwrap();
    let answer = raw(&node, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("/too-many-connections\""), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    // Another one has room.
    assert_eq!(health_from_elsewhere(&node).await, "HTTP/1.1 200 OK");
    drop(first);
    eventually("there is room again", async || {
        let answer =
            raw(&node, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        answer.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

/// The status line of `GET /health` as another client gets it.
async fn health_from_elsewhere(node: &Node) -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(node.http_address.parse().unwrap()).await.unwrap();
    other.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

async fn connections(node: &Node, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(&node.http_address);
    futures_util::future::try_join_all((0..count).map(connect)).await.unwrap()
}

#[tokio::test]
async fn a_flood_that_is_turned_away_shuts_nobody_out() {
    let options = NodeOptions::new("node1", "FRA").arg("--connections-max=16");
    let node = Node::start(options.arg("--connections-per-client=2"));
    let before = node.descriptors();
    let begun = Instant::now();
    // None of them reads or ends.
    let flood = connections(&node, 400).await;
    assert_eq!(health_from_elsewhere(&node).await, "HTTP/1.1 200 OK");
    let open = node.descriptors();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "waited for the flood: {took:?}");
    assert!(open < before + 40, "{open} descriptors, {before} before");
    // Two are served, some of the others are told why they are not.
    let answers = flood.into_iter().skip(2).map(async |mut stream| {
        let mut answer = Vec::new();
        // Who is not told may find the connection reset.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    });
    let answers = futures_util::future::join_all(answers).await;
    let told = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429 ")).count();
    let closed = answers.iter().filter(|answer| answer.is_empty()).count();
    assert!(told > 0 && closed > told && told + closed == answers.len(), "{told} told, {closed} closed");
}

/// A connection from this address that says nothing yet.
async fn connection_from(node: &Node, from: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(node.http_address.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn connections_without_a_request_keep_nobody_out() {
    let options = NodeOptions::new("node1", "FRA").arg("--connections-max=8");
    let node = Node::start(options.arg("--connections-per-client=4"));
    let mut idle = Vec::new();
    for at in 0..8 {
        let mut stream = connection_from(&node, if at < 4 { "127.0.0.3" } else { "127.0.0.4" }).await;
        // Half of them have begun to say something.
        if at % 2 == 0 {
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
        }
        idle.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(health_from_elsewhere(&node).await, "HTTP/1.1 200 OK");
    // Ten seconds are what a head may take: it was not waited for that.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn requests_of_strangers_on_all_connections_shut_out_no_member() {
    let options = NodeOptions::new("node1", "FRA").arg("--connections-max=4");
    let node = Node::start(options.arg("--connections-per-client=4").arg("--incoming-bytes=1GB"));
    let peer = Node::start(NodeOptions::new("node2", "FRA").join(&node.gossip));
    peer.logged("joined", |line| line["member"] == "node1").await;
    node.logged("joined", |line| line["member"] == "node2").await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut stream = connection_from(&node, "127.0.0.3").await;
        let head =
            b"POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\nexpect: 100-continue\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Asked for its body: it is under way.
        let mut line = [0; 25];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
        busy.push(stream);
    }
    let mut stranger = connection_from(&node, "127.0.0.4").await;
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("/connections-full\""), "{answer}");
    // The peer's address is 127.0.0.1, as the other tests' clients'.
    let answer = raw(&node, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_head_has_an_end() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let request = |bytes: usize| {
        let value = "x".repeat(bytes);
        format!("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-long: {value}\r\n\r\n")
    };
    let answer = raw(&node, request(30_000).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = raw(&node, request(33_000).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // One that goes on and on is not kept.
    let mut stream = connection_from(&node, "127.0.0.3").await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    let mut sent = 0;
    while stream.write_all(&[b'x'; 4096]).await.is_ok() {
        sent += 4096;
        assert!(sent < 64 << 20, "{sent} bytes of a head were taken");
    }
}

#[tokio::test]
async fn a_low_soft_limit_on_open_files_is_raised() {
    let mut options = NodeOptions::new("node1", "FRA");
    options.ulimit = Some("-Sn 64");
    let node = Node::start(options);
    let _idle = connections(&node, 200).await;
    assert_eq!(health_from_elsewhere(&node).await, "HTTP/1.1 200 OK");
    node.http.upload(Clip::default().make()).await.assert_video();
}

#[tokio::test]
async fn a_low_hard_limit_on_open_files_means_fewer_connections_for_each() {
    let mut options = NodeOptions::new("node1", "FRA");
    options.ulimit = Some("-n 500");
    let node = Node::start(options);
    let warning = |line: &serde_json::Value| line["open_files"] == 500 && line["connections_max"] == 4096;
    let told = "too few open files for --connections-max: fewer connections are served; raise the hard limit \
                (ulimit -Hn, LimitNOFILE=, docker run --ulimit nofile=), or lower --connections-max";
    let served = node.logged(told, warning).await["connections"].as_u64().unwrap();
    assert!((20..100).contains(&served), "{served}");
    // A quarter for one client.
    let _idle = connections(&node, served as usize / 4).await;
    let answer = raw(&node, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_eq!(health_from_elsewhere(&node).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn parts_and_conditions_of_a_result() {
    let node = node();
    let clip = Clip::default().make();
    let whole = node.http.upload(clip.clone()).await;
    let path = format!("/objects/{}/360p", ContentId::of(&clip));
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        node.http.send(method, &path, headers, Bytes::new()).await.unwrap()
    };
    let total = whole.body.len();
    let none = ask(Method::GET, &[("range", "bytes=99999999-")]).await;
    none.assert_problem(416, "no-such-range");
    assert_eq!(none.header("content-range"), format!("bytes */{total}"));
    assert_eq!(none.header("cache-control"), "no-store");
    let other = ask(Method::GET, &[("if-match", "\"another\"")]).await;
    other.assert_problem(412, "precondition-failed");
    let tag = whole.header("etag").to_owned();
    let list = format!("\"a\", W/{tag}, \"b\"");
    for method in [Method::GET, Method::HEAD] {
        let same = ask(method.clone(), &[("if-none-match", &list), ("range", "bytes=0-1")]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        assert_eq!(same.header("etag"), tag);
        assert!(!same.headers.contains_key("content-length"), "{method}: not of the result: {same:?}");
        let all = ask(method.clone(), &[("range", "bytes=0-1,5-9")]).await;
        assert_eq!((all.status.as_u16(), all.header("content-length")), (200, total.to_string().as_str()));
        let part = ask(method.clone(), &[("range", "bytes=-5"), ("if-range", &tag)]).await;
        assert_eq!(part.header("repr-digest"), digest(&whole.body));
        // RFC 9110, section 14.2: a range is for GET alone.
        let (status, length) = if method == Method::GET { (206, 5) } else { (200, total) };
        assert_eq!(
            (part.status.as_u16(), part.header("content-length")),
            (status, length.to_string().as_str())
        );
        let range = format!("bytes {}-{}/{total}", total - 5, total - 1);
        assert_eq!(part.header("content-range"), if status == 206 { &range } else { "" });
    }
    assert_eq!(ask(Method::HEAD, &[("range", "bytes=99999999-")]).await.status, 200);
}

#[tokio::test]
async fn a_form_says_what_it_wants_before_or_behind_its_file() {
    let node = node();
    let clip = Clip::default().make();
    let file = |name: &str| {
        let head = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), &clip[..]].concat()
    };
    let profile =
        |name: &str| format!("Content-Disposition: form-data; name=\"profile\"\r\n\r\n{name}").into_bytes();
    let send = async |target: &str, parts: &[Vec<u8>]| {
        let mut body = Vec::new();
        for part in parts {
            body.extend_from_slice(b"--B\r\n");
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--B--\r\n");
        let headers = [("content-type", "multipart/form-data; boundary=B")];
        node.http.send(Method::POST, target, &headers, body.into()).await.unwrap()
    };
    // As curl -F file=@clip.mp4 -F profile=480p sends it.
    for parts in [[file("a.mp4"), profile("480p")], [profile("480p"), file("a.mp4")]] {
        let answer = send("/upload", &parts).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"a.480p.mp4\"");
    }
    send("/upload?profile=360p", &[file("a.mp4"), profile("480p")]).await.assert_video();
    let refused: [(&[Vec<u8>], &str); 5] = [
        (&[file("a.mp4"), profile("8k")], "unknown-profile"),
        (&[profile("8k"), file("a.mp4")], "unknown-profile"),
        (&[profile("360p"), file("a.mp4"), profile("480p")], "bad-request"),
        (&[file("a.mp4"), file("b.mp4")], "bad-request"),
        (&[profile("360p")], "bad-request"),
    ];
    for (parts, slug) in refused {
        send("/upload", parts).await.assert_problem(400, slug);
    }
    assert_nothing_left(&node).await;
    assert_eq!(node.metric("starling_transcodes_total").await, 2);
}

/// The one that each answer has, also to what is no request.
#[track_caller]
fn request_id(answer: &str) -> String {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    let id = lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "x-request-id");
    id.unwrap_or_else(|| panic!("no request id in {answer}")).1.to_owned()
}

#[tokio::test]
async fn requests_that_no_client_should_send() {
    let node = node();
    let clip = Clip::default().make();
    let packed = node.http.upload_with("/upload", &[("content-encoding", "gzip")], clip.clone()).await;
    packed.assert_problem(415, "not-a-video");
    node.http.upload_with("/upload", &[("content-encoding", "identity")], clip.clone()).await.assert_video();
    let post = "POST /upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let get = "GET /health HTTP/1.1\r\nhost: localhost\r\n";
    let odd: [(String, &str); 16] = [
        (format!("{get}host: localhost\r\nconnection: close\r\n\r\n"), "400"),
        ("GET /health HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n".into(), "400"),
        ("GET /health HTTP/1.1\r\nconnection: close\r\n\r\n".into(), "400"),
        ("GET /health HTTP/1.0\r\n\r\n".into(), "200"),
        ("GET /health\r\n\r\n".into(), "400"),
        (format!("{get}x: a\r\n b\r\n\r\n"), "400"),
        (format!("{get}x: a\0b\r\n\r\n"), "400"),
        (format!("{get}{}\r\n", "x: y\r\n".repeat(200)), "431"),
        (
            "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".into(),
            "404",
        ),
        (format!("{post}\r\n"), "400"),
        (format!("{post}content-length: 0\r\n\r\n"), "400"),
        (format!("{post}content-length: -5\r\n\r\nhello"), "400"),
        (format!("{post}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!"), "400"),
        (format!("{post}transfer-encoding: gzip\r\n\r\nhello"), "400"),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"), "400"),
        (format!("{post}content-type: multipart/form-data\r\ncontent-length: 5\r\n\r\nhello"), "400"),
    ];
    let mut ids = Vec::new();
    for (request, status) in odd {
        let answer = raw(&node, request.as_bytes()).await;
        let version_1_0 = request.contains("HTTP/1.0");
        let start = if version_1_0 { "HTTP/1.0 " } else { "HTTP/1.1 " };
        assert!(answer.starts_with(&format!("{start}{status} ")), "{request:?}: {answer}");
        ids.push(request_id(&answer));
    }
    // One behind the other, the refused one among them: each has its answer, in order.
    let many = format!(
        "{get}\r\n{}{get}connection: close\r\n\r\n",
        post.replace("connection: close\r\n", "content-length: 5\r\n\r\nhello")
    );
    let answers = raw(&node, many.as_bytes()).await;
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "415", "200"]);
    ids.extend(answers.split("HTTP/1.1 ").skip(1).map(request_id));
    // What has not changed, and what has no part in it.
    let tag = node.http.upload(clip.clone()).await.header("etag").to_owned();
    let path = format!("/objects/{}/360p", ContentId::of(&clip));
    for (header, value, status) in [("if-none-match", tag.as_str(), 304), ("range", "bytes=99999999-", 416)] {
        let answer = node.http.send(Method::GET, &path, &[(header, value)], Bytes::new()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status);
        ids.push(answer.header("x-request-id").to_owned());
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each has its own: {ids:?}");
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    assert_nothing_left(&node).await;
}
