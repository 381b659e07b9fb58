//! A whole lab, by the command.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use starling_netem::control::Client;

use super::{Http, eventually, skipped};

/// A running lab in a folder of its own; killed when dropped.
pub struct Lab {
    pub launcher: Child,
    pub report: Value,
    pub base: PathBuf,
    /// Goes with the lab.
    pub folder: Option<tempfile::TempDir>,
}

/// Commands that run as `nobody` when the tests run as root.
pub const AS_NOBODY: [&str; 6] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/"];

/// A folder that all users may pass through, as `/var/tmp` is.
pub fn open_folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o711)).tempdir().unwrap()
}

pub fn command(user: &[&str], base: &Path, args: &[&str]) -> Command {
    let mut line = user.to_vec();
    line.push(env!("CARGO_BIN_EXE_starling"));
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).args(["lab", "--base-port", "0", "--dir"]).arg(base).args(args);
    command.stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("STARLING_LAB_DIR");
    command
}

impl Lab {
    pub fn start(args: &[&str]) -> Self {
        let folder = open_folder();
        let base = folder.path().join("labs");
        let mut lab = Self::start_in(&[], &base, args);
        lab.folder = Some(folder);
        lab
    }

    pub fn start_in(user: &[&str], base: &Path, args: &[&str]) -> Self {
        let mut launcher =
            command(user, base, &[&["--json"], args].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let report = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { launcher, report, base: base.to_owned(), folder: None }
    }

    pub fn node(&self, name: &str) -> Http {
        let nodes = self.report["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        Http::new(node["http"].as_str().unwrap())
    }

    pub fn ctl(&self, args: &[&str]) -> Result<Value, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["lab", "ctl", "--json", "--dir"])
            .arg(&self.base)
            .args(args)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.launcher.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// What a node has logged so far; it has to log JSON. The last line may not be all there yet.
    pub fn log(&self, name: &str) -> Vec<Value> {
        let logs = self.base.join(self.report["id"].as_str().unwrap()).join("logs");
        let text = std::fs::read(logs.join(format!("{name}.log"))).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Whoever orders faults on its links.
    pub fn netem(&self) -> Client {
        let socket = self.base.join(self.report["id"].as_str().unwrap()).join("netem.sock");
        Client::connect(&socket).unwrap()
    }

    /// What is left of it: processes whose command line names its folder, and what its folder holds.
    fn left(&self) -> Vec<String> {
        let mut left = processes_naming(self.base.to_str().unwrap());
        for entry in std::fs::read_dir(&self.base).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // The mark of all labs is no part of any.
            if name != starling_netem::control::LABS_MARK {
                left.push(name);
            }
        }
        left
    }

    /// Pids of the supervisor and of what wraps it.
    pub fn supervisor_tree(&self) -> Vec<String> {
        let launcher = self.launcher.id().to_string();
        let mut pids = processes_naming(&format!("--inside {}", self.report["id"].as_str().unwrap()));
        pids.retain(|pid| {
            *pid != launcher
                && command_line(pid).is_some_and(|line| line.contains(self.base.to_str().unwrap()))
        });
        pids
    }

    pub async fn gone(&mut self) {
        self.launcher.wait().unwrap();
        eventually("nothing of the lab is left", async || self.left().is_empty()).await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.launcher.kill().and_then(|()| self.launcher.wait()) {
            eprintln!("the lab's launcher: {error}");
        }
    }
}

pub fn command_line(pid: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

pub fn processes_naming(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let pids =
        std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && *pid != own)
        .filter(|pid| command_line(pid).is_some_and(|line| line.contains(text)))
        .collect()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether namespaces are to be had, with root or without.
pub fn no_namespaces(report: &Value) -> bool {
    if report["isolation"] != "loopback" {
        return false;
    }
    skipped("no network namespaces here");
    true
}

pub async fn alive(http: &Http) -> usize {
    let members = http.json("/members").await;
    let members = members["members"].as_array().unwrap();
    members.iter().filter(|member| member["state"] == "alive").count()
}
