//! What was at fault when ffprobe or ffmpeg failed, and what may be told of it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use rustix::process::Signal;

/// What is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultClass {
    /// The input's: no other node would do better.
    Input,
    /// This node's: another one may do better.
    Node,
    /// A decoder came to grief. A video may be made to do that, and a broken machine does it by itself: what another node
    /// makes of it tells.
    Unknown,
}

/// What a process dies of that has come to grief itself. Others (KILL above all, from the kernel when memory is short) come
/// from outside.
const CRASHES: [Signal; 8] = [
    Signal::SEGV,
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::ILL,
    Signal::SYS,
    Signal::TRAP,
    Signal::XCPU,
];

/// What the system's errors are called that no video can cause. A tool ends its line with the name.
const OF_THE_MACHINE: [&str; 9] = [
    "No space left on device",
    "Disk quota exceeded",
    "Resource temporarily unavailable",
    "Too many open files",
    "Too many open files in system",
    "Read-only file system",
    "Stale file handle",
    "Cannot fork",
    "Directory nonexistent",
];

/// And those that a video can cause, unless they are about one of the files that the tool was given.
const OF_THE_MACHINE_ABOUT_OUR_FILES: [&str; 3] =
    ["No such file or directory", "Permission denied", "Operation not permitted"];

/// What is at fault, by how the tool ended and what it said. `spent`: it has used all the CPU time that it may.
pub(super) fn fault_class(status: ExitStatus, stderr: &str, files: &[&Path], spent: bool) -> FaultClass {
    if spent || status.signal().is_some_and(|signal| CRASHES.iter().any(|crash| crash.as_raw() == signal)) {
        return FaultClass::Unknown;
    }
    // The sandbox and the shell end so when there is nothing to run.
    if status.signal().is_some() || matches!(status.code(), Some(126 | 127)) {
        return FaultClass::Node;
    }
    let ends = |line: &str, words: &[&str]| words.iter().any(|words| line.ends_with(words));
    let names = |line: &str| files.iter().any(|file| line.contains(&*file.to_string_lossy()));
    let of_the_machine = |line: &str| {
        let line = line.trim_end_matches(['.', ' ', '\r']);
        ends(line, &OF_THE_MACHINE) || (ends(line, &OF_THE_MACHINE_ABOUT_OUR_FILES) && names(line))
    };
    if stderr.lines().any(of_the_machine) {
        return FaultClass::Node;
    }
    // A child has a limit of its own, which a video can reach; the machine's memory may be at its end, too.
    if stderr.contains("Cannot allocate memory") {
        return FaultClass::Unknown;
    }
    // A tool that refuses a file says why.
    if stderr.is_empty() { FaultClass::Node } else { FaultClass::Input }
}

/// A tool's last words for the client: without the paths of these files, of any other file of this node, and
/// without the addresses that ffmpeg puts before its lines.
pub(super) fn reason(stderr: &str, files: &[&Path], status: ExitStatus) -> String {
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = without_places(&without_addresses(&without_paths(line, files)));
    if line.trim().is_empty() { format!("it ended with {status}") } else { line.trim().to_owned() }
}

/// What a tool says, without the paths of these files on this node.
fn without_paths(said: &str, files: &[&Path]) -> String {
    files.iter().fold(said.to_owned(), |said, path| {
        let path = path.display().to_string();
        said.replace(&format!("file:{path}: "), "")
            .replace(&format!("file:{path}"), "it")
            .replace(&path, "it")
    })
}

/// Takes out every `[mov,mp4 @ 0x55cd0a1b]`.
fn without_addresses(line: &str) -> String {
    let (mut rest, mut told) = (line, String::new());
    while let Some(at) = rest.find(" @ 0x") {
        let (Some(open), Some(close)) = (rest[..at].rfind('['), rest[at..].find(']')) else { break };
        told.push_str(&rest[..open]);
        rest = rest[at + close + 1..].trim_start();
    }
    told + rest
}

/// Leaves of each path its file's name.
fn without_places(line: &str) -> String {
    let (mut rest, mut told) = (line, String::new());
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        let end = path.find(|c: char| c.is_whitespace() || "'\":,;()[]".contains(c)).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        // "24/1" and "and/or" are no paths.
        let begins = before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '.' && c != '/');
        told.push_str(before);
        told.push_str(if begins { path.rsplit('/').next().unwrap_or_default() } else { path });
        rest = after;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(raw: i32, stderr: &str) -> FaultClass {
        fault_class(
            ExitStatus::from_raw(raw),
            stderr,
            &[Path::new("/data/in"), Path::new("/data/job/o.mp4")],
            false,
        )
    }

    const EXIT_1: i32 = 1 << 8;

    #[test]
    fn who_is_to_blame() {
        let input =
            "[mov @ 0x55] moov atom not found\nfile:/data/in: Invalid data found when processing input";
        assert_eq!(of(EXIT_1, input), FaultClass::Input);
        // A video that names files which the sandbox keeps from it.
        assert_eq!(of(EXIT_1, "/etc/passwd: Permission denied"), FaultClass::Input);
        assert_eq!(of(EXIT_1, "[mov @ 0x5] no No space left on device here"), FaultClass::Input);
        for machine in [
            "sh: 1: cannot create /nowhere/o.mp4: Directory nonexistent",
            "av_interleaved_write_frame(): No space left on device\nConversion failed!",
            "pthread_create() failed: Resource temporarily unavailable.",
            "file:/data/job/o.mp4: No such file or directory",
            "file:/data/in: Permission denied",
            "/opt/ffmpeg: 3: Cannot fork",
            "",
        ] {
            assert_eq!(of(EXIT_1, machine), FaultClass::Node, "{machine}");
        }
        assert_eq!(of(127 << 8, "ffmpeg: error while loading shared libraries"), FaultClass::Node);
        assert_eq!(of(EXIT_1, "Error: Cannot allocate memory"), FaultClass::Unknown);
        for (signal, blamed) in [
            (Signal::KILL, FaultClass::Node),
            (Signal::TERM, FaultClass::Node),
            (Signal::SEGV, FaultClass::Unknown),
            (Signal::ABORT, FaultClass::Unknown),
            (Signal::SYS, FaultClass::Unknown),
        ] {
            assert_eq!(of(signal.as_raw(), input), blamed, "{signal:?}");
        }
        // Killed by the kernel, since its time was up.
        let killed = ExitStatus::from_raw(Signal::KILL.as_raw());
        assert_eq!(fault_class(killed, "", &[], true), FaultClass::Unknown);
    }

    #[test]
    fn a_reason_tells_nothing_of_the_node() {
        let told = |stderr| {
            let files = [Path::new("/data/tmp/job/o.mp4"), Path::new("/data/tmp/upload-x")];
            reason(stderr, &files, ExitStatus::default())
        };
        let input = "[mov,mp4 @ 0x55] moov atom not found\nfile:/data/tmp/upload-x: Invalid data found when \
                     processing input\n";
        assert_eq!(told(input), "Invalid data found when processing input");
        assert_eq!(told(""), "it ended with exit status: 0");
        assert_eq!(told("[in#0 @ 0x55cd] [h264 @ 0x7f] no frame!\n\n"), "no frame!");
        assert_eq!(told("[mov @ 0x1]"), "it ended with exit status: 0");
        assert_eq!(told("[a @ 0x1 without an end"), "[a @ 0x1 without an end");
        assert_eq!(told("/var/lib/stub/ffmpeg: 3: boom in '/etc/x.conf'"), "ffmpeg: 3: boom in 'x.conf'");
        assert_eq!(told("Error opening file:/data/other/y: gone"), "Error opening file:y: gone");
        assert_eq!(told("rate 24/1 and/or 1/0"), "rate 24/1 and/or 1/0");
        assert_eq!(told("/data/tmp/upload-x: Is a directory"), "it: Is a directory");
    }

    proptest! {
        #[test]
        fn any_words_are_borne(said in r"[ -~é\n]{0,60}|(\[| @ 0x|\]|/a|:| ){0,12}") {
            let told = reason(&said, &[Path::new("/a")], ExitStatus::default());
            prop_assert!(!told.contains('\n'));
        }
    }
}
