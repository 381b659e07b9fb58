//! What is in `deploy/` for Prometheus and Grafana, by Prometheus itself: Debian's package.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hyper::StatusCode;
use serde_json::Value;

use super::access::Files;
use super::tls::Root;
use crate::support::{Cluster, Http, Node, eventually, skipped};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn is_here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped(&format!("{program} is not installed (Debian's package prometheus)"));
    }
    found
}

/// Runs promtool, which has to find nothing.
fn promtool(args: &[&str], input: &[u8]) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "promtool {args:?}:\n{said}{out}");
}

/// Holds metrics against the conventions.
pub(super) fn check_metrics(text: &[u8]) {
    if is_here("promtool") {
        promtool(&["check", "metrics"], text);
    }
}

/// The expressions of the dashboard's panels and annotations, with what they are shown under.
fn panels() -> Vec<(String, String)> {
    let dashboard = std::fs::read(deploy("grafana/starling.json")).unwrap();
    let dashboard: Value = serde_json::from_slice(&dashboard).unwrap();
    let all = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap();
        targets.iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    });
    let marks = dashboard["annotations"]["list"].as_array().unwrap().iter().filter_map(|mark| {
        Some((mark["name"].as_str().unwrap().to_owned(), mark["expr"].as_str()?.to_owned()))
    });
    all.chain(marks).collect()
}

/// Labels that Prometheus gives what it scrapes from a node, and a histogram's own.
const LABELS_OF_TARGETS: [&str; 5] = ["zone", "instance", "job", "node", "le"];

/// The labels of each sample's name.
fn labels(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let inside = rest.rsplit_once('}').unwrap().0;
        found.entry(name).or_default().extend(labels_in(inside));
    }
    found
}

/// The names in `a="b",c=~"d"`. No value of ours has a comma or a brace in it.
fn labels_in(inside: &str) -> impl Iterator<Item = &str> {
    inside
        .split(',')
        .filter_map(|pair| pair.split(['=', '!', '~']).next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// The labels that an expression asks for.
fn labels_asked(expr: &str) -> BTreeSet<&str> {
    let selectors = expr.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let groups = expr.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    selectors.chain(groups).flat_map(labels_in).collect()
}

/// Names of this project's metrics, and of the process's, in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("starling_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn rules_and_panels_are_what_prometheus_takes_and_the_rules_fire_when_they_should() {
    if !is_here("promtool") {
        return;
    }
    let path = |file: &str| deploy(file).to_str().unwrap().to_owned();
    promtool(&["check", "config", &path("prometheus/prometheus.yml")], b"");
    promtool(&["check", "rules", &path("prometheus/starling.rules.yml")], b"");
    promtool(&["test", "rules", &path("prometheus/starling.rules.test.yml")], b"");
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<Value> = (0..)
        .zip(panels())
        .map(|(number, (_, expr))| serde_json::json!({ "record": format!("panel:{number}"), "expr": expr }))
        .collect();
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], b"");
}

#[test]
fn each_alert_fires_in_a_case_of_its_own() {
    let rules = std::fs::read_to_string(deploy("prometheus/starling.rules.yml")).unwrap();
    let cases = std::fs::read_to_string(deploy("prometheus/starling.rules.test.yml")).unwrap();
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 17, "{alerts:?}");
    for alert in alerts {
        // What fires has its labels and its words below; what does not is told on one line.
        let mut fires = cases.lines().filter(|line| line.trim_start() == format!("alertname: {alert}"));
        assert!(fires.next().is_some(), "{alert} fires in no case of starling.rules.test.yml");
    }
}

#[tokio::test]
async fn rules_and_panels_ask_for_what_there_is() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let http = &cluster.nodes[0].http;
    // Which uploads there are is known by those that came, and what is known of zones by gossip.
    http.upload("no video".into()).await.assert_problem(415, "not-a-video");
    let mut text = String::new();
    eventually("what gossip tells is told", async || {
        text = String::from_utf8(http.get("/metrics").await.body.to_vec()).unwrap();
        ["rtt", "sample_age_max"]
            .iter()
            .all(|name| text.contains(&format!("# TYPE starling_zone_{name}_seconds ")))
    })
    .await;
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let rules = std::fs::read_to_string(deploy("prometheus/starling.rules.yml")).unwrap();
    let panels = panels();
    let asked = panels.iter().flat_map(|(_, expr)| names(expr)).chain(names(&rules));
    let mut count = 0;
    for name in asked {
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(families.contains(family) || families.contains(name), "{name} is none of\n{families:?}");
        count += 1;
    }
    assert!(count > 50, "{count} names were found");
    let (there, mut looked_at) = (labels(&text), 0);
    for (title, expr) in &panels {
        let mut known: BTreeSet<&str> =
            names(expr).iter().filter_map(|name| there.get(name)).flatten().copied().collect();
        if known.is_empty() {
            // Nothing of it has happened, so its labels are not told, or it has none.
            continue;
        }
        known.extend(LABELS_OF_TARGETS);
        let asked = labels_asked(expr);
        assert!(asked.is_subset(&known), "{title}: {expr} asks for {asked:?}, and there are {known:?}");
        looked_at += 1;
    }
    assert!(looked_at > 20, "{looked_at} expressions have labels");
}

/// A Prometheus of the test's own; killed when dropped.
struct Prometheus {
    child: Child,
    http: Http,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that has the rules of `deploy/`, which fire at once, and asks this node what there is to scrape.
    fn start(node: &Node) -> Self {
        Self::start_with(node, str::to_owned)
    }

    /// The same, with its configuration changed.
    fn start_with(node: &Node, adjust: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = std::fs::read_to_string(deploy("prometheus/starling.rules.yml")).unwrap();
        let rules: String = rules
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("for: ") {
                    "        for: 0s\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        std::fs::write(folder.path().join("starling.rules.yml"), rules).unwrap();
        let config = std::fs::read_to_string(deploy("prometheus/prometheus.yml")).unwrap();
        let config = adjust(&config)
            .replace("127.0.0.1:5001", &node.http_address)
            .replace("127.0.0.1:5002", &node.http_address)
            .replace("_interval: 5s", "_interval: 1s")
            .replace("_interval: 10s", "_interval: 1s");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.format=json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"Listening on\""));
        let listens: Value = serde_json::from_str(&listens.expect("Prometheus listens")).unwrap();
        // Read on, so that it is not held up by what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let http = Http::new(listens["address"].as_str().unwrap());
        Self { child, http, _folder: folder }
    }

    /// Waits until it has read what it stored: until then it answers nothing.
    async fn ready(&self) {
        eventually("it is ready", async || self.http.get("/-/ready").await.status == StatusCode::OK).await;
    }

    /// Targets that are scraped without an error, by name and zone.
    async fn up(&self) -> BTreeSet<(String, String)> {
        let targets = self.http.json("/api/v1/targets").await;
        let active = targets["data"]["activeTargets"].as_array().unwrap();
        let label =
            |target: &Value, name: &str| target["labels"][name].as_str().unwrap_or_default().to_owned();
        let up = active.iter().filter(|target| target["health"] == "up" && target["lastError"] == "");
        up.map(|target| (label(target, "instance"), label(target, "zone"))).collect()
    }

    /// The nodes that an alert tells to be down.
    async fn down(&self) -> Vec<String> {
        let alerts = self.http.json("/api/v1/alerts").await;
        let alerts = alerts["data"]["alerts"].as_array().unwrap();
        let is_down =
            |alert: &&Value| alert["labels"]["alertname"] == "StarlingNodeDown" && alert["state"] == "firing";
        let down = alerts.iter().filter(is_down);
        down.map(|alert| alert["labels"]["instance"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_prometheus_finds_the_nodes_by_itself_and_tells_of_one_that_is_killed() {
    if !is_here("prometheus") {
        return;
    }
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM", "FRA", "IAD"]).await;
    let prometheus = Prometheus::start(&cluster.nodes[0]);
    prometheus.ready().await;
    let all = [("node1", "FRA"), ("node2", "IAD"), ("node3", "BOM"), ("node4", "FRA"), ("node5", "IAD")];
    let all: BTreeSet<_> = all.map(|(name, zone)| (name.to_owned(), zone.to_owned())).into();
    eventually("all nodes are scraped", async || prometheus.up().await == all).await;
    // A machine that is busy may keep a scrape waiting for too long, so it is waited for what is told in the end.
    eventually("all nodes are up", async || prometheus.down().await.is_empty()).await;
    cluster.nodes[2].kill();
    eventually("the alert fires", async || prometheus.down().await == ["node3"]).await;
}

/// As OPERATIONS.md has it: under Tokens, and under TLS.
#[tokio::test]
async fn a_prometheus_with_a_token_scrapes_nodes_that_ask_for_it_over_tls() {
    if !is_here("prometheus") {
        return;
    }
    let files = Files::new();
    let token = files.token(&["--name", "prometheus", "--scope", "metrics"]);
    std::fs::write(files.path("starling.token"), token).unwrap();
    let root = Root::new(files.path("root.pem"));
    root.sign(&files.path(""));
    let node = |name: &str, zone: &str| {
        let mut options = files.node(name);
        zone.clone_into(&mut options.zone);
        options
            .arg(format!("--tls-cert={}", files.path("tls.crt").display()))
            .arg(format!("--tls-key={}", files.path("tls.key").display()))
    };
    let node1 = Node::start(node("node1", "FRA"));
    let _node2 = Node::start(node("node2", "IAD").join(&node1.gossip));
    let (ca, token) = (root.pem.display().to_string(), files.path("starling.token").display().to_string());
    let with = |indent: &str, authorized: bool| {
        let tls = format!("{indent}tls_config: {{ ca_file: {ca} }}\n");
        let token = format!("{indent}authorization: {{ type: Bearer, credentials_file: {token} }}\n");
        if authorized { tls + &token } else { tls }
    };
    let config = |authorized: bool| {
        move |config: &str| {
            let url = "/sd/prometheus\n";
            config
                .replace("http://127.0.0.1", "https://127.0.0.1")
                .replace(url, &format!("{url}{}", with("        ", true)))
                .replace(
                    "    relabel_configs:\n",
                    &format!("{}    relabel_configs:\n", with("    ", authorized)),
                )
        }
    };
    let prometheus = Prometheus::start_with(&node1, config(true));
    prometheus.ready().await;
    let all: BTreeSet<_> =
        [("node1", "FRA"), ("node2", "IAD")].map(|(name, zone)| (name.to_owned(), zone.to_owned())).into();
    eventually("both are scraped", async || prometheus.up().await == all).await;
    // Without it none is, and Prometheus says why.
    let stranger = Prometheus::start_with(&node1, config(false));
    stranger.ready().await;
    eventually("a stranger is refused", async || {
        let targets = stranger.http.json("/api/v1/targets").await;
        let active = targets["data"]["activeTargets"].as_array().unwrap();
        let refused = |target: &&Value| {
            target["health"] == "down" && target["lastError"].as_str().unwrap().contains("401")
        };
        active.len() == 2 && active.iter().all(|target| refused(&target))
    })
    .await;
}
