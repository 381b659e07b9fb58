//! What code in ffmpeg's place can do: perl in the sandbox, which makes any system call by its number.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use libc::c_long;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::Value;

use crate::support::{Clip, Node, NodeOptions, eventually, skipped};

const FORBIDDEN: i32 = libc::EPERM;
const UNKNOWN: i32 = libc::ENOSYS;

/// An empty folder that may be written in, with a file in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    folder
}

/// `starling sandbox`, as the node starts it, with this program and what else is to be said before it.
fn sandbox(folder: &Path, before: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(["sandbox", "--memory-bytes=4000000000", "--file-bytes=1000000", "--cpu-seconds=20"]);
    command.arg(format!("--parent={}", std::process::id())).args(["--readable", "/dev/null", "--writable"]);
    command.arg(folder).args(before).current_dir(folder).stdin(Stdio::null());
    command
}

/// `syscall` with these arguments: 0, or the error's number. `$parent` is the process that started perl.
fn perl(call: c_long, arguments: &str) -> String {
    // Perl takes strings that it may change, and numbers that were never strings.
    format!(
        "$parent = getppid; $self = $$ + 0; $path = 'file'; $none = 0; $buffer = \"\\0\" x 256; \
         $ones = \"\\xff\" x 8; @given = ({arguments}); exit(syscall({call}, @given) == -1 ? $! + 0 : 0)"
    )
}

/// How perl ends with and without the sandbox.
fn outcome(confined: bool, script: &str) -> std::process::ExitStatus {
    let folder = folder();
    let mut command =
        if confined { sandbox(folder.path(), &["--", "/usr/bin/perl"]) } else { Command::new("perl") };
    command.current_dir(folder.path()).args(["-e", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
    output.status
}

/// Whether an act works at all where nothing is in its way.
#[derive(Clone, Copy, PartialEq)]
enum Free {
    /// It does: what fails in the sandbox fails because of it.
    Works,
    /// It would leave something behind, or needs more than this machine may have.
    NotTried,
}

#[test]
fn what_reaches_beyond_the_process_fails() {
    use Free::{NotTried, Works};
    let acts: &[(&str, c_long, &str, Free)] = &[
        ("its node's limits", libc::SYS_prlimit64, "$parent, 7, $none, $buffer", Works),
        ("its node's priority", libc::SYS_setpriority, "0, $parent, 5", NotTried),
        ("its node's input and output", libc::SYS_ioprio_set, "1, $parent, 0", Works),
        ("its node's processors", libc::SYS_sched_setaffinity, "$parent, 8, $ones", Works),
        ("its node's scheduling", libc::SYS_sched_setscheduler, "$parent, 0, $buffer", Works),
        ("its node's memory placement", libc::SYS_migrate_pages, "$parent, 0, $buffer, $buffer", NotTried),
        ("a signal", libc::SYS_kill, "$parent, 0", Works),
        ("a signal to a thread", libc::SYS_tgkill, "$parent, $parent, 0", Works),
        ("a signal to a thread, the old way", libc::SYS_tkill, "$parent, 0", Works),
        ("a signal with a word", libc::SYS_rt_sigqueueinfo, "$parent, 0, $buffer", NotTried),
        ("a handle of a process", libc::SYS_pidfd_open, "$parent, 0", Works),
        // A descriptor whose input makes the kernel signal its owner.
        ("a signal by a descriptor", libc::SYS_fcntl, "1, 8, $parent", Works),
        ("another signal by a descriptor", libc::SYS_fcntl, "1, 10, 9", Works),
        ("a life after its node's", libc::SYS_prctl, "1, 0", Works),
        ("another process", libc::SYS_clone, "17, 0, 0, 0, 0", NotTried),
        ("another user namespace", libc::SYS_clone, "0x10000011, 0, 0, 0, 0", NotTried),
        ("a thread in one", libc::SYS_clone, "0x10010f00, 0, 0, 0, 0", NotTried),
        ("another group", libc::SYS_setpgid, "0, 0", Works),
        ("another session", libc::SYS_setsid, "", NotTried),
        ("a file's mode", libc::SYS_fchmodat, "-100, $path, 0777", Works),
        ("a file's owner", libc::SYS_fchownat, "-100, $path, -1, -1, 0", Works),
        ("a file's times", libc::SYS_utimensat, "-100, $path, $none, 0", Works),
        ("a file's attributes", libc::SYS_setxattr, "$path, 'user.a', 'b', 1, 0", NotTried),
        ("a link", libc::SYS_linkat, "-100, $path, -100, 'link', 0", Works),
        ("a link to elsewhere", libc::SYS_symlinkat, "'/etc/passwd', -100, 'link'", Works),
        ("a pipe with a name", libc::SYS_mknodat, "-100, 'pipe', 010600, 0", Works),
        ("shared memory", libc::SYS_shmget, "0, 4096, 01600", NotTried),
        ("semaphores", libc::SYS_semget, "0, 1, 01600", NotTried),
        ("messages", libc::SYS_msgget, "0, 01600", NotTried),
        ("a queue with a name", libc::SYS_mq_open, "'starling', 0102, 0600, $none", NotTried),
        ("memory without a limit", libc::SYS_memfd_create, "$path, 0", Works),
        ("secret memory", libc::SYS_memfd_secret, "0", NotTried),
        ("a socket", libc::SYS_socket, "1, 1, 0", Works),
        ("a pair of them", libc::SYS_socketpair, "1, 1, 0, $buffer", Works),
        ("capabilities", libc::SYS_capset, "$buffer, $buffer", NotTried),
        ("another user", libc::SYS_setresuid, "-1, -1, -1", Works),
        ("another personality", libc::SYS_personality, "0", Works),
    ];
    for (what, call, arguments, free) in acts {
        let script = perl(*call, arguments);
        assert_eq!(outcome(true, &script).code(), Some(FORBIDDEN), "{what} in the sandbox");
        if *free == Works {
            assert_eq!(outcome(false, &script).code(), Some(0), "{what} works nowhere: that shows nothing");
        }
    }
}

#[test]
fn to_itself_it_may_do_what_a_program_does() {
    for (what, call, arguments) in [
        ("its own limits", libc::SYS_prlimit64, "0, 7, $none, $buffer"),
        ("a signal to itself", libc::SYS_tgkill, "$self, $self, 0"),
        ("a signal to itself, as shells send it", libc::SYS_kill, "$self, 0"),
        ("its own processors", libc::SYS_sched_setaffinity, "0, 8, $ones"),
        ("its own name", libc::SYS_prctl, "15, $path"),
        ("its own descriptors", libc::SYS_fcntl, "1, 1, 0"),
    ] {
        assert_eq!(outcome(true, &perl(call, arguments)).code(), Some(0), "{what}");
    }
    // As abort() does.
    assert_eq!(outcome(true, "use POSIX; POSIX::abort()").signal(), Some(libc::SIGABRT));
}

#[test]
fn calls_that_nobody_has_heard_of_are_not_there() {
    // clone3, whose flags no filter sees; a number of the future; getpid by the numbers of x32.
    let mut calls = vec![libc::SYS_clone3, 999];
    if cfg!(target_arch = "x86_64") {
        calls.push(0x4000_0000 | libc::SYS_getpid);
    }
    for call in calls {
        assert_eq!(outcome(true, &perl(call, "0, 0, 0")).code(), Some(UNKNOWN), "{call}");
    }
}

#[test]
fn what_only_an_attacker_calls_kills() {
    for call in [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_getfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_finit_module,
        libc::SYS_open_by_handle_at,
    ] {
        let status = outcome(true, &perl(call, "-1, 0, 0, 0, 0"));
        assert_eq!(status.signal(), Some(libc::SIGSYS), "call {call}: {status}");
    }
}

#[test]
fn root_keeps_no_capability() {
    // Effective, permitted and inheritable of the whole process, and every one of the bounding set.
    let script = format!(
        "$head = pack('Ll', 0x20080522, 0); $sets = \"\\xff\" x 24; syscall({}, $head, $sets) == 0 or exit 9; \
         $sets eq \"\\0\" x 24 or exit 1; for $c (0..63) {{ exit 2 if syscall({}, 23, $c, 0, 0, 0) == 1 }} exit 0",
        libc::SYS_capget,
        libc::SYS_prctl
    );
    if rustix::process::geteuid().is_root() {
        assert_eq!(outcome(false, &script).code(), Some(1), "root has some: else this shows nothing");
        assert_eq!(outcome(true, &script).code(), Some(0));
    } else {
        skipped("only root has capabilities to lose");
        assert_ne!(outcome(true, &script).code(), Some(1));
    }
}

#[tokio::test]
async fn a_child_is_the_first_to_go_where_memory_runs_out() {
    let folder = folder();
    let mut child = sandbox(folder.path(), &["--", "/bin/sleep", "1000"]).spawn().unwrap();
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    eventually("it sleeps", async || file("comm").trim() == "sleep").await;
    let score = file("oom_score_adj");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(score.trim(), "1000");
    assert_ne!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(), "1000", "not by itself");
}

#[test]
fn what_its_node_has_open_is_closed() {
    let folder = folder();
    let script = "exec 7</etc/passwd; exec \"$@\"";
    for (confined, expected) in [(false, Some(0)), (true, Some(1))] {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]);
        if confined {
            let sandbox = sandbox(folder.path(), &["--"]);
            command.arg(sandbox.get_program()).args(sandbox.get_args());
        }
        command.args(["/usr/bin/perl", "-e", "open(F, '<&=7') and exit 0; exit 1"]);
        assert_eq!(command.status().unwrap().code(), expected);
    }
}

#[test]
fn the_sandbox_tells_what_it_found_whoever_the_user_is() {
    let folder = folder();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let nobody: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let rootless: &[&str] = &["unshare", "--user", "--map-root-user"];
    for user in [&[], nobody, rootless] {
        if !user.is_empty() && !may(user) {
            skipped(&format!("{} is not to be had here, or can't run the binary", user[0]));
            continue;
        }
        // All of them become the sandbox by exec, so that its parent is this process.
        let confined = sandbox(folder.path(), &["--check"]);
        let mut line = user.to_vec();
        line.push(env!("CARGO_BIN_EXE_starling"));
        let output = Command::new(line[0]).args(&line[1..]).args(confined.get_args()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{user:?}: {said}{complaint}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["capabilities_dropped"], true, "{user:?}");
        // This test's own memory is open to its user, which is landlock's part alone.
        let possible = found["possible"].as_array().unwrap();
        assert!(possible.is_empty() || !starling::workers::sandbox::landlock_supported(), "{user:?}: {said}");
    }
}

/// Whether a command can be run this way here.
fn may(user: &[&str]) -> bool {
    let mut command = Command::new(user[0]);
    command.args(&user[1..]).args([env!("CARGO_BIN_EXE_starling"), "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Starts something where system calls fail as on an older kernel, or in a container's filter.
fn without<T: Send>(calls: &[(c_long, Option<u64>, i32)], start: impl FnOnce() -> T + Send) -> T {
    // A filter holds for its thread, and for what that starts.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let arch = std::env::consts::ARCH.try_into().unwrap();
            for (call, first_argument, errno) in calls {
                let conditions = first_argument.iter().map(|value| {
                    SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value).unwrap()
                });
                let conditions: Vec<_> = conditions.collect();
                let rules =
                    if conditions.is_empty() { vec![] } else { vec![SeccompRule::new(conditions).unwrap()] };
                let action = SeccompAction::Errno(errno.cast_unsigned());
                let filter =
                    SeccompFilter::new([(*call, rules)].into(), SeccompAction::Allow, action, arch).unwrap();
                let program: seccompiler::BpfProgram = filter.try_into().unwrap();
                seccompiler::apply_filter(&program).unwrap();
            }
            start()
        });
        thread.join().unwrap()
    })
}

/// A kernel before 5.13, or one where landlock is off.
const NO_LANDLOCK: &[(c_long, Option<u64>, i32)] = &[(libc::SYS_landlock_create_ruleset, None, libc::ENOSYS)];
/// A kernel whose filters of system calls can't be had.
const NO_SECCOMP: &[(c_long, Option<u64>, i32)] =
    &[(libc::SYS_seccomp, Some(libc::SECCOMP_SET_MODE_FILTER as u64), libc::ENOSYS)];

/// A node in such a place, and what it says that its sandbox holds. The thread that starts it is the parent with which it dies.
fn found_without(calls: &[(c_long, Option<u64>, i32)], more: impl AsyncFnOnce(&Node) + Send) -> Value {
    without(calls, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = Node::start(NodeOptions::new("node1", "FRA"));
            more(&node).await;
            node.http.json("/health").await["sandbox"].clone()
        })
    })
}

#[test]
fn a_node_says_what_its_kernel_lacks() {
    if !starling::workers::sandbox::landlock_supported() {
        return skipped("this kernel has no landlock");
    }
    let found = found_without(&[], async |_| {});
    assert_eq!(found["whole"], true, "{found}");
    assert!(
        found["landlock_abi"].as_u64() >= Some(1) && found["possible"] == serde_json::json!([]),
        "{found}"
    );

    // What is left without landlock are files, and nothing of other processes.
    let found = found_without(NO_LANDLOCK, async |node| {
        let lacks =
            |line: &Value| line["lacks"].as_str().is_some_and(|lacks| lacks.starts_with("no landlock; "));
        node.logged("ffmpeg's sandbox is not whole on this machine", lacks).await;
        node.http.upload(Clip::default().make()).await.assert_video();
    });
    assert_eq!((&found["whole"], &found["landlock_abi"]), (&false.into(), &0.into()), "{found}");
    assert_eq!(found["seccomp"], true, "{found}");
    let files =
        ["read any file that the node's user may read", "write any file that the node's user may write"];
    assert_eq!(found["possible"], serde_json::json!(files));

    let found = found_without(NO_SECCOMP, async |node| {
        node.http.upload(Clip::default().make()).await.assert_video();
    });
    assert_eq!((&found["whole"], &found["seccomp"]), (&false.into(), &false.into()), "{found}");
    let possible = found["possible"].to_string();
    assert!(possible.contains("limits of other processes") && !possible.contains("the node's"), "{possible}");
}

#[test]
fn a_node_does_not_start_where_what_it_requires_is_missing() {
    let folder = folder();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        command.args(["node", "--name", "node1", "--sandbox", "require", "--http", "127.0.0.1:0"]);
        command.args(["--gossip", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
        command.output().unwrap()
    };
    let output = without(NO_LANDLOCK, start);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success()
            && said.contains("--sandbox require: no landlock; ffmpeg could read any file"),
        "{said}"
    );
}

#[tokio::test]
async fn a_tool_that_makes_a_forbidden_call_is_counted_and_told_of() {
    let stub = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -version ] && exec echo 'ffmpeg version 5.1.9 stub'\nexec perl -e 'syscall({}, 0, 0, 0, 0)'\n",
        libc::SYS_ptrace
    );
    let program = stub.path().join("ffmpeg");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = NodeOptions::new("node1", "FRA");
    options.path = Some(stub.path().to_owned());
    let node = Node::start(options);
    assert_eq!(
        node.metric("starling_sandbox_violations_total").await,
        0,
        "the node's own test does not count"
    );
    let answer = node.http.upload(Clip::default().make()).await;
    assert_ne!(answer.status, 200);
    eventually("it is counted", async || node.metric("starling_sandbox_violations_total").await > 0).await;
    node.logged("a media tool was killed for a forbidden system call", |line| line["pid"].is_u64()).await;
}

#[test]
fn processes_of_the_same_user_do_not_read_a_nodes_memory() {
    let user: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !rustix::process::geteuid().is_root() || !may(user) {
        return skipped("needs root, to be another user");
    }
    let folder = folder();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut node = Command::new(user[0])
        .args(&user[1..])
        .args([
            env!("CARGO_BIN_EXE_starling"),
            "node",
            "--name",
            "node1",
            "--log",
            "json",
            "--http",
            "127.0.0.1:0",
        ])
        .args(["--gossip", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::io::BufReader::new(node.stderr.take().unwrap());
    let started = std::io::BufRead::lines(log).any(|line| line.unwrap().contains("node started"));
    let reads = |what: &str, user: &[&str]| {
        let mut command = Command::new(user.first().unwrap_or(&"env"));
        command.args(user.get(1..).unwrap_or_default()).args([
            "head",
            "-c1",
            &format!("/proc/{}/{what}", node.id()),
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    let found = [reads("environ", user), reads("environ", &[]), reads("stat", user)];
    node.kill().unwrap();
    node.wait().unwrap();
    assert!(started);
    assert_eq!(found, [false, true, true], "its environment by its user and by root, its use of the CPU");
}
