//! What the node's own clocks end: tests that wait for it, need next to no CPU, and so run beside the others.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bad_input::{assert_goes_on, assert_nothing_left, raw};
use crate::support::{Clip, Node, NodeOptions};

#[tokio::test]
async fn a_client_that_stops_sending() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let mut request = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        clip.len()
    )
    .into_bytes();
    request.extend_from_slice(&clip[..clip.len() / 2]);
    // Silent, but still there: told so.
    let answer = raw(&node, &request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/client-too-slow\"") && answer.contains("nothing came for 10s"), "{answer}");
    // Gone: nobody to tell, and nothing stays.
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    drop(stream);
    node.logged("upload refused", |line| line["status"] == 400).await;
    assert_goes_on(&node).await;
}

/// Sends these bytes again and again, as chunks, until the node closes; the status that it answers with.
async fn endless(node: &Node, bytes: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(&node.http_address).await.unwrap().into_split();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    let sender = tokio::spawn(async move {
        let head = b"POST /upload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = write.write_all(head).await;
        while sent.is_ok() {
            sent = write.write_all(&chunk).await;
        }
    });
    let mut answer = vec![0; 12];
    read.read_exact(&mut answer).await.unwrap();
    drop(read);
    sender.await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_without_end_is_ended() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--upload-bytes-max=1MB"));
    let clip = Clip::default().make();
    // In pieces of a size with the clip: what is refused is read on for so many bytes, and small pieces take long.
    let no_video = Bytes::from(b"no video at all, and without end ".repeat(4_000));
    for (bytes, status) in [(&clip, 413), (&no_video, 415)] {
        assert_eq!(endless(&node, bytes).await, format!("HTTP/1.1 {status}"));
        assert_nothing_left(&node).await;
    }
    node.http.upload(clip).await.assert_video();
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_need_be() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let form = "content-type: multipart/form-data; boundary=B\r\nx-deadline-ms: 3600000\r\ncontent-length: 10000000\r\n\r\n--B\r\n";
    let mut behind = format!("POST /upload HTTP/1.1\r\nhost: localhost\r\n{form}").into_bytes();
    behind.extend_from_slice(b"Content-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n");
    behind.extend_from_slice(&clip);
    behind.extend_from_slice(b"\r\n--B\r\n");
    let requests = [
        // Before a form's file, behind it, in a document for a peer.
        format!("POST /upload HTTP/1.1\r\nhost: localhost\r\n{form}").into_bytes(),
        behind,
        b"POST /internal/offers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
          content-length: 100\r\n\r\n{"
            .to_vec(),
        // A connection at rest is closed, too.
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
    ];
    let answers = futures_util::future::join_all(requests.iter().map(|request| raw(&node, request))).await;
    let [silent @ .., at_rest] = &answers[..] else { panic!("an answer each") };
    for answer in silent {
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("/client-too-slow\""), "{answer}");
    }
    assert!(at_rest.starts_with("HTTP/1.1 200 "), "{at_rest}");
    assert_nothing_left(&node).await;
}
