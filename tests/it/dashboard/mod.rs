//! The dashboard in a browser, while a lab is used and broken: what is seen of it, and that it is for everybody.
//!
//! Pictures of it stay in the target folder, `dashboard/`.

mod page;
mod simulated;
mod stream;
mod watched;

use std::path::Path;
use std::time::Instant;

use page::{DESK, Page, axe, rows};

use crate::support::lab::Lab;
use crate::support::{Clip, skipped};

/// Protocol periods until a page shows a node that was killed as failed. Detection takes some ten with the timing that is used here; the
/// rest is for a machine that is busy.
const SHOWN_WITHIN_PERIODS: f64 = 75.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_used_and_broken_and_the_page_shows_it() {
    let Some(axe) = axe() else { return };
    let mut lab = Lab::start(&["--", "--timing", "local", "--deadline", "5m"]);
    if lab.report["isolation"] == "loopback" || lab.report["backend"] == "none" {
        return skipped("no links to cut here");
    }
    let folder = tempfile::tempdir().unwrap();
    let [clip, dropped] = [("Kitten & friends.mp4", 901), ("dropped.mp4", 902)].map(|(name, tag)| {
        let file = folder.path().join(name);
        std::fs::write(&file, Clip { tag, ..Clip::default() }.make()).unwrap();
        file
    });
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
        drops(&mut page, &dropped);
        page.look("well", true);
        breaks(&mut page);
        freezes(&mut page);
        spoils_links(&mut page);
        one_node(&mut page);
        loses_its_node(&mut page);
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

/// Files that are dropped anywhere on the page are sent, and what is sent is seen.
fn drops(page: &mut Page, clip: &Path) {
    page.run(
        "window.sent = [];
        window.over = 0;
        const look = () => {
            window.over += document.querySelector('#drop').classList.contains('over');
            const line = document.querySelector('.results li');
            const [bar, words] = [line?.querySelector('progress'), line?.querySelector('[role=status]')];
            if (bar && window.sent.at(-1)?.[0] !== bar.value) window.sent.push([bar.value, words.textContent]);
        };
        new MutationObserver(look).observe(document.querySelector('#upload-body'), { attributes: true, childList: true, characterData: true, subtree: true })",
    );
    page.browser.throttle_uploads(Some(60_000.0));
    page.browser.drop_files((300.0, 200.0), &[clip]);
    page.until(
        "it is done",
        "document.querySelector('.results li').matches('.ok') && document.querySelector('.results li strong').textContent === 'dropped.mp4'",
    );
    page.browser.throttle_uploads(None);
    let sent = page.run("window.sent");
    let parts: Vec<f64> = sent.as_array().unwrap().iter().map(|one| one[0].as_f64().unwrap()).collect();
    assert!(parts.iter().any(|part| 0.0 < *part && *part < 1.0), "how far it was was seen: {sent}");
    assert!(sent.to_string().contains("sent ") && page.run("window.over > 0") == true, "{sent}");
    assert_eq!(page.run("location.pathname"), "/dashboard", "the file does not replace the page");
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
    page.assert_for_everybody("a partition");
    page.look("partition", false);
    page.until("the lab says so", "document.querySelector('#lab-body').textContent.includes('cut')");
    press(page, "zone", "IAD", "Heal all");
    page.sentence("all is well again", "All 5 nodes are well, in 3 zones");
    page.until("no link is cut", "document.querySelectorAll('.link.cut').length === 0");
    let killed = Instant::now();
    press(page, "node", "node3", "Kill");
    page.sentence("the killed node is to blame", "node3 has failed");
    let periods = killed.elapsed().div_duration_f64(starling_overlay::Timing::Local.period());
    assert!(periods < SHOWN_WITHIN_PERIODS, "shown after {periods:.1} protocol periods");
    page.until("it is shown as failed", &format!("{} === 1 && {} === 4", rows("bad"), rows("ok")));
    page.until(
        "the timeline tells of it",
        "document.querySelector('#timeline li.bad')?.textContent.includes('node3')",
    );
    page.until(
        "and that all agree about it",
        "[...document.querySelectorAll('#timeline li')].some((line) => line.textContent.includes('All agree again about node3: 4 members'))",
    );
    page.assert_for_everybody("a failed node");
    page.look("failed", false);
    press(page, "node", "node3", "Start again");
    page.sentence("all is well once more", "All 5 nodes are well, in 3 zones");
}

/// A node that is held, and goes on.
fn freezes(page: &mut Page) {
    press(page, "node", "node4", "Freeze");
    page.until(
        "the lab says so",
        "document.querySelector('#lab-body').textContent.includes('node4 is frozen')",
    );
    page.sentence("the frozen node is to blame", "node4 has failed");
    press(page, "node", "node4", "Let go on");
    page.sentence("it goes on", "All 5 nodes are well, in 3 zones");
    page.until("and is told to be back", "[...document.querySelectorAll('#timeline li.ok')].some((line) => /node4.*(is back|shows? that it lives|showed)/.test(line.textContent))");
    page.until(
        "the lab says so, too",
        "document.querySelector('#lab-body').textContent.includes('Nothing is broken')",
    );
}

/// What a link's row in the table of links says: round trip in milliseconds, and the part that is lost.
fn link_of(a: &str, b: &str) -> String {
    format!(
        "[...document.querySelectorAll('#map details tbody tr')].find((row) => row.children[0].textContent === '{a}' && \
         row.children[1].textContent === '{b}')"
    )
}

/// A link that loses and one that is late, by the lab's buttons; and what the page says of them.
fn spoils_links(page: &mut Page) {
    let (near, far) = (link_of("FRA", "IAD"), link_of("BOM", "FRA"));
    press(page, "link", "BOM-FRA", "Delay by 100 ms");
    page.until(
        "the lab says so",
        "/BOM <-> FRA: delay \\+100ms/.test(document.querySelector('#lab-body').textContent)",
    );
    page.until("its round trip grows", &format!("parseFloat({far}.children[2].textContent) > 330"));
    press(page, "link", "FRA-IAD", "Lose 30 %");
    page.until(
        "the lab says so",
        "/FRA <-> IAD: loss 30%/.test(document.querySelector('#lab-body').textContent)",
    );
    page.until("what is lost is told", &format!("parseFloat({near}.children[3].textContent) >= 15"));
    page.until("and drawn", "document.querySelectorAll('.link.lossy').length > 0");
    page.look("lossy", false);
    press(page, "link", "FRA-IAD", "Heal all");
    page.until(
        "the lab says so",
        "document.querySelector('#lab-body').textContent.includes('Nothing is broken')",
    );
}

/// The node that the lab's page is shown by is killed: another one goes on.
fn loses_its_node(page: &mut Page) {
    page.until("node1 shows it", "document.querySelector('#source').textContent.includes('as node1 in')");
    press(page, "node", "node1", "Kill");
    page.until("node2 goes on", "document.querySelector('#source').textContent.includes('as node2 in')");
    page.sentence("node1 is to blame", "node1 has failed");
    page.until("it is live", "document.querySelector('#live').textContent === 'Live'");
    press(page, "node", "node1", "Start again");
    page.sentence("it is back", "All 5 nodes are well, in 3 zones");
    // The browser has told of the stream's end, and of tries while no node answered.
    for words in ["ERR_", "502", "503"] {
        page.browser.forgive(words);
    }
}

/// A node's own page, by the keyboard.
fn one_node(page: &mut Page) {
    page.run("document.activeElement.blur(); document.querySelector('.skip').focus()");
    page.browser.press("Enter");
    page.until("the page's main part is next", "location.hash === '#main'");
    let mut seen = Vec::new();
    while page.run("document.activeElement?.matches('#nodes tbody th a')") != true {
        page.browser.press("Tab");
        let at = page.run("(({ tagName, id, textContent }) => `${tagName} ${id} ${textContent.slice(0, 30)}`)(document.activeElement)");
        seen.push(at.as_str().unwrap().to_owned());
        assert!(seen.len() < 60, "no node comes: {seen:?}");
    }
    let outline = "(({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2)(getComputedStyle(document.activeElement))";
    assert_eq!(
        page.run(&format!("document.activeElement.matches(':focus-visible') && {outline}")),
        true,
        "focus is seen"
    );
    page.browser.press("Enter");
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
    // Out of sight it has the height that is reserved for it.
    page.run("document.querySelector('#nodes').scrollIntoView()");
    page.run("new Promise((is) => requestAnimationFrame(() => requestAnimationFrame(is)))");
    let (columns, height) = (
        page.run("document.documentElement.scrollWidth"),
        page.run("document.querySelector('#nodes').offsetHeight"),
    );
    assert!(columns.as_u64().unwrap() <= DESK.0.into(), "{columns}");
    assert!(height.as_u64().unwrap() < u64::from(DESK.1), "all nodes are seen at once: {height}");
    page.assert_for_everybody("500 nodes");
    news_of_one(page);
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
