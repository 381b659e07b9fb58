//! The dashboard in a browser, while a lab is used and broken: what is seen of it, and that it is for everybody.
//!
//! Pictures of it stay in the target folder, `dashboard/`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::Lab;
use crate::support::{Chromium, Clip, PATIENCE, fetched, skipped};

/// Sizes that it is looked at in: a desk, and a phone.
const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// axe-core, where `scripts/deps.sh` has put it.
fn axe() -> Option<String> {
    fetched("player/node_modules/axe-core/axe.min.js").map(|file| std::fs::read_to_string(file).unwrap())
}

/// The page, and where pictures of it go.
struct Page {
    browser: Chromium,
    axe: String,
    pictures: PathBuf,
}

impl Page {
    fn open(url: &str, axe: String) -> Self {
        let pictures = target().join("dashboard");
        std::fs::create_dir_all(&pictures).unwrap();
        let mut browser = Chromium::open("about:blank");
        browser.look(DESK.0, DESK.1, false);
        browser.go(url);
        Self { browser, axe, pictures }
    }

    fn run(&mut self, expression: &str) -> Value {
        self.browser.run(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true, and tells what the page says if it does not come to be.
    fn until(&mut self, what: &str, condition: &str) {
        let wait = format!(
            "new Promise((is, not) => {{
                const end = performance.now() + {};
                const look = () => {{
                    if ({condition}) is(true);
                    else if (performance.now() > end) not(new Error('still not so: ' + document.body.innerText.slice(0, 600)));
                    else setTimeout(look, 50);
                }};
                look();
            }})",
            PATIENCE.as_millis()
        );
        self.browser.run(&wait).unwrap_or_else(|error| panic!("{what}: {error}"));
    }

    fn sentence(&mut self, what: &str, begin: &str) {
        self.until(what, &format!("document.querySelector('#sentence').textContent.startsWith({begin:?})"));
    }

    /// What of the page is not for everybody, by axe's rules.
    fn assert_for_everybody(&mut self, what: &str) {
        if self.run("typeof axe").as_str() == Some("undefined") {
            let library = format!("{};0", self.axe);
            self.run(&library);
        }
        let found = self.run(
            "axe.run().then((found) => found.violations.map((one) => \
             one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join(' | ')))",
        );
        assert_eq!(found, Value::Array(Vec::new()), "{what}");
    }

    /// Keeps pictures of it as it is, in light and dark and on a phone, and looks whether all of it is reached.
    fn look(&mut self, name: &str, everywhere: bool) {
        self.picture(name);
        if !everywhere {
            return;
        }
        for (suffix, (width, height), dark) in
            [("dark", DESK, true), ("phone", PHONE, false), ("wall", (2560, 1440), true)]
        {
            self.browser.look(width, height, dark);
            self.run("new Promise((is) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(is)), 300))");
            let wide = self.run("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{suffix}: {wide} pixels too wide");
            self.assert_for_everybody(suffix);
            self.picture(&format!("{name}-{suffix}"));
        }
        self.browser.look(DESK.0, DESK.1, false);
    }

    fn picture(&mut self, name: &str) {
        let file = self.pictures.join(format!("{name}.png"));
        self.browser.screenshot(&file);
    }
}

fn rows(state: &str) -> String {
    format!("document.querySelectorAll('#nodes tbody .badge.{state}').length")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_used_and_broken_and_the_page_shows_it() {
    let Some(axe) = axe() else {
        return skipped("axe-core is not there: CI=true scripts/deps.sh test fetches it (npm)");
    };
    if !Chromium::is_installed() {
        return skipped("chromium is not installed");
    }
    let mut lab = Lab::start(&["--", "--timing", "local", "--deadline", "5m"]);
    if lab.report["isolation"] == "loopback" || lab.report["backend"] == "none" {
        return skipped("no links to cut here");
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("Kitten & friends.mp4");
    std::fs::write(&clip, Clip { tag: 901, ..Clip::default() }.make()).unwrap();
    let origin = lab.report["nodes"][0]["http"].as_str().unwrap().to_owned();
    tokio::task::block_in_place(|| {
        // A browser that asks for the root finds it.
        let mut page = Page::open(&format!("http://{origin}/"), axe);
        page.sentence("all is well", "All 5 nodes are well, in 3 zones");
        assert_eq!(page.run("location.pathname"), "/dashboard");
        assert_eq!(page.run("document.querySelector('#lab').hidden"), true, "a node breaks nothing");
        // The lab's own, whose address has its token.
        let address = lab.report["dashboard"].as_str().unwrap().to_owned();
        page.browser.go(&address);
        page.sentence("all is well there, too", "All 5 nodes are well, in 3 zones");
        page.until("the lab has buttons", "document.querySelectorAll('#lab-zone option').length === 3");
        assert_eq!(page.run("location.hash"), "", "the token does not stay in sight");
        refuses_without_token(&mut page);
        page.until("five healthy nodes", &format!("{} === 5", rows("ok")));
        page.until(
            "links have round trips",
            "document.querySelectorAll('.link.well, .link.lossy').length >= 2",
        );
        page.assert_for_everybody("light");
        uploads(&mut page, &clip);
        page.look("well", true);
        breaks(&mut page);
        one_node(&mut page);
        crowd(&mut page);
        assert_eq!(page.browser.complaints(), [] as [String; 0]);
    });
    lab.signal("-TERM");
    lab.gone().await;
}

/// An upload by the page, which is made, decided about, shown, and played.
fn uploads(page: &mut Page, clip: &Path) {
    page.until("profiles are offered", "document.querySelectorAll('#profile option').length > 3");
    page.browser.choose("#file", &[clip]);
    page.until("the upload is done", "document.querySelector('.results li.ok video')");
    let played = "(async () => { const video = document.querySelector('.results video'); video.muted = true; await video.play(); \
                  await new Promise((is, not) => { video.ontimeupdate = () => video.currentTime > 0.1 && is(); video.onended = is; \
                  video.onerror = () => not(video.error); }); return [video.videoWidth, video.videoHeight]; })()";
    assert!(page.run(played)[0].as_u64().unwrap() > 0);
    page.until("the job is told of", "document.querySelector('#jobs-body .badge.ok')");
    page.until("and decided about", "document.querySelector('#decisions-body tr.won')");
    let why = page.run("[...document.querySelectorAll('#decisions-body details[open] tbody tr td:last-child')].map((td) => td.textContent)");
    let why = why.as_array().unwrap();
    assert!(why.len() >= 2 && why.iter().all(|why| !why.as_str().unwrap().is_empty()), "{why:?}");
}

/// Whoever does not have the token, or comes from another page, breaks nothing.
fn refuses_without_token(page: &mut Page) {
    for headers in ["{}", "{'X-Lab-Token': '00000000000000000000000000000000'}"] {
        let ask = format!(
            "fetch('/lab/do', {{method: 'POST', headers: {headers}, body: '{{\"do\":\"kill\",\"node\":\"node2\"}}'}}).then((answer) => answer.status)"
        );
        assert_eq!(page.run(&ask), 403);
    }
    // The browser has told of them.
    page.browser.forgive("403 (Forbidden)");
}

/// Chooses in a list of the lab's, and presses a button.
fn press(page: &mut Page, list: &str, choice: &str, button: &str) {
    page.run(&format!("document.querySelector('#lab-{list}').value = '{choice}'"));
    page.run(&format!(
        "[...document.querySelectorAll('#lab button')].find((one) => one.textContent === '{button}').click()"
    ));
}

/// A zone that is cut off, and a node that is killed: by the lab's buttons.
fn breaks(page: &mut Page) {
    press(page, "zone", "IAD", "Cut off");
    page.until("the map shows the cut", "document.querySelectorAll('.link.cut').length === 2");
    page.sentence("the zone is to blame", "Zone IAD is cut off or down");
    page.look("partition", false);
    page.until("the lab says so", "document.querySelector('#lab-body').textContent.includes('cut')");
    press(page, "zone", "IAD", "Heal all");
    page.sentence("all is well again", "All 5 nodes are well, in 3 zones");
    page.until("no link is cut", "document.querySelectorAll('.link.cut').length === 0");
    press(page, "node", "node3", "Kill");
    page.sentence("the killed node is to blame", "node3 has failed");
    page.until("it is shown as failed", &format!("{} === 1 && {} === 4", rows("bad"), rows("ok")));
    page.until(
        "the timeline tells of it",
        "document.querySelector('#timeline li.bad')?.textContent.includes('node3')",
    );
    page.look("failed", false);
}

/// A node's own page, by the keyboard.
fn one_node(page: &mut Page) {
    page.run("document.querySelector('#nodes th a').focus()");
    page.run("document.activeElement.click()");
    page.until(
        "the node's own page",
        "document.querySelector('#node-page h2')?.textContent.startsWith('node1')",
    );
    page.until("its figures", "document.querySelectorAll('#node-page tbody tr').length > 10");
    page.assert_for_everybody("a node's own page");
    page.look("node", false);
    page.run("location.hash = ''");
    page.until("back", "!document.querySelector('#overview').hidden");
}

/// Five hundred nodes, made of the ones that there are.
fn crowd(page: &mut Page) {
    page.run(
        "import('/dashboard/live.js').then(({ live, take, stop }) => {
            stop();
            const many = structuredClone(live.state);
            const [one] = many.nodes.filter((node) => node.state === 'alive');
            many.nodes = Array.from({ length: 500 }, (_, index) => ({
                ...structuredClone(one), name: 'node' + (index + 1), zone: ['FRA', 'IAD', 'BOM'][index % 3],
                cpu: (index % 100) / 100, queued: index % 7 ? 0 : index % 64,
                state: index % 97 === 5 ? 'dead' : index % 89 === 7 ? 'suspect' : 'alive',
            }));
            take(many);
        })",
    );
    page.until("a grid of them", "document.querySelectorAll('#nodes .cell').length === 500");
    let (columns, height) = (
        page.run("document.documentElement.scrollWidth"),
        page.run("document.querySelector('#nodes').offsetHeight"),
    );
    assert!(columns.as_u64().unwrap() <= DESK.0.into(), "{columns}");
    assert!(height.as_u64().unwrap() < u64::from(DESK.1), "all nodes are seen at once: {height}");
    page.assert_for_everybody("500 nodes");
    news_of_one(page);
    page.run("document.querySelector('#nodes').scrollIntoView()");
    page.look("crowd", false);
}

/// What changes on the page is bounded by what has changed, and not by the number of nodes: no task is long then.
fn news_of_one(page: &mut Page) {
    page.run(
        "import('/dashboard/live.js').then(({ live, take }) => {
            const size = (node) => 1 + (node.querySelectorAll?.('*').length ?? 0);
            window.touched = 0;
            const watch = new MutationObserver((changes) => {
                for (const { addedNodes } of changes) {
                    window.touched += 1 + [...addedNodes].reduce((sum, node) => sum + size(node), 0);
                }
            });
            for (const id of ['nodes', 'events', 'tables']) {
                const place = document.getElementById(id);
                watch.observe(place, { attributes: true, characterData: true, childList: true, subtree: true });
            }
            const next = structuredClone(live.state);
            Object.assign(next.nodes[0], { cpu: 0.913, queued: 61 });
            window.before = document.querySelector('#nodes .cell[href=\"#node/node1\"]');
            take(next);
        })",
    );
    page.until("its CPU in a table", "document.querySelector('#tables tbody td').textContent === '91 %'");
    page.until("its queue in the grid", "window.before.isConnected && window.before.textContent === '61'");
    let touched = page.run("window.touched").as_u64().unwrap();
    assert!((1..=40).contains(&touched), "{touched} elements changed for one node");
}
