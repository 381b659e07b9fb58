//! `starling upload`, `starling members` and `starling sim`, as people and scripts use them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Clip, Node, NodeOptions, probe_video};

fn starling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("STARLING_NODE")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder with clips of these names and contents of their own.
fn clips(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (tag, name) in (100..).zip(names) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, Clip { tag, ..Clip::default() }.make()).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_come_back_under_names_of_their_own() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clips = clips(&["a/clip.mp4", "b/clip.mp4", "b/Übung 1.mp4"]);
    let file = |name: &str| clips.path().join(name).to_str().unwrap().to_owned();
    let out = clips.path().join("out");
    let (a, b, c) = (file("a/clip.mp4"), file("b/clip.mp4"), file("b/Übung 1.mp4"));
    let upload = |json: &[&str]| {
        let out = out.to_str().unwrap();
        starling(&[&["upload", &a, &b, &c, "--node", &node.http_address, "-o", out], json].concat())
    };

    let first = upload(&["--json"]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(stderr(&first), "", "no progress bar where no terminal is");
    let lines = json_lines(&first);
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["served_by"], "node1");
        assert_eq!(line["route"], "node1/FRA");
        assert_eq!(line["cache"], "miss");
        let output = std::fs::read(line["output"].as_str().unwrap()).unwrap();
        assert_eq!(line["bytes_out"], output.len());
        assert_eq!(probe_video(&output).0, "h264");
    }
    assert_eq!(files_in(&out), ["clip-2.360p.mp4", "clip.360p.mp4", "Übung 1.360p.mp4"]);

    // The same names again, not further ones; and a sentence for each.
    let second = upload(&[]);
    assert!(second.status.success(), "{}", stderr(&second));
    assert_eq!(stdout(&second).matches("from the cache of node1").count(), 3, "{}", stdout(&second));
    assert_eq!(files_in(&out).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_fails_the_run_and_leaves_nothing() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clips = clips(&["good.mp4"]);
    let file = |name: &str| clips.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(clips.path().join("text.mp4"), "this is text").unwrap();
    std::fs::write(clips.path().join("empty.mp4"), "").unwrap();
    let out = clips.path().join("out");

    let files = [file("good.mp4"), file("text.mp4"), file("empty.mp4"), file("missing.mp4")];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let rest = ["--node", &node.http_address, "-o", out.to_str().unwrap(), "--json"];
    let output = starling(&[&["upload"], &files[..], &rest].concat());
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&output);
    let line = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
    assert_eq!(line("good.mp4")["status"], 200);
    assert_eq!(line("text.mp4")["status"], 415);
    assert_eq!(line("empty.mp4")["status"], 400);
    assert_eq!(line("missing.mp4")["status"], Value::Null);
    assert!(line("missing.mp4")["error"].as_str().unwrap().contains("No such file"));
    assert_eq!(line("text.mp4")["output"], Value::Null);
    assert!(stderr(&output).contains("text.mp4: "), "{}", stderr(&output));
    assert!(stderr(&output).contains("3 of 4 files failed"), "{}", stderr(&output));
    assert_eq!(files_in(&out), ["good.360p.mp4"]);

    let output = starling(&["upload", files[0], "--node", &node.http_address, "--profile", "no such/one"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("[40"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_stands_in_for_one_that_is_down() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clips = clips(&["clip.mp4"]);
    let file = clips.path().join("clip.mp4");
    let (file, out) = (file.to_str().unwrap(), clips.path().to_str().unwrap());
    // Bound and let go: nobody listens there.
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();

    let both = format!("{down},{}", node.http_address);
    let output = starling(&["upload", file, "--node", &both, "-o", out]);
    assert!(output.status.success(), "{}", stderr(&output));

    let output = starling(&["upload", file, "--node", &down, "-o", out]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("cannot reach http://{down}: Connection refused")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_result_that_breaks_off_is_no_result() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // A node that dies while it sends the result.
    let node = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 65536];
        let mut seen = 0;
        while !request[..seen].ends_with(b"not a long video") {
            let read = stream.read(&mut request[seen..]).unwrap();
            assert!(read > 0, "the request broke off");
            seen += read;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nten bytes.").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    std::fs::write(&file, "not a long video").unwrap();
    let out = folder.path().join("out");
    let output =
        starling(&["upload", file.to_str().unwrap(), "--node", &address, "-o", out.to_str().unwrap()]);
    node.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lost the connection"), "{}", stderr(&output));
    assert_eq!(files_in(&out), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_as_table_and_as_the_nodes_own_json() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let output = starling(&["members", "--node", &format!("http://{}/", node.http_address)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("NAME   ZONE  STATE  INC"), "{text}");
    assert!(lines.next().unwrap().starts_with("node1  FRA   alive  0"), "{text}");
    assert!(text.contains("1 of 1 alive"), "{text}");

    let output = starling(&["members", "--json", "--node", &node.http_address]);
    let ours: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let theirs = node.http.json("/members").await;
    let keys = |value: &Value| value["members"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&theirs));
    assert_eq!(ours["members"][0]["name"], "node1");

    let output = starling(&["members", "--node", "https://localhost"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nodes speak http"), "{}", stderr(&output));
}

#[test]
fn a_simulation_says_which_faults_did_what() {
    let faults = ["--fault", "nat", "--fault", "upgrade", "--fault", "mtu"];
    let output = starling(&[&["sim", "--nodes", "8", "--duration", "8s", "--json"][..], &faults].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let report = &json_lines(&output)[0];
    assert!(report["fired"]["rebound"].as_u64() > Some(0), "{report}");
    assert_eq!(report["fired"]["upgraded"], 8);
    assert_eq!(report["fired"]["corrupted"], 0);
    assert_eq!((&report["false_failures"], &report["violations"]), (&json!(0), &json!([])));

    let table = stdout(&starling(&["sim", "--nodes", "5", "--duration", "8s", "--fault", "duplicate"]));
    let fired = table.lines().find(|line| line.contains("faults that fired")).expect("a row");
    assert!(fired.contains("duplicated ") && !fired.contains("corrupted"), "{fired}");

    let unknown = starling(&["sim", "--fault", "gremlins"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("non-transitive"), "it says which there are: {}", stderr(&unknown));
}
