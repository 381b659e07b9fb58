//! `starling sim --serve` on the page: a run of 500 nodes is held, stepped, hurried and looked at, and the page stays quick meanwhile.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::page::{Page, axe};
use crate::support::PATIENCE;

/// A task of the page's thread that takes longer is felt by whoever types or scrolls (W3C Long Tasks API).
const TASK_MS_MAX: f64 = 50.0;

/// States of a run that are shown meanwhile, one a second.
const STATES: usize = 20;

/// A simulation that is played; killed when dropped.
struct Simulation {
    child: Child,
    url: String,
}

impl Simulation {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["sim", "--serve", "127.0.0.1:0", "--paused"])
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("starling sim: ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, url }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn press(page: &mut Page, button: &str) {
    page.run(&format!(
        "[...document.querySelectorAll('#sim button')].find((one) => one.textContent === '{button}').click()"
    ));
}

/// The page shows the run for a while, and no task of it takes long. What the browser calls long (`longtask`) goes by the clock, and is
/// told beside; where other processes have the cores meanwhile, what counts is how much of a core each task took.
fn stays_quick(page: &mut Page) {
    page.run(
        "import('/dashboard/live.js').then(({ onState }) => {
            window.states = 0;
            window.long = [];
            onState(() => { window.states += 1; });
            const watch = new PerformanceObserver((list) => window.long.push(...list.getEntries().map((task) => task.duration)));
            watch.observe({ type: 'longtask' });
        })",
    );
    page.browser.begin_trace();
    press(page, "Play");
    page.until("many states are shown", &format!("window.states >= {STATES}"));
    let tasks = page.browser.end_trace();
    let long = page.run("window.long");
    let cpu_ms = tasks.iter().map(|(_, cpu_ms)| *cpu_ms).fold(0.0, f64::max);
    let told =
        format!("{} tasks, the longest (clock, CPU): {:?}; longtask: {long}", tasks.len(), &tasks[..3]);
    eprintln!("{told}");
    assert!(tasks.len() > STATES, "the page has worked: {told}");
    assert!(cpu_ms > 0.0 && cpu_ms <= TASK_MS_MAX, "{told}");
}

/// Chooses how fast it goes.
fn speed(page: &mut Page, times: f64) {
    page.run(&format!(
        "(() => {{
            const speed = document.querySelector('#sim-speed');
            speed.value = '{times}';
            speed.dispatchEvent(new Event('change'));
        }})()"
    ));
    comes_to(page, "its speed", |told| told["speed"] == times);
}

/// Waits until the run is so.
fn comes_to(page: &mut Page, what: &str, is_so: impl Fn(&Value) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = playing(page);
        if is_so(&told) {
            return;
        }
        assert!(Instant::now() < end, "still not so: {what}: {told}");
    }
}

fn playing(page: &mut Page) -> Value {
    page.run("fetch('/sim').then((answer) => answer.json())")
}

/// What the page says of the run.
fn says(page: &mut Page, what: &str, words: &str) {
    page.until(what, &format!("document.querySelector('#sim-at')?.textContent.includes({words:?})"));
}

#[test]
fn a_run_of_500_nodes_is_played_on_the_page() {
    let Some(axe) = axe() else { return };
    let args = ["--nodes", "500", "--seed", "7", "--duration", "4s", "--kill", "8"];
    let simulation = Simulation::start(&args);
    let mut page = Page::open(&simulation.url, axe);
    says(&mut page, "it is held at its beginning", "Seed 7, 500 nodes, run 1: 0.0 s, paused.");
    page.sentence("its nodes are told of", "All 500 nodes are well, in 3 zones");
    page.until("and seen", "document.querySelectorAll('#nodes .cell.ok').length === 500");
    page.assert_for_everybody("a simulation");
    page.look("simulation", true);

    // While it is held nothing moves; a step is a fifth of a second.
    let held = playing(&mut page);
    assert!(held["paused"] == true && held["at_s"].as_f64().unwrap() < 0.1, "{held}");
    for at in ["0.2 s, paused", "0.4 s, paused"] {
        press(&mut page, "Step");
        says(&mut page, "a step", at);
    }
    speed(&mut page, 5.0);
    let until = |page: &mut Page, at_s: &str| {
        page.run(&format!("document.querySelector('#sim-until').value = '{at_s}'"));
        press(page, "Go");
    };
    until(&mut page, "0.1");
    page.until(
        "it can't go back",
        "document.querySelector('#sim-said').textContent.includes('give a later time')",
    );
    until(&mut page, "4");
    says(&mut page, "as far as it was told to", "4.0 s, paused.");
    assert_eq!(page.run("document.querySelector('#sim-said').textContent"), "");

    // Live, while nodes are killed.
    speed(&mut page, 1.0);
    stays_quick(&mut page);
    press(&mut page, "Pause");
    says(&mut page, "it is held again", "paused.");
    page.until(
        "what goes wrong is listed",
        "document.querySelector('#sim-faults li')?.textContent.includes('Kill(')",
    );
    page.until(
        "a killed node is seen to be gone",
        "document.querySelectorAll('#nodes .cell.bad').length > 0",
    );
    page.assert_for_everybody("a simulation with failed nodes");
    page.look("simulation-failed", false);
    let (one, other) = (playing(&mut page), playing(&mut page));
    assert_eq!(one["at_s"], other["at_s"]);

    // Through another node, and from the beginning.
    page.run("document.querySelector('#sim-node').value = '2'");
    press(&mut page, "Look");
    press(&mut page, "Step");
    page.until("another node's view", "document.querySelector('#source').textContent.includes('as node2')");
    press(&mut page, "From the beginning");
    says(&mut page, "it begins again", "run 2: ");
    // The browser has told of the order that was refused.
    page.browser.forgive("400 (Bad Request)");
    assert_eq!(page.browser.complaints(), [] as [String; 0]);
}

/// Suspicion is over soon, and is looked at while the run is held.
#[test]
fn a_suspected_node_is_shown_to_everybody() {
    let Some(axe) = axe() else { return };
    let simulation =
        Simulation::start(&["--nodes", "5", "--seed", "3", "--warm", "--duration", "2s", "--kill", "1"]);
    let mut page = Page::open(&simulation.url, axe);
    says(&mut page, "it is held at its beginning", "0.0 s, paused.");
    let is_suspected =
        "document.querySelector('#nodes tbody tr.warn .badge.warn')?.textContent === 'suspected'";
    let mut steps = 0;
    while page.run("document.querySelector('#sim-faults li') !== null") == false {
        step(&mut page, &mut steps);
    }
    while page.run(is_suspected) == false {
        step(&mut page, &mut steps);
    }
    page.until(
        "it is to blame",
        "/^node[0-9] is suspected/.test(document.querySelector('#sentence').textContent)",
    );
    page.until("in amber", "document.querySelector('#verdict').className === 'warn'");
    page.assert_for_everybody("a suspected node");
    page.look("suspected", true);
    // To its end: no rule is broken, and the page says so.
    press(&mut page, "Play");
    page.run("document.querySelector('#sim-until').value = '100000'");
    press(&mut page, "Go");
    says(&mut page, "it is over", ", over.");
    page.until(
        "what it came to is told",
        "document.querySelector('#sim-broken li.ok')?.textContent === 'No rule was broken.'",
    );
    assert_eq!(page.browser.complaints(), [] as [String; 0]);
}

/// A fifth of a second more, and what the page says then.
fn step(page: &mut Page, steps: &mut u32) {
    *steps += 1;
    assert!(*steps < 1_000, "{}", playing(page));
    let before = playing(page)["at_s"].clone();
    press(page, "Step");
    comes_to(page, "a step", |told| told["at_s"] != before);
    page.run("import('/dashboard/live.js').then(({ onState }) => new Promise((is) => { onState(() => setTimeout(is, 100)); }))");
}
