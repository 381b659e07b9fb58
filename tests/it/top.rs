//! `starling top` in a terminal of 80 by 24, as over ssh: `script` of util-linux makes one.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::support::{Node, NodeOptions, eventually, skipped};

const WIDTH: usize = 80;
const HEIGHT: usize = 24;

/// What a terminal shows, of the few orders that are used here: go there, write, clear. What is written below the last line or beyond
/// the last column is remembered.
struct Screen {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    outside: Vec<(usize, usize)>,
    /// An order that has not come whole.
    order: String,
    /// All orders but those that move.
    orders: Vec<String>,
}

impl Screen {
    fn new() -> Self {
        let cells = vec![vec![' '; WIDTH]; HEIGHT];
        Self { cells, at: (0, 0), outside: Vec::new(), order: String::new(), orders: Vec::new() }
    }

    fn take(&mut self, text: &str) {
        for letter in text.chars() {
            if !self.order.is_empty() || letter == '\u{1b}' {
                self.order.push(letter);
                let body = self.order.strip_prefix("\u{1b}[");
                if body.is_some_and(|body| body.ends_with(|last: char| last.is_ascii_alphabetic())) {
                    let order = std::mem::take(&mut self.order);
                    self.obey(&order[2..]);
                } else if body.is_none() && self.order.len() >= 2 {
                    self.order.clear();
                }
                continue;
            }
            let (x, y) = self.at;
            match letter {
                '\r' => self.at.0 = 0,
                '\n' => self.at.1 += 1,
                _ => {
                    match self.cells.get_mut(y).and_then(|row| row.get_mut(x)) {
                        Some(cell) => *cell = letter,
                        None => self.outside.push((x, y)),
                    }
                    self.at.0 += 1;
                }
            }
        }
    }

    fn obey(&mut self, order: &str) {
        let (numbers, name) = order.split_at(order.len() - 1);
        match name {
            "H" => {
                let number =
                    |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok()).unwrap_or(1);
                let mut parts = numbers.split(';');
                let (y, x) = (number(parts.next()), number(parts.next()));
                self.at = (x - 1, y - 1);
            }
            "J" => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            _ => self.orders.push(order.to_owned()),
        }
    }

    fn text(&self) -> String {
        self.cells.iter().map(|row| row.iter().collect::<String>() + "\n").collect()
    }
}

/// `starling top` in a terminal; killed when dropped.
struct Top {
    child: Child,
    screen: Arc<Mutex<Screen>>,
}

impl Top {
    /// What the terminal's settings are before and after is written into the folder.
    fn start(node: &str, folder: &Path) -> Self {
        let line = format!(
            "cd '{}'; stty rows {HEIGHT} cols {WIDTH}; stty -a > before; '{}' top --node {node}; echo $? > status; stty -a > after",
            folder.display(),
            env!("CARGO_BIN_EXE_starling"),
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(Screen::new()));
        let (mut out, shown) = (child.stdout.take().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let (mut buffer, mut rest) = ([0; 4096], Vec::new());
            while let Ok(size @ 1..) = out.read(&mut buffer) {
                rest.extend_from_slice(&buffer[..size]);
                // A letter may come in two parts.
                let whole = std::str::from_utf8(&rest).map_or_else(|error| error.valid_up_to(), str::len);
                shown.lock().take(std::str::from_utf8(&rest[..whole]).unwrap());
                rest.drain(..whole);
            }
        });
        Self { child, screen }
    }

    async fn shows(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let shown = eventually(what, async || {
            last = self.screen.lock().text();
            wanted(&last)
        });
        shown.await;
    }

    fn press(&mut self, key: &str) {
        self.child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

#[tokio::test]
async fn it_shows_a_cluster_in_80_by_24_and_leaves_the_terminal_as_it_was() {
    if Command::new("script").arg("--version").output().is_err() {
        return skipped("script is not installed (Debian's package bsdutils)");
    }
    let mut node1 = Node::start(NodeOptions::new("node1", "FRA"));
    let _node2 = Node::start(NodeOptions::new("node2", "IAD").join(&node1.gossip));
    let folder = tempfile::tempdir().unwrap();
    let mut top = Top::start(&node1.http_address, folder.path());
    top.shows("both nodes", |text| {
        ["OK ", "All 2 nodes are well, in 2 zones", "node1", "node2", "q end"]
            .iter()
            .all(|word| text.contains(word))
    })
    .await;
    assert!(top.screen.lock().orders.iter().any(|order| order == "?1049h"), "on a screen of its own");
    top.press("2");
    top.shows("the nodes alone", |text| text.contains("┌nodes") && !text.contains("┌links")).await;
    // Its node is killed, and comes back.
    node1.kill();
    top.shows("it says that it is blind", |text| text.contains("LOST: ")).await;
    node1.kill_and_restart();
    top.shows("it sees again", |text| text.contains("All 2 nodes are well") && !text.contains("LOST")).await;
    top.press("q");
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    eventually("it ends", async || !file("after").is_empty() && top.child.try_wait().unwrap().is_some())
        .await;
    assert_eq!(file("status"), "0\n");
    assert!(file("before").contains(" echo ") && file("before").contains(" icanon "), "{}", file("before"));
    assert_eq!(file("after"), file("before"), "the terminal is as it was");
    let screen = top.screen.lock();
    let back = |order: &str| screen.orders.iter().any(|one| one == order);
    assert!(
        back("?1049l") && back("?25h"),
        "the shell's screen and its cursor are back: {:?}",
        screen.orders
    );
    assert_eq!(screen.outside, [], "nothing is written beyond 80 by 24");
}

#[tokio::test]
async fn without_a_terminal_it_says_what_scripts_can_ask() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_starling")).args(["top", "--node", "127.0.0.1:1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
    assert!(said.contains("it needs a terminal") && said.contains("starling members --json"), "{said}");
}
