//! The page's stream while its node and the way to it come and go, and what the browser lets the page ask.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::page::{Page, axe};
use crate::support::{Node, NodeOptions};

/// The way from the page to its node, which can be cut; ends with the test.
struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections are ended at once.
    cut: Mutex<bool>,
    open: Mutex<Vec<TcpStream>>,
    /// What was asked on each connection.
    asked: Mutex<Vec<u8>>,
}

impl Way {
    fn to(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, node) = (Arc::new(Shared::default()), node.to_owned());
        let way = Arc::clone(&shared);
        std::thread::spawn(move || {
            for from in listener.incoming().map(Result::unwrap) {
                // Held, so that none slips through while the way is cut.
                let cut = way.cut.lock();
                let Some(to) = (!*cut).then(|| TcpStream::connect(&node).ok()).flatten() else { continue };
                way.open.lock().extend([from.try_clone().unwrap(), to.try_clone().unwrap()]);
                let (back, forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                let asked = Arc::clone(&way);
                std::thread::spawn(move || copy(from, to, |bytes| asked.asked.lock().extend(bytes)));
                std::thread::spawn(move || copy(back, forth, |_| {}));
            }
        });
        Self { address, shared }
    }

    fn cut(&self) {
        *self.shared.cut.lock() = true;
        for end in self.shared.open.lock().drain(..) {
            // Either end may have gone by itself.
            drop(end.shutdown(Shutdown::Both));
        }
    }

    fn mend(&self) {
        self.shared.asked.lock().clear();
        *self.shared.cut.lock() = false;
    }

    /// The header of that name in what was asked since the way was mended.
    fn asked_with(&self, name: &str) -> Option<String> {
        let asked = self.shared.asked.lock();
        let text = String::from_utf8_lossy(&asked).into_owned();
        text.lines().find_map(|line| {
            let (is, value) = line.split_once(": ")?;
            is.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        see(&buffer[..size]);
        if to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    // The other one may have ended both already.
    drop(to.shutdown(Shutdown::Write));
}

/// What the page has of the stream.
fn told(page: &mut Page) -> Value {
    page.run(
        "import('/dashboard/live.js').then(({ live }) => ({
            boot: live.state.source.boot, first: live.series.first, points: live.series.points.length,
            newest: live.series.points.at(-1), same: live.series === window.before,
        }))",
    )
}

/// What the page has of the series is remembered.
fn remember(page: &mut Page) {
    page.run("import('/dashboard/live.js').then(({ live }) => { window.live = live; window.before = live.series; })");
}

/// The stream's first part that has a state, as it is told to one who comes with this id.
fn begins(page: &mut Page, id: &str) -> String {
    let ask = format!(
        "(async () => {{
            const stop = new AbortController();
            const answer = await fetch('/dashboard/stream', {{ headers: {{ 'Last-Event-ID': '{id}' }}, signal: stop.signal }});
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            let text = '';
            while (!/event: state\\ndata: .*\\n\\n/.test(text)) text += (await reader.read()).value;
            stop.abort();
            return text;
        }})()"
    );
    page.run(&ask).as_str().unwrap().to_owned()
}

/// The id and the document of an event of the stream.
fn series(text: &str) -> Option<(String, Value)> {
    let event = text.split("\n\n").find(|event| event.contains("event: series\n"))?;
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    Some((field("id: "), serde_json::from_str(&field("data: ")).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_goes_on_where_it_was_when_its_node_or_the_way_to_it_was_gone() {
    let Some(axe) = axe() else { return };
    let mut node = Node::start(NodeOptions::new("node1", "FRA"));
    let way = Way::to(&node.http_address);
    tokio::task::block_in_place(|| {
        let mut page = Page::open(&format!("http://{}/dashboard", way.address), axe);
        let lives = "document.querySelector('#live').textContent === 'Live'";
        page.until("it is live", lives);
        page.until(
            "it has a series",
            "import('/dashboard/live.js').then(() => true) && document.querySelector('#charts-body figure')",
        );
        remember(&mut page);
        page.until("of some points", "window.before.points.length >= 3");
        let before = told(&mut page);

        // The way is cut: the same boot goes on with what came meanwhile.
        way.cut();
        page.until(
            "it says so",
            "document.querySelector('#live').textContent === 'Connection lost; trying again'",
        );
        page.until("and marks it", "document.querySelector('#live').className === 'bad'");
        way.mend();
        page.until("it is live again", lives);
        page.until("newer points come", &format!("window.live.series.points.length > {}", before["points"]));
        let after = told(&mut page);
        assert_eq!((&after["same"], &after["boot"]), (&true.into(), &before["boot"]), "{before} {after}");
        let (id, boot) = (way.asked_with("Last-Event-ID"), before["boot"].to_string());
        let id = id.unwrap_or_else(|| panic!("it says what it has: {before}"));
        assert_eq!(id.split_once('-').map(|(of, _)| of), Some(boot.as_str()), "{id}");
        page.run("window.live.series.points.every(([at], index, all) => index === 0 || at > all[index - 1][0]) || (() => { throw new Error('out of order'); })()");

        // One that comes with a number has what is newer; with another boot's, all.
        let (_, all) = series(&begins(&mut page, "")).expect("all of it");
        assert_eq!(all["first"], 0);
        let size = all["points"].as_array().unwrap().len();
        let (newest, part) = series(&begins(&mut page, &format!("{boot}-0"))).expect("all but the first");
        assert_eq!(part["first"], 1, "{part}");
        assert!(part["points"].as_array().unwrap().len() >= size - 1, "{part}");
        assert!(newest.starts_with(&format!("{boot}-")), "{newest}");
        // What came since, if anything did.
        let number: u64 = newest.split_once('-').unwrap().1.parse().unwrap();
        if let Some((_, more)) = series(&begins(&mut page, &newest)) {
            assert_eq!(more["first"], number + 1, "{more}");
        }
        let (_, far) = series(&begins(&mut page, &format!("{boot}-4000000000"))).expect("all of it");
        assert_eq!(far["first"], 0, "a number that was never told says nothing");
        let (_, other) = series(&begins(&mut page, "1-1")).expect("all of it");
        assert_eq!(other["first"], 0, "another boot's number says nothing here");

        // The node is killed, and another boot of it goes on with a series of its own.
        remember(&mut page);
        node.kill();
        page.until(
            "it says so",
            "document.querySelector('#live').textContent === 'Connection lost; trying again'",
        );
        node.kill_and_restart();
        page.until(
            "it is live with the new boot",
            &format!("window.live.state.source.boot !== {boot} && {lives}"),
        );
        page.until("whose series it shows", "window.live.series !== window.before");
        assert_eq!(told(&mut page)["first"], 0);
        // The browser has told of each try.
        page.browser.forgive("ERR_");
        assert_eq!(page.browser.complaints(), [] as [String; 0]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_may_ask_its_node_and_nobody_else() {
    let Some(axe) = axe() else { return };
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let page = node.http.get("/dashboard").await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; \
                  media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    assert_eq!(page.header("content-security-policy"), policy);
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    tokio::task::block_in_place(|| {
        let mut page = Page::open(&format!("http://{}/dashboard", node.http_address), axe);
        page.sentence("all is well", "The one node is well");
        let hosts = page.run(
            "[...new Set(performance.getEntriesByType('resource').map((one) => new URL(one.name).host))]",
        );
        assert_eq!(hosts, serde_json::json!([node.http_address]), "who was asked");
        // A listener that nobody may reach, and a script that nobody may add.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let address = other.local_addr().unwrap();
        let asks = format!(
            "new Promise((is) => {{
                const told = [];
                addEventListener('securitypolicyviolation', (event) => told.push(event.effectiveDirective) === 2 && is(told.sort()));
                fetch('http://{address}/').catch(() => {{}});
                const script = document.createElement('script');
                script.textContent = 'window.broken = true';
                document.body.append(script);
            }})"
        );
        assert_eq!(page.run(&asks), serde_json::json!(["connect-src", "script-src-elem"]));
        assert_eq!(page.run("window.broken === undefined"), true);
        assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
    });
}
