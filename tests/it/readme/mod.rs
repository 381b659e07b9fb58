//! The examples of README.md and docs/OPERATIONS.md are run as a newcomer types them: in their order, in one folder, each with a good
//! end. What is put in a command's place is in `PLACES`, and which commands run in another way than to their end, or not here, in
//! `README` and `OPERATIONS`; all others are run as they are, new ones as well. Where a comment shows what is printed, it has to be.

mod examples;
mod shell;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use examples::{Example, of_blocks, of_sentences, read, shows};
use shell::{Running, Shell};

use super::tls::Root;
use crate::support::lab::Lab;
use crate::support::{Clip, skipped};

/// What these tests run. A command that begins with another word is for nobody to run unasked.
const PROGRAMS: [&str; 6] = ["starling", "netem", "curl", "cat", "echo", "openssl"];

/// What a command is, that does not run to its end by itself.
#[derive(Debug)]
enum Play {
    /// It is not run here, and why.
    Elsewhere(&'static str),
    /// It goes on until it is ended: when it has printed this.
    Until(&'static str),
    /// This has to be done before.
    After(&'static str),
    /// And this meanwhile, and then that when it has ended.
    Meanwhile(&'static str, &'static str),
    /// A service that is up when it has printed this; the block's other commands speak with it.
    Serves(&'static str),
    /// It prints all of these.
    Prints(&'static [&'static str]),
}

/// By how commands begin.
type Plays = &'static [(&'static str, Play)];

/// Times and amounts that would only be waited for, in a test's place; ports and a job's number are not known before.
const PLACES: &[(&str, &str)] = &[
    ("starling load clips/", "starling load clips/ --parallel 2 --duration 1s"),
    (" --duration 60s", ""),
    ("at 5s ", "at 0s "),
    ("at 20s ", "at 100ms "),
    ("at 25s ", "at 200ms "),
    ("at 60s ", "at 300ms "),
];

const README: Plays = &[
    (
        "make demo",
        Play::Elsewhere(
            "it builds all in release; what it starts then is a lab as here, and its upload is the next example",
        ),
    ),
    ("make test", Play::Elsewhere("this is a part of it")),
    ("docker compose", Play::Elsewhere("compose.rs")),
    (
        "curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' -D- -o small.mp4 http://127.0.0.1:5001/upload",
        Play::Elsewhere("compose.rs"),
    ),
    ("xdg-open", Play::Elsewhere("it opens a browser: dashboard.rs")),
    ("CLIPS=~/clips docker compose", Play::Elsewhere("compose.rs")),
    ("starling bench", Play::Elsewhere("it takes minutes of the whole machine: bench.rs")),
    (
        "curl --fail-with-body --data-binary @target/demo/clip.mp4 -H",
        Play::Prints(&["x-served-by: node", "x-route: node1/FRA", "x-cache: miss", "x-processing-latency: "]),
    ),
    (
        "curl --fail-with-body --data-binary @target/demo/clip.mp4 'http",
        Play::Prints(&["360p/360p.mp4", "poster/poster.jpg", "sprite/sprite.vtt"]),
    ),
    (
        "starling job retry",
        Play::After(
            "id=$(curl -sf -H 'Prefer: respond-async' --data-binary @films/long.mp4 $STARLING_NODE/upload 2>/dev/null | jq -r .id)\n\
             starling job cancel $id; echo \"id\":\"$id\"",
        ),
    ),
    ("starling members --watch", Play::Until("node3")),
    ("starling events --follow --kind membership", Play::Until("converged")),
    (
        "starling events --follow --until 'failed node3'",
        Play::Meanwhile("starling lab ctl kill node3", "starling lab ctl restart node3"),
    ),
    ("starling lab ctl logs -f", Play::Until("node3 | ")),
    ("netem show", Play::Prints(&["FRA,IAD", "BOM"])),
    ("starling node --name a", Play::Serves("node started")),
    ("starling node --name b", Play::Serves("converged members=2")),
];

const OPERATIONS: Plays = &[("starling node", Play::Serves("node started"))];

/// One reading of a document.
struct Reader {
    shell: Shell,
    plays: Plays,
    played: BTreeSet<&'static str>,
    /// What is put in a command's place beside `PLACES`.
    places: Vec<(String, String)>,
    /// The same where a block has services of its own.
    own: Vec<(String, String)>,
    /// The job that was told of last.
    job: String,
    /// Services of the block.
    services: Vec<Running>,
}

impl Reader {
    fn new(shell: Shell, plays: Plays) -> Self {
        let (places, own) = (Vec::new(), Vec::new());
        Self { shell, plays, played: BTreeSet::new(), places, own, job: String::new(), services: Vec::new() }
    }

    fn read(&mut self, document: &str) {
        let all = of_blocks(&read(document));
        assert!(!all.is_empty(), "{document} has no examples: the test reads it wrongly");
        for block in all.chunk_by(|a, b| a.block == b.block) {
            let has_services =
                block.iter().any(|example| matches!(self.play(example), Some(Play::Serves(_))));
            let places = if has_services { self.own.clone() } else { self.places.clone() };
            for example in block {
                eprintln!("{document}:{}: {}", example.line, example.command);
                self.take(example, &places);
            }
            self.end_services();
        }
        let never: Vec<_> = self.plays.iter().filter(|(begin, _)| !self.played.contains(begin)).collect();
        assert!(never.is_empty(), "{document} has no such examples any more: {never:?}");
    }

    fn play(&self, example: &Example) -> Option<&'static Play> {
        self.plays.iter().find(|(begin, _)| example.command.starts_with(begin)).map(|(_, play)| play)
    }

    fn take(&mut self, example: &Example, places: &[(String, String)]) {
        let found = self.plays.iter().find(|(begin, _)| example.command.starts_with(begin));
        self.played.extend(found.map(|(begin, _)| begin));
        let play = found.map(|(_, play)| play);
        if let Some(Play::Elsewhere(why)) = play {
            eprintln!("  not here: {why}");
            return;
        }
        let program = example.command.split_whitespace().next().unwrap_or_default();
        assert!(
            PROGRAMS.contains(&program),
            "line {}: {program:?} is not known here: {example:?}",
            example.line
        );
        if let Some(Play::After(before)) = play {
            let printed = self.shell.run(before);
            self.learn_job(&printed);
        }
        let command = self.put(&example.command, places);
        let printed = match play {
            None | Some(Play::After(_) | Play::Prints(_) | Play::Elsewhere(_)) => self.shell.run(&command),
            Some(Play::Until(expected)) => {
                let mut running = self.shell.start(&command);
                running.prints(expected);
                running.interrupt();
                running.all()
            }
            Some(Play::Meanwhile(other, then)) => {
                let mut running = self.shell.start(&command);
                self.shell.run(other);
                let status = running.ended();
                let printed = running.all();
                assert!(status.success(), "{command}\n{status}:\n{printed}");
                self.shell.run(then);
                printed
            }
            Some(Play::Serves(expected)) => {
                if !command.contains("--join") {
                    self.end_services();
                }
                let mut running = self.shell.start(&command);
                running.prints(expected);
                self.services.push(running);
                return;
            }
        };
        if let Some(Play::Prints(all)) = play {
            for expected in *all {
                let has = printed.to_lowercase().contains(&expected.to_lowercase());
                assert!(has, "line {}: no {expected:?} in what {command} printed:\n{printed}", example.line);
            }
        }
        self.learn_job(&printed);
        Self::compare(example, &printed);
    }

    /// Services end as by Ctrl-C, and well.
    fn end_services(&mut self) {
        for mut service in self.services.drain(..) {
            let status = service.interrupt();
            assert!(status.success(), "{status}: {}", service.all());
        }
    }

    fn put(&self, command: &str, places: &[(String, String)]) -> String {
        let mut command = command.replace("0193…-node1", &self.job);
        for (here, there) in PLACES {
            command = command.replace(here, there);
        }
        for (here, there) in places {
            command = command.replace(here, there);
        }
        assert!(!command.contains('…'), "what stands for the dots? {command}");
        command
    }

    fn learn_job(&mut self, printed: &str) {
        let told = printed.replace("\\\"", "\"").replace('"', "");
        if let Some((_, rest)) = told.split_once("id:") {
            let id: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
            if id.contains("-node") {
                self.job = id;
            }
        }
    }

    /// `# 202, and {"id":"0193…-node1", …}`: the status that curl got, and what was printed.
    fn compare(example: &Example, printed: &str) {
        let line = example.line;
        let statuses = printed.lines().filter_map(|line| line.strip_prefix("status "));
        let bad = statuses.filter(|status| !status.starts_with('2')).count();
        assert_eq!(bad, 0, "line {line}: {}:\n{printed}", example.command);
        let digits: String = example.comment.chars().take_while(char::is_ascii_digit).collect();
        if digits.len() == 3 {
            assert!(printed.contains(&format!("status {digits}\n")), "line {line}: not {digits}:\n{printed}");
        }
        if let Some(at) = example.comment.find('{') {
            let pattern = example.comment[at..].replace("0193…", "…").replace(", …", ",…");
            assert!(shows(printed, &pattern), "line {line}: not {pattern}:\n{printed}");
        }
    }
}

fn has_tools(tools: &[&str]) -> bool {
    let there = |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    let lacks = tools.iter().find(|tool| !there(tool));
    if let Some(tool) = lacks {
        skipped(&format!("{tool} is not installed"));
    }
    lacks.is_none()
}

/// An address of loopback that this run of the tests has for itself, so that ports are free as they are written.
fn own_address(number: u8) -> String {
    let pid = std::process::id().to_le_bytes();
    format!("127.{}.{}.{}", 64 + number * 64 + pid[2] % 64, pid[1], pid[0].max(1))
}

#[test]
fn the_readmes_examples_do_what_it_says() {
    if !has_tools(&["curl", "tar", "jq"]) {
        return;
    }
    let netem = Path::new(env!("CARGO_BIN_EXE_starling")).with_file_name("netem");
    assert!(netem.exists(), "cargo build -p starling-netem makes {}", netem.display());
    let lab = Lab::start(&["--nodes", "3", "--", "--deadline", "5m"]);
    if lab.report["backend"] == "none" {
        return skipped("links cannot be shaped here");
    }
    let mut shell = Shell::new();
    // What `make demo` leaves, and films of a newcomer's own.
    for folder in ["target/demo", "clips", "films"] {
        std::fs::create_dir_all(shell.path(folder)).unwrap();
    }
    let files = ["target/demo/clip.mp4", "clip.mp4", "film.mp4", "clips/one.mp4", "clips/two.mp4"];
    for (file, tag) in files.iter().zip(700..) {
        std::fs::write(shell.path(file), Clip { tag, ..Clip::default() }.make()).unwrap();
    }
    std::fs::write(shell.path("films/long.mp4"), Clip::long(710).make()).unwrap();
    let nodes: Vec<_> =
        lab.report["nodes"].as_array().unwrap().iter().map(|node| node["http"].as_str().unwrap()).collect();
    shell.set("STARLING_LAB_DIR", lab.base.display().to_string());
    // The commands' default, where the README has none.
    shell.set("STARLING_NODE", format!("http://{}", nodes[0]));
    let mut reader = Reader::new(shell, README);
    for (number, node) in (1..).zip(&nodes) {
        for host in ["127.0.0.1", "localhost"] {
            reader.places.push((format!("{host}:500{number}"), (*node).to_owned()));
        }
        reader.own.push((format!("127.0.0.1:500{number}"), format!("{}:500{number}", own_address(0))));
    }
    reader.read("README.md");
    // What they left behind is what they are for.
    let folder = |name: &str| reader.shell.path(name);
    for (made, bytes) in [("small.mp4", 1000), ("out/clip.360p.mp4", 1000), ("360p/360p.mp4", 1000)] {
        assert!(folder(made).metadata().is_ok_and(|file| file.len() > bytes), "{made}");
    }
}

#[test]
fn the_operators_examples_run() {
    if !has_tools(&["curl", "openssl"]) {
        return;
    }
    let address = own_address(1);
    let mut shell = Shell::new();
    Root::new(shell.path("root.pem")).sign_for(&shell.path(""), &[&address]);
    std::fs::write(shell.path("film.mp4"), Clip { tag: 711, ..Clip::default() }.make()).unwrap();
    for option in ["STARLING_HTTP", "STARLING_GOSSIP"] {
        shell.set(option, format!("{address}:5000"));
    }
    let mut reader = Reader::new(shell, OPERATIONS);
    reader.own.push(("node1.example.com:5000".into(), format!("{address}:5000")));
    reader.read("docs/OPERATIONS.md");
    let saved = reader.shell.path("film.360p.mp4");
    assert!(saved.metadata().is_ok_and(|file| file.len() > 1000), "{}", saved.display());
}

/// Commands in sentences are not run, for each is of another place; but each has the options that it is shown with.
#[test]
fn commands_in_sentences_have_the_options_that_they_are_shown_with() {
    let netem = Path::new(env!("CARGO_BIN_EXE_starling")).with_file_name("netem");
    let (mut seen, mut wrong) = (0, Vec::new());
    for document in ["README.md", "docs/API.md", "docs/OPERATIONS.md"] {
        for command in of_sentences(&read(document), &["starling", "netem"]) {
            // The first command of a line; and what comes before the options that are for something else.
            let own = command.split(['|', '<', '>', ';', '&']).next().unwrap_or_default();
            let own = own.split(" -- ").next().unwrap_or_default();
            // Whoever asks for help is not asked for what is missing; what is wrong before that is told.
            let asked = format!("PATH={}:$PATH; {own} --help", netem.parent().unwrap().display());
            let output = Command::new("bash").args(["-c", &asked]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            // An option that is named without its value, or a word like FILE in the place of one.
            let stands_for_one = told.split_once("invalid value '").is_some_and(|(_, value)| {
                value
                    .split('\'')
                    .next()
                    .is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
            });
            if !output.status.success() && !stands_for_one && !told.contains("a value is required for") {
                wrong.push(format!("{document}: `{command}`: {told}"));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 20, "{seen} commands: the test reads them wrongly");
}
