//! `--private-results`: to know a video's digest is not enough to get what was made of it.

use bytes::Bytes;
use hyper::Method;
use starling::config::KeyFile;
use starling::content::ContentId;

use crate::support::{Answer, Clip, Node, NodeOptions};

fn node(folder: &tempfile::TempDir, name: &str) -> Node {
    let key = folder.path().join("key");
    if !key.exists() {
        KeyFile::create(&key).unwrap();
    }
    let key = format!("--key-file={}", key.display());
    Node::start(NodeOptions::new(name, "FRA").arg("--private-results").arg(key))
}

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    node.http.send(Method::GET, path, headers, Bytes::new()).await.unwrap()
}

#[tokio::test]
async fn a_digest_alone_gives_nothing_and_a_token_gives_one_result() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder, "node1");
    let clip = Clip::default().make();
    let content = ContentId::of(&clip);
    let path = format!("/objects/{content}/360p");
    // The same before it is there and after: nobody learns whether it is.
    get(&node, &path, &[]).await.assert_problem(401, "private-result");
    let first = node.http.upload(clip.clone()).await;
    first.assert_video();
    assert_eq!(first.header("cache-control"), "private, max-age=31536000, immutable");
    let refused = get(&node, &path, &[]).await;
    refused.assert_problem(401, "private-result");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let digest = content.to_string();
    let known = node.http.upload_with("/upload", &[("x-content-sha256", &digest)], "anything".into()).await;
    known.assert_problem(415, "not-a-video");

    let location = first.header("content-location").to_owned();
    let token = location.strip_prefix(&format!("{path}?token=")).unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    for answer in [get(&node, &location, &[]).await, get(&node, &path, &[("authorization", &bearer)]).await] {
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &first.body));
        assert_eq!(answer.header("cache-control"), "private, max-age=31536000, immutable");
    }
    let part = get(&node, &location, &[("range", "bytes=0-3")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &first.body[..4]));
    // It is of this result alone, and a member of the cluster knows it, too: there it is not held.
    let other = format!("/objects/{}/360p?token={token}", ContentId::of(b"another"));
    get(&node, &other, &[]).await.assert_problem(401, "private-result");
    get(&node, &format!("/objects/{content}/720p?token={token}"), &[])
        .await
        .assert_problem(401, "private-result");
    let another = self::node(&folder, "node2");
    get(&another, &location, &[]).await.assert_problem(404, "not-found");
    // Whoever has all of it, has it.
    let again = node.http.upload_with("/upload", &[("x-content-sha256", &digest)], clip).await;
    again.assert_video();
    assert_eq!((again.header("x-cache"), again.header("content-location")), ("hit", location.as_str()));
    assert_eq!(node.metric("starling_transcodes_total").await, 1);
}

#[tokio::test]
async fn a_result_that_is_for_all_says_where_it_is() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let first = node.http.upload(clip.clone()).await;
    assert_eq!(first.header("content-location"), format!("/objects/{}/360p", ContentId::of(&clip)));
    assert_eq!(get(&node, first.header("content-location"), &[]).await.body, first.body);
    assert_eq!(first.header("cache-control"), "max-age=31536000, immutable");
}
