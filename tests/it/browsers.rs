//! What a web page can make its visitor's browser send to a node, and what it gets.

use bytes::Bytes;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bad_input::{assert_nothing_left, raw};
use crate::support::{Answer, Clip, Cluster, Node, NodeOptions};

/// What Chromium sends with a form, or `fetch` in mode `no-cors`, of a page elsewhere: no preflight asks before.
const PAGE: [(&str, &str); 5] = [
    ("origin", "https://evil.example"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-dest", "empty"),
    ("content-type", "text/plain"),
];

async fn send(node: &Node, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    node.http.send(method, path, headers, Bytes::copy_from_slice(body)).await.unwrap()
}

#[tokio::test]
async fn a_strangers_page_gets_nothing_done() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    send(&node, Method::POST, "/upload", &PAGE, &clip).await.assert_problem(403, "cross-origin");
    // Older browsers say where the page is from, and no more; an image says no more than that it is from elsewhere.
    for headers in [&PAGE[..1], &PAGE[1..4]] {
        for (method, path) in
            [(Method::POST, "/upload"), (Method::GET, "/members"), (Method::GET, "/metrics")]
        {
            let answer = send(&node, method, path, headers, b"").await;
            answer.assert_problem(403, "cross-origin");
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
        }
    }
    let asks = [PAGE[0], ("access-control-request-method", "POST")];
    send(&node, Method::OPTIONS, "/upload", &asks, b"").await.assert_problem(403, "cross-origin");
    let link =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(send(&node, Method::GET, "/members", &link, b"").await.status, 200);
    // The node's own pages, and what is no browser.
    let own = format!("http://{}", node.http_address);
    let own = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    send(&node, Method::POST, "/upload", &own, &clip).await.assert_video();
    node.http.upload(clip).await.assert_video();
    assert_nothing_left(&node).await;
    assert_eq!(node.metric("starling_transcodes_total").await, 1);
}

#[tokio::test]
async fn no_page_reaches_the_routes_between_nodes() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--allow-origin=*"));
    let own = format!("http://{}", node.http_address);
    let job = "/internal/jobs/00000000000000000000000000000000";
    for path in ["/internal/offers", "/internal/leases", "/internal/leases/end", "/internal/offers/end", job]
    {
        for headers in [&PAGE[..], &[("origin", own.as_str()), ("content-type", "application/json")]] {
            send(&node, Method::POST, path, headers, b"{}").await.assert_problem(403, "cross-origin");
        }
        // What forms and pages can send without asking, from a browser that says nothing of the page.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
        {
            let answer = send(&node, Method::POST, path, &[("content-type", kind)], b"{}").await;
            answer.assert_problem(415, "wrong-media-type");
        }
        let two = [("content-type", "application/json"), ("content-type", "text/plain")];
        send(&node, Method::POST, path, &two, b"{}").await.assert_problem(415, "wrong-media-type");
        send(&node, Method::POST, path, &[], b"{}").await.assert_problem(415, "wrong-media-type");
        // And from a node.
        let answer = node.http.ask_node(path, "{}").await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{answer:?}");
    }
    let asks = [PAGE[0], ("access-control-request-method", "POST")];
    let leave = send(&node, Method::OPTIONS, "/internal/offers", &asks, b"").await;
    // To ask for leave is no harm; what would be sent with it is refused as above.
    assert!(!leave.headers.contains_key("access-control-allow-credentials"), "{leave:?}");
}

/// A GET under this name; the answer's status line and all.
async fn under(node: &Node, host: &str) -> String {
    let request = format!("GET /health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    raw(node, request.as_bytes()).await
}

#[tokio::test]
async fn a_name_that_was_rebound_to_a_node_is_not_answered() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        if options.name == "node1" {
            options.arg("--allow-host=transcode.example.com,.in.example")
        } else {
            options
        }
    })
    .await;
    let node = &cluster.nodes[0];
    for known in
        ["localhost:5001", "127.0.0.1", "192.0.2.1:80", "[::1]:5000", "node1", "NODE2:5000", "a.in.example"]
    {
        let answer = under(node, known).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{known}: {answer}");
    }
    for stranger in ["evil.example:5001", "node3", "127.0.0.1.evil.example"] {
        let answer = under(node, stranger).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("/unknown-host\""), "{answer}");
        let name = stranger.split(':').next().unwrap();
        assert!(answer.contains(&format!("--allow-host {name} (STARLING_ALLOW_HOST)")), "{answer}");
    }
    // A client that first sends it all gets to read why it was refused.
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    let video = vec![0; 20_000_000];
    let head =
        format!("POST /upload HTTP/1.1\r\nhost: evil.example\r\ncontent-length: {}\r\n\r\n", video.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&video).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 421");
}

#[tokio::test]
async fn a_page_that_is_allowed_uploads_and_reads_the_answer() {
    let page = "https://app.example";
    let node = Node::start(NodeOptions::new("node1", "FRA").arg(format!("--allow-origin={page}")));
    let asks = [
        ("origin", page),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-filename"),
    ];
    let leave = send(&node, Method::OPTIONS, "/upload", &asks, b"").await;
    assert_eq!((leave.status.as_u16(), leave.body.len()), (204, 0));
    assert_eq!(leave.header("access-control-allow-origin"), page);
    assert_eq!(leave.header("access-control-allow-methods"), "GET, HEAD, POST, PATCH, DELETE");
    assert!(leave.header("access-control-allow-headers").contains("x-filename"), "{leave:?}");
    assert_eq!(leave.header("vary"), "origin");
    let from = [("origin", page), ("sec-fetch-site", "cross-site"), ("content-type", "video/mp4")];
    let video = send(&node, Method::POST, "/upload", &from, &Clip::default().make()).await;
    video.assert_video();
    let refused = send(&node, Method::POST, "/upload", &from, b"text").await;
    refused.assert_problem(415, "not-a-video");
    for answer in [&video, &refused] {
        assert_eq!(answer.header("access-control-allow-origin"), page);
        assert!(answer.header("access-control-expose-headers").contains("x-served-by"), "{answer:?}");
    }
    // To others it says that the answer would be another one for another page, and no more.
    let plain = node.http.get("/members").await;
    assert_eq!(plain.header("vary"), "origin");
    assert!(!plain.headers.contains_key("access-control-allow-origin"), "{plain:?}");
    send(&node, Method::GET, "/members", &[("origin", "https://other.example")], b"")
        .await
        .assert_problem(403, "cross-origin");
}

#[tokio::test]
async fn every_answer_is_taken_for_what_it_says_it_is() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let mut answers = vec![node.http.upload(Clip::default().make()).await];
    for path in ["/health", "/members", "/metrics", "/nowhere", "/objects/x/y"] {
        answers.push(node.http.get(path).await);
    }
    answers.push(send(&node, Method::POST, "/upload", &PAGE, b"").await);
    for answer in answers {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-site", "{answer:?}");
    }
}
