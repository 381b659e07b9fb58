//! The page in a browser: what is seen of it, and that it is for everybody.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Chromium, PATIENCE, fetched, skipped};

/// Sizes that it is looked at in: a desk, and a phone.
pub const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// axe-core, where `scripts/deps.sh` has put it and there is a browser; else the test says that it was skipped.
pub fn axe() -> Option<String> {
    let Some(file) = fetched("player/node_modules/axe-core/axe.min.js") else {
        skipped("axe-core is not there: CI=true scripts/deps.sh test fetches it (npm)");
        return None;
    };
    if !Chromium::is_installed() {
        skipped("chromium is not installed");
        return None;
    }
    Some(std::fs::read_to_string(file).unwrap())
}

/// The page, and where pictures of it go.
pub struct Page {
    pub browser: Chromium,
    axe: String,
    pictures: PathBuf,
}

impl Page {
    pub fn open(url: &str, axe: String) -> Self {
        let pictures = target().join("dashboard");
        std::fs::create_dir_all(&pictures).unwrap();
        let mut browser = Chromium::open("about:blank");
        browser.look(DESK.0, DESK.1, false);
        browser.go(url);
        Self { browser, axe, pictures }
    }

    pub fn run(&mut self, expression: &str) -> Value {
        self.browser.run(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true, and tells what the page says if it does not come to be.
    pub fn until(&mut self, what: &str, condition: &str) {
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

    pub fn sentence(&mut self, what: &str, begin: &str) {
        self.until(what, &format!("document.querySelector('#sentence').textContent.startsWith({begin:?})"));
    }

    /// What of the page is not for everybody, by axe's rules.
    pub fn assert_for_everybody(&mut self, what: &str) {
        if self.run("typeof axe").as_str() == Some("undefined") {
            let library = format!("{};0", self.axe);
            self.run(&library);
        }
        // What is out of sight is looked at, too.
        let found = self.run(
            "(async () => {
                const sheet = [...document.styleSheets].at(-1);
                const place = sheet.insertRule('#overview > section { content-visibility: visible }', sheet.cssRules.length);
                const found = await axe.run();
                sheet.deleteRule(place);
                return found.violations.map((one) => one.id + ': ' +
                    one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join(' | '));
            })()",
        );
        assert_eq!(found, Value::Array(Vec::new()), "{what}");
    }

    /// Keeps pictures of it as it is, in light and dark and on a phone, and looks whether all of it is reached.
    pub fn look(&mut self, name: &str, everywhere: bool) {
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

pub fn rows(state: &str) -> String {
    format!("document.querySelectorAll('#nodes tbody .badge.{state}').length")
}
