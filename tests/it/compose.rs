//! The README's tour of compose.yaml, on a Docker engine of the test's own: five nodes in three zones, links shaped,
//! one killed, one cut off, more added, all taken down.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Clip, Http, eventually, skipped};

const PROJECT: &str = "starling-it";

/// A Docker engine that runs as long as the test does.
struct Engine {
    dockerd: Child,
    folder: tempfile::TempDir,
}

impl Engine {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        // Ends with the thread of the test, however that ends.
        let dockerd = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", "scripts/engine.sh"])
            .arg(folder.path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { dockerd, folder }
    }

    /// A command that talks to this engine. Debian's own client comes first: it can build.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("/usr/bin:/usr/sbin:{path}"))
            .env("DOCKER_HOST", format!("unix://{}", self.folder.path().join("docker.sock").display()))
            .env("DOCKER_BUILDKIT", "1")
            .env("COMPOSE_PROJECT_NAME", PROJECT)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.try_run(program, args);
        assert!(
            output.status.success(),
            "{program} {}: {}\n{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_run(&self, program: &str, args: &[&str]) -> Output {
        // A relative path with a slash would be looked up before the change of folder.
        let program = if program.starts_with("scripts/") {
            Path::new(env!("CARGO_MANIFEST_DIR")).join(program)
        } else {
            PathBuf::from(program)
        };
        self.command(program.to_str().unwrap()).args(args).output().unwrap()
    }

    fn compose(&self, args: &[&str]) -> String {
        self.run("docker-compose", args)
    }

    fn inside(&self, service: &str, words: &[&str]) -> Output {
        self.try_run("docker-compose", &[&["exec", "-T", service], words].concat())
    }

    async fn ready(&self) {
        eventually("the engine answers", async || self.try_run("docker", &["info"]).status.success()).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let down = self.try_run(
            "docker-compose",
            &["--profile", "workers", "--profile", "load", "down", "-v", "-t", "1"],
        );
        if !down.status.success() {
            eprintln!("compose down: {}", String::from_utf8_lossy(&down.stderr));
        }
        let stop = Command::new("kill").arg(self.dockerd.id().to_string()).status();
        if let Err(error) = stop.and_then(|_| self.dockerd.wait()) {
            eprintln!("dockerd: {error}");
        }
    }
}

fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a Docker engine of the test's own needs root".to_owned());
    }
    let tools = ["dockerd", "docker-compose", "mmdebstrap", "setpriv"];
    let found = |tool: &&str| {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(tool).exists())
    };
    tools.iter().find(|tool| !found(tool)).map(|tool| format!("{tool} is not installed"))
}

/// Puts the binaries where the Dockerfile takes them from; without their debugging information.
fn stage_binaries() {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image");
    std::fs::create_dir_all(&image).unwrap();
    let starling = Path::new(env!("CARGO_BIN_EXE_starling"));
    for binary in [starling.to_owned(), starling.with_file_name("netem")] {
        let staged = image.join(binary.file_name().unwrap());
        let stripped = Command::new("strip").arg("-o").arg(&staged).arg(&binary).status();
        if !stripped.is_ok_and(|status| status.success()) {
            std::fs::copy(&binary, &staged).unwrap();
        }
    }
}

async fn members(port: u16) -> Vec<Value> {
    let http = Http::new(&format!("127.0.0.1:{port}"));
    match http.send(hyper::Method::GET, "/members", &[], bytes::Bytes::new()).await {
        Ok(answer) if answer.status == 200 => {
            let members = answer.json()["members"].as_array().unwrap().clone();
            // The monitor is none of the nodes.
            members.into_iter().filter(|member| member["observer"] == false).collect()
        }
        _ => Vec::new(),
    }
}

async fn sees_alive(port: u16, count: usize) {
    let what = format!("port {port} sees {count} alive");
    eventually(&what, async || members(port).await.iter().filter(|m| m["state"] == "alive").count() == count)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour() {
    if let Some(why) = lacking() {
        return skipped(&why);
    }
    stage_binaries();
    let engine = Engine::start();
    engine.ready().await;
    engine.run("scripts/base-image.sh", &[]);
    engine.run(
        "docker",
        &["build", "--network=host", "--build-arg", "BINARIES=outside", "-t", "starling", "."],
    );
    engine.compose(&["config", "--quiet"]);
    engine.compose(&["up", "-d", "--no-build"]);
    for port in 5001..=5005 {
        sees_alive(port, 5).await;
    }

    links_are_shaped(&engine).await;
    nodes_are_confined(&engine);
    nodes_share_a_key(&engine).await;
    upload(5001, 401).await;
    load(&engine);
    the_monitor_sees_it_all().await;
    a_killed_node_is_missed_and_comes_back(&engine).await;
    a_node_that_is_cut_off_is_missed_and_comes_back(&engine).await;

    engine.compose(&["--profile", "workers", "up", "-d", "--no-build", "--scale", "worker=2"]);
    sees_alive(5001, 7).await;
    engine.compose(&["--profile", "workers", "down", "-v"]);
    assert_eq!(engine.run("docker", &["ps", "--all", "--quiet"]), "");
}

async fn links_are_shaped(engine: &Engine) {
    let shown = engine.inside("node1", &["netem", "show", "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("\"tc\"") || shown.contains("\"nfqueue\""), "{shown}");
    let near = |rtt: f64, wanted: f64| (0.95 * wanted..1.5 * wanted).contains(&rtt);
    eventually("RTTs are the paper's", async || {
        let rtts: Vec<_> = members(5001).await.iter().map(|m| m["rtt_ms"].as_f64().unwrap_or(0.0)).collect();
        rtts.len() == 5
            && near(rtts[1], 90.0)
            && near(rtts[2], 200.0)
            && near(rtts[3], 10.0)
            && near(rtts[4], 90.0)
    })
    .await;
}

fn nodes_are_confined(engine: &Engine) {
    let status = engine.inside("node1", &["grep", "-E", "^(Uid|CapEff):", "/proc/1/status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("5000\t5000"), "the node runs as root: {status}");
    assert!(status.contains("CapEff:\t0000000000000000"), "the node has capabilities: {status}");
    assert!(
        !engine.inside("node1", &["touch", "/usr/local/bin/x"]).status.success(),
        "the root can be written"
    );
}

/// The first node made it; only nodes have it, and only who has it is one.
async fn nodes_share_a_key(engine: &Engine) {
    let file = "/key/cluster.key";
    let keys: Vec<_> = ["node1", "node5"].map(|node| engine.inside(node, &["cat", file]).stdout).into();
    assert!(!keys[0].is_empty() && keys[0] == keys[1]);
    let mode = engine.inside("node1", &["stat", "-c", "%a %u", file]).stdout;
    assert_eq!(String::from_utf8_lossy(&mode).trim(), "600 5000");
    let seen =
        engine.try_run("docker-compose", &["run", "--rm", "-T", "--entrypoint", "ls", "load", "-A", "/key"]);
    assert_eq!((seen.status.code(), &seen.stdout[..]), (Some(0), &b""[..]), "{seen:?}");
    let offer = Http::new("127.0.0.1:5001").ask_node("/internal/offers", "{}").await;
    offer.assert_problem(401, "unauthorized");
}

/// The load service finds the nodes by their names, and they it.
fn load(engine: &Engine) {
    let clips = tempfile::tempdir().unwrap();
    std::fs::set_permissions(clips.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(clips.path().join("clip.mp4"), Clip { tag: 411, ..Clip::default() }.make()).unwrap();
    let run = engine
        .command("docker-compose")
        .env("CLIPS", clips.path())
        .args(["run", "--rm", "-T", "load", "/clips", "--parallel", "10", "--duration", "5s", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(report["requests"], report["succeeded"], "{report}");
    assert_eq!(report["cluster"]["nodes"], 5, "{report}");
    assert_eq!(report["cluster"]["transcodes"], 1, "{report}");
}

/// All nodes by their own figures, and the load service by its report.
async fn the_monitor_sees_it_all() {
    let monitor = Http::new("127.0.0.1:8005");
    eventually("the monitor has asked all nodes", async || {
        let state = monitor.json("/dashboard/state").await;
        let nodes = state["nodes"].as_array().unwrap();
        nodes.iter().filter(|node| node["figures"].is_object()).count() == 5
    })
    .await;
    let state = monitor.json("/dashboard/state").await;
    let client = &state["clients"][0];
    assert!(
        client["name"].as_str().unwrap().starts_with("load-") && client["success"] == client["total"],
        "{client}"
    );
    let sum = |figure: &str| -> u64 {
        state["nodes"].as_array().unwrap().iter().filter_map(|node| node["figures"][figure].as_u64()).sum()
    };
    assert!(sum("transcodes") >= 2, "{state}");
}

async fn upload(port: u16, tag: u32) {
    let http = Http::new(&format!("127.0.0.1:{port}"));
    http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
}

/// Waits until a node takes this one for dead, and not merely for suspect.
async fn sees_dead(port: u16, name: &str) {
    let http = Http::new(&format!("127.0.0.1:{port}"));
    eventually(&format!("{name} is dead"), async || {
        let members = http.json("/members").await;
        let all = members["members"].as_array().unwrap();
        all.iter().any(|member| member["name"] == name && member["state"] == "dead")
    })
    .await;
}

async fn a_killed_node_is_missed_and_comes_back(engine: &Engine) {
    engine.compose(&["kill", "node3"]);
    sees_alive(5001, 4).await;
    upload(5002, 402).await;
    sees_dead(5001, "node3").await;
    engine.compose(&["start", "node3"]);
    sees_alive(5001, 5).await;
    sees_alive(5003, 5).await;
    let log = engine.compose(&["logs", "--no-color", "node1"]);
    for told in ["failed member=node3", "rejoined member=node3", "converged members=6"] {
        assert!(log.contains(told), "no {told:?} in the log:\n{log}");
    }
}

async fn a_node_that_is_cut_off_is_missed_and_comes_back(engine: &Engine) {
    assert!(engine.inside("node3", &["netem", "partition", "node3"]).status.success());
    sees_alive(5001, 4).await;
    assert!(engine.inside("node3", &["netem", "heal"]).status.success());
    sees_alive(5001, 5).await;
}
