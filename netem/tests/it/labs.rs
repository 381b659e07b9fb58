//! How the `netem` command finds a lab: by the folder and the id that the environment or options give. None of it needs links.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use starling_netem::control::{LAB_SOCKET, LABS_MARK};

/// What plays a lab's holder: answers one order.
fn lab(base: &Path, id: &str) -> JoinHandle<String> {
    std::fs::create_dir(base.join(id)).unwrap();
    let listener = UnixListener::bind(base.join(id).join(LAB_SOCKET)).unwrap();
    std::thread::spawn(move || {
        // A command that has several to choose from connects to each, and goes.
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut order = String::new();
            if BufReader::new(stream.try_clone().unwrap()).read_line(&mut order).unwrap() > 0 {
                stream.write_all(b"{\"healed\":7}\n").unwrap();
                return order;
            }
        }
    })
}

/// What `netem heal` says, on stdout or stderr, and whether it is content.
fn heal(environment: &[(&str, &Path)], options: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netem"));
    for name in ["NETEM_SOCKET", "STARLING_LAB", "STARLING_LAB_DIR"] {
        command.env_remove(name);
    }
    let output = command.arg("heal").args(options).envs(environment.iter().copied()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn base() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("labs");
    std::fs::create_dir(&base).unwrap();
    (folder, base)
}

#[test]
fn a_lab_in_a_folder_of_its_own_is_found_by_the_environment() {
    let (_folder, base) = base();
    std::fs::write(base.join(LABS_MARK), "").unwrap();
    let holder = lab(&base, "ab1");
    assert_eq!(heal(&[("STARLING_LAB_DIR", &base)], &[]), (true, "healed: 7\n".to_owned()));
    assert!(holder.join().unwrap().contains("heal"));
}

#[test]
fn one_of_several_is_chosen_by_its_id() {
    let (_folder, base) = base();
    std::fs::write(base.join(LABS_MARK), "").unwrap();
    let (first, second) = (lab(&base, "ab1"), lab(&base, "ab2"));
    let folder: &[(&str, &Path)] = &[("STARLING_LAB_DIR", &base)];
    let (content, said) = heal(folder, &[]);
    assert!(!content && said.contains("several labs are running"), "{said}");
    assert!(heal(folder, &["--lab", "ab2"]).0);
    second.join().unwrap();
    assert!(heal(&[("STARLING_LAB_DIR", &base), ("STARLING_LAB", Path::new("ab1"))], &[]).0);
    first.join().unwrap();
    let (content, said) = heal(folder, &["--lab", "abe"]);
    assert!(!content && said.contains("by the id abe"), "{said}");
}

#[test]
fn nothing_is_made_in_a_folder_that_is_no_labs() {
    let (folder, base) = base();
    std::fs::create_dir(base.join("precious")).unwrap();
    let holder = lab(&base, "ab1");
    let (content, said) = heal(&[("STARLING_LAB_DIR", &base)], &[]);
    assert!(!content && said.contains("is no folder of labs"), "{said}");
    assert!(!holder.is_finished());
    let (content, said) = heal(&[("STARLING_LAB_DIR", &folder.path().join("none"))], &[]);
    assert!(!content && said.contains("start one with"), "{said}");
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((names(folder.path()), names(&base), names(&base.join("precious"))), (1, 2, 0));
}
