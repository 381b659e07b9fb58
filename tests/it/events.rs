//! `GET /events` and `starling events`: what happens as one stream, for scripts that wait for it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::Value;
use starling::client::{Client, ClientError, Endpoint, Events, Wanted};

use crate::support::{Clip, Cluster, Node, NodeOptions, PATIENCE};

fn starling_events(node: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(["events", "--node", node]).args(args).env_remove("RUST_LOG").env_remove("STARLING_NODE");
    command
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A command that goes on printing events as JSON; killed when dropped.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
    ids: BTreeSet<String>,
}

impl Follower {
    fn start(node: &str, args: &[&str]) -> Self {
        let mut command = starling_events(node, &["--follow", "--json"]);
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(serde_json::from_str(&line.unwrap()).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, ids: BTreeSet::new() }
    }

    /// Waits for an event; none is told twice.
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not told: {what}"));
            if let Some(id) = event["id"].as_str() {
                assert!(self.ids.insert(id.to_owned()), "told twice: {event}");
            }
            if wanted(&event) {
                return event;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_waits_for_a_node_to_fail_and_goes_on_when_the_node_that_tells_it_restarts() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let (first, second) = (cluster.nodes[0].http_address.clone(), cluster.nodes[1].http_address.clone());
    let mut follower = Follower::start(&second, &["--kind", "membership,node"]);
    let waits = tokio::spawn(run(starling_events(&first, &["--follow", "--until", "failed node3"])));
    cluster.nodes[2].kill();
    let waited = waits.await.unwrap();
    assert!(waited.status.success(), "{waited:?}");
    let last = text(&waited.stdout).lines().last().unwrap().to_owned();
    assert!(last.contains(" failed node3 ") && last.contains(" zone=BOM"), "{last}");
    let failed = follower.wait_for("failed", |event| event["event"] == "failed");
    assert_eq!((&failed["member"], &failed["node"]), (&"node3".into(), &"node2".into()));

    // One that listens does not keep a node from leaving.
    assert!(cluster.nodes[1].terminate().await.success());
    follower.wait_for("leaving", |event| event["event"] == "leaving");
    cluster.nodes[1].kill_and_restart();
    let gap = follower.wait_for("gap", |event| event["event"] == "gap");
    assert_eq!(gap["reason"], "restarted", "{gap}");
    follower.wait_for("joined", |event| event["event"] == "joined" && event["member"] == "node1");
    drop(follower);

    // All that is kept, and then an end; from an id on, only what came after it.
    let kept = run(starling_events(&first, &["--json", "--kind", "membership"])).await;
    assert!(kept.status.success(), "{kept:?}");
    let kept: Vec<Value> =
        text(&kept.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kept.iter().all(|event| event["kind"] == "membership" && event["node"] == "node1"), "{kept:?}");
    let place = kept.iter().position(|event| event["event"] == "failed").unwrap();
    let id = kept[place]["id"].as_str().unwrap();
    let (client, endpoint) = (Client::new(), first.parse::<Endpoint>().unwrap());
    let wanted = Wanted { kinds: Some("membership".into()), ..Wanted::default() };
    let mut rest = Events::open(&client, &endpoint, &wanted, Some(id)).await.unwrap();
    let (next, _) = rest.next().await.unwrap().unwrap();
    assert_eq!(next.id.as_deref(), kept.get(place + 1).and_then(|event| event["id"].as_str()), "{kept:?}");
    let in_vain = ["--follow", "--new", "--until", "failed node9", "--timeout", "100ms"];
    let in_vain = run(starling_events(&first, &in_vain)).await;
    assert_eq!(in_vain.status.code(), Some(1));
    assert!(text(&in_vain.stderr).contains("without failed node9"), "{in_vain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_told_from_its_queue_to_its_answer_and_listeners_are_bounded() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let content = starling::content::ContentId::of(&clip);
    let mut follower = Follower::start(&node.http_address, &["--kind", "job,work"]);
    node.http.upload(clip).await.assert_video();
    node.http.upload("no video".into()).await.assert_problem(415, "not-a-video");
    for name in ["enqueued", "begun", "made", "upload_served"] {
        let event = follower.wait_for(name, |event| event["event"] == name);
        assert_eq!(
            (&event["content"], &event["profile"]),
            (&content.short().into(), &"360p".into()),
            "{event}"
        );
    }
    let refused = follower.wait_for("upload_refused", |event| event["event"] == "upload_refused");
    assert_eq!((&refused["status"], &refused["problem"]), (&415.into(), &"not-a-video".into()), "{refused}");

    let (client, endpoint) = (Client::new(), node.http_address.parse::<Endpoint>().unwrap());
    let wanted = Wanted { follow: true, ..Wanted::default() };
    let mut listeners = Vec::new();
    let refused = loop {
        match Events::open(&client, &endpoint, &wanted, None).await {
            Ok(events) => listeners.push(events),
            Err(error) => break error,
        }
    };
    // The follower is one of sixteen.
    assert_eq!(listeners.len(), 15);
    assert!(matches!(&refused, ClientError::Refused { status: 429, .. }), "{refused}");
    assert!(refused.to_string().contains("16 times"), "{refused}");
    node.http.get("/events?kind=members").await.assert_problem(400, "bad-request");

    // What asks wrongly, or asks nobody, is told so and ends.
    let nobody = run(starling_events("127.0.0.1:1", &["--follow"])).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("cannot reach http://127.0.0.1:1"), "{nobody:?}");
    let unknown = run(starling_events(&node.http_address, &["--kind", "members"])).await;
    assert_eq!(unknown.status.code(), Some(2));
}
