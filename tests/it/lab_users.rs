//! Whom the nodes of a lab run as.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::lab::{Lab, alive, command, is_root, open_folder, processes_naming};
use crate::support::{Clip, eventually, skipped};

/// What `/proc` says of each node's process: user, effective and bounding capabilities, whether it can gain any.
fn rights(lab: &Lab) -> Vec<[String; 4]> {
    let data = lab.base.join(lab.report["id"].as_str().unwrap()).join("data");
    let nodes = processes_naming(&format!("--data-dir {}", data.display()));
    let status = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/status")).ok();
    let word = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    // What a node starts bears the node's command line until it has become what it is to be.
    let is_node = |status: &String| !nodes.contains(&word(status, "PPid"));
    let of = |status: String| ["Uid", "CapEff", "CapBnd", "NoNewPrivs"].map(|key| word(&status, key));
    nodes.iter().filter_map(status).filter(is_node).map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_roots_lab_run_as_a_user_without_rights() {
    if !is_root() {
        return skipped("what root starts only root can test");
    }
    let none = "0000000000000000";
    for isolation in ["namespaces", "loopback"] {
        let isolation = format!("--isolation={isolation}");
        let mut lab =
            Lab::start(&["--nodes", "2", &isolation, "--", "--timing", "local", "--deadline", "5m"]);
        let user = lab.report["user"].as_u64().expect("a user of their own").to_string();
        assert_ne!(user, "0");
        let expected = [user.as_str(), none, none, "1"].map(str::to_owned);
        assert_eq!(rights(&lab), [expected.clone(), expected.clone()], "{isolation}");
        // They keep what they make, do their work with it, and start again with it.
        lab.node("node1").upload(Clip { tag: 304, ..Clip::default() }.make()).await.assert_video();
        lab.ctl(&["restart", "node2"]).unwrap();
        lab.ctl(&["add"]).unwrap();
        let node1 = lab.node("node1");
        eventually("all three are there", async || alive(&node1).await == 3).await;
        assert_eq!(rights(&lab), vec![expected; 3], "{isolation}");
        lab.signal("-TERM");
        lab.gone().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_nodes_run_as_can_be_chosen() {
    let start = |user: &str| {
        let folder = open_folder();
        let base = folder.path().join("labs");
        let mut lab = Lab::start_in(&[], &base, &["--nodes", "1", "--user", user]);
        lab.folder = Some(folder);
        lab
    };
    if is_root() {
        for (user, uid, told) in [("root", "0", Value::Null), ("nobody", "65534", 65534.into())] {
            let mut lab = start(user);
            assert_eq!((rights(&lab)[0][0].as_str(), &lab.report["user"]), (uid, &told), "{user}");
            lab.signal("-TERM");
            lab.gone().await;
        }
    }
    // What can't be is one clear line.
    let closed = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o700)).tempdir().unwrap();
    let own = !is_root();
    for (dir, user, why) in [
        (closed.path(), "nobody", "is closed to other users"),
        (open_folder().path(), "no-such-user", "no such user"),
    ] {
        let output = command(&[], &dir.join("labs"), &["--nodes", "1", "--user", user]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("--user {user}: ")), "{said}");
        assert!(said.contains(if own { "only a lab that root starts" } else { why }), "{said}");
    }
}
