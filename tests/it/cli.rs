//! `starling upload`, `starling members` and `starling config`, as people and scripts use them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Clip, Node, NodeOptions, probe_video};

pub fn starling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("STARLING_NODE")
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn json_lines(output: &Output) -> Vec<Value> {
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

    std::fs::create_dir(clips.path().join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(file("pipe.mp4")).status().unwrap().success());
    // A pipe that no program writes to is not waited for.
    let files = ["folder", "pipe.mp4", "good.mp4", "text.mp4", "empty.mp4", "missing.mp4"].map(file);
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
    assert_eq!(line("folder")["error"], "no video in this folder");
    assert!(line("pipe.mp4")["error"].as_str().unwrap().contains("with - in the place"));
    assert_eq!(line("text.mp4")["output"], Value::Null);
    assert!(stderr(&output).contains("text.mp4: "), "{}", stderr(&output));
    assert!(stderr(&output).contains("5 of 6 files failed"), "{}", stderr(&output));
    assert_eq!(files_in(&out), ["good.360p.mp4"]);

    let output = starling(&["upload", files[2], "--node", &node.http_address, "--profile", "no such/one"]);
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
    // It says so, and why: the user sees where the file did not go.
    let told = format!("another node stands in: cannot reach http://{down}: Connection refused");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));

    // What is wrong here is told before what may be wrong there.
    let output = starling(&["upload", "/none.mp4", "--node", &down, "-o", out]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/none.mp4: cannot read it: No such file"), "{}", stderr(&output));

    let output = starling(&["upload", file, "--node", &down, "-o", out]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("cannot reach http://{down}: Connection refused")),
        "{}",
        stderr(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_from_standard_input_is_sent_again_to_another_node() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clips = clips(&["clip.mp4"]);
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let both = format!("{down},{}", node.http_address);
    let out = clips.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(["upload", "-", "--json", "--node", &both, "-o", out.to_str().unwrap()])
        .env_remove("RUST_LOG")
        .env_remove("STARLING_NODE")
        .stdin(std::fs::File::open(clips.path().join("clip.mp4")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("another node stands in: "), "{}", stderr(&output));
    let bytes = std::fs::metadata(clips.path().join("clip.mp4")).unwrap().len();
    assert_eq!(json_lines(&output)[0]["bytes_in"], bytes);
    assert_eq!(files_in(&out), ["stdin.360p.mp4"]);
}

/// The answer of a made-up node to the question who it is, which comes before anything else.
fn say_who(stream: &mut std::net::TcpStream, name: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"GET /health "), "{}", String::from_utf8_lossy(&head));
    let body = json!({"status": "ok", "node": name}).to_string();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
}

#[test]
fn a_result_that_breaks_off_is_no_result() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // A node that dies while it sends the result.
    let node = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        say_who(&mut stream, "node1");
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

    let output = starling(&["members", "--node", "ftp://localhost"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nodes speak http"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_is_told_of_with_its_result() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = tempfile::tempdir().unwrap();
    let whole = Clip { seconds: 3.0, container: "mkv", ..Clip::default() }.make();
    let file = folder.path().join("cut.mkv");
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let run = |more: &[&str]| {
        let (file, out) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        let output = starling(&[&["upload", file, "--node", &node.http_address, "-o", out], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let said = stdout(&run(&[]));
    assert!(
        said.contains("; the file is damaged or cut off: 1.") && said.ends_with("s could be read\n"),
        "{said}"
    );
    let line = json_lines(&run(&["--json"])).remove(0);
    assert!(line["damage"].as_str().unwrap().contains("could be read"), "{line}");
    std::fs::write(&file, &whole).unwrap();
    assert!(json_lines(&run(&["--json"])).remove(0)["damage"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_more_than_one_file_are_unpacked_into_a_folder() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clips = clips(&["clip.mp4"]);
    let clip = clips.path().join("clip.mp4").to_str().unwrap().to_owned();
    let out = clips.path().join("out");
    let upload = |profile: &str, more: &[&str]| {
        let out = out.to_str().unwrap();
        let args = ["upload", "--node", &node.http_address, "-o", out, "--json", "--profile", profile, &clip];
        let output = starling(&[&args[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let line = json_lines(&output).remove(0);
        std::path::PathBuf::from(line["output"].as_str().unwrap())
    };
    assert_eq!(upload("sprite", &[]), out.join("clip.sprite"));
    assert_eq!(files_in(&out.join("clip.sprite")), ["sprite-1.jpg", "sprite.vtt"]);
    // As an older result that is one file: replaced, and nothing else is.
    std::fs::write(out.join("clip.sprite/sprite.vtt"), "old").unwrap();
    std::fs::write(out.join("clip.sprite/notes.txt"), "mine").unwrap();
    upload("sprite", &[]);
    assert_eq!(files_in(&out.join("clip.sprite")), ["notes.txt", "sprite-1.jpg", "sprite.vtt"]);
    assert!(std::fs::read_to_string(out.join("clip.sprite/sprite.vtt")).unwrap().starts_with("WEBVTT\n"));
    assert_eq!(upload("360p,sprite", &[]), out.join("clip.360p+sprite"));
    assert_eq!(files_in(&out.join("clip.360p+sprite")), ["360p", "sprite"]);
    let video = std::fs::read(out.join("clip.360p+sprite/360p/360p.mp4")).unwrap();
    assert_eq!(probe_video(&video).0, "h264");
    // In words, each node and each route once.
    let said = starling(&[
        "upload",
        "--node",
        &node.http_address,
        "-o",
        out.to_str().unwrap(),
        "--profile",
        "360p, sprite",
        &clip,
    ]);
    let said = stdout(&said);
    assert!(said.ends_with("s, from the cache of node1, route node1/FRA\n"), "{said}");
    assert_eq!(upload("sprite", &["--keep-tar"]), out.join("clip.sprite.tar"));
    assert_eq!(upload("gif", &[]), out.join("clip.gif.gif"));
    assert_eq!(
        files_in(&out),
        ["clip.360p+sprite", "clip.gif.gif", "clip.sprite", "clip.sprite.tar"],
        "nothing is left of what was on its way"
    );
}

#[test]
fn a_configuration_is_printed_and_checked() {
    let example = stdout(&starling(&["config", "example"]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        starling(&["config", "check", file.to_str().unwrap()])
    };
    let good = check(&example.replace("#zone = \"default\"", "zone = \"FRA\""));
    assert_eq!(good.status.code(), Some(0), "{}", stderr(&good));
    assert!(stdout(&good).contains("in zone FRA, gossip 0.0.0.0:5000"), "{}", stdout(&good));
    for (text, told) in [
        ("workers = 0\n", "--workers (STARLING_WORKERS): 0 is out of range"),
        ("no-such-key = 1\n", "unknown field `no-such-key`"),
        ("key-file = \"/nowhere\"\n", "--key-file (STARLING_KEY_FILE): can't read /nowhere"),
    ] {
        let bad = check(text);
        assert_eq!(bad.status.code(), Some(2), "{text}");
        assert!(stderr(&bad).contains(told), "{text}: {}", stderr(&bad));
    }
    // All that is wrong is told at once, a line each, in the order of the file and then of the options.
    let bad = check(
        "workers = 0\nno-such-key = 1\nzone = \"FRA\"\ndeadline = 5\njoin = [\n \"a:1\",\n 7,\n]\nqueue = 0\n",
    );
    let told = stderr(&bad);
    let told: Vec<_> = told.lines().map(|line| line.trim_start_matches("starling config: ")).collect();
    let expected =
        ["line 2 (no-such-key = 1)", "line 4 (deadline = 5)", "line 7 (7,)", "--workers", "--queue"];
    assert_eq!((bad.status.code(), told.len()), (Some(2), expected.len()), "{told:?}");
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.contains(expected), "{expected}: {told:?}");
    }
    let script = folder.path().join("starling.bash");
    std::fs::write(&script, starling(&["completions", "bash"]).stdout).unwrap();
    let bash = format!("source {} && complete -p starling", script.display());
    let output = Command::new("bash").args(["-c", &bash]).output().unwrap();
    assert!(stdout(&output).contains("_starling"), "{}", stderr(&output));
    let pages = folder.path().join("man1");
    assert!(starling(&["man", pages.to_str().unwrap()]).status.success());
    assert!(files_in(&pages).contains(&"starling-token-create.1".to_owned()));
}

#[test]
fn a_file_where_a_folder_is_to_be_is_told_before_anything_is_done() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for args in [
        &["upload", "-", "--node=127.0.0.1:1", "-o", path][..],
        &["man", path],
        &["bench", "routing", "--output", path],
        &["lab", "--logs", path],
        &["lab", "--dir", path],
    ] {
        let output = starling(args);
        let told = stderr(&output);
        assert_eq!(
            (output.status.code(), told.contains("it is a file: give a folder")),
            (Some(1), true),
            "{args:?}: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_sent_and_what_is_refused_is_sent_again() {
    // One at a time: the others are refused with 429 until it is done.
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--uploads-per-client=1"));
    let clips = clips(&["a.mp4", "b.mp4", "c.mp4"]);
    std::fs::write(clips.path().join("notes.txt"), "no video").unwrap();
    let out = tempfile::tempdir().unwrap();
    let (folder, results) = (clips.path().to_str().unwrap(), out.path().to_str().unwrap());
    let output = starling(&["upload", folder, "--retry", "--node", &node.http_address, "-o", results]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(files_in(out.path()), ["a.360p.mp4", "b.360p.mp4", "c.360p.mp4"]);
    assert!(stderr(&output).contains("3 files done: "), "{}", stderr(&output));
}
