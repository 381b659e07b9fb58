//! A monitor's page: what all nodes tell, links far from it and jobs that wait among that, and that it is for everybody.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::page::{Page, axe};
use crate::monitor::{Monitor, free_port};
use crate::support::{Clip, Cluster, Stub};

/// Jobs that are accepted while nothing is done.
const JOBS: u32 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_monitors_page_shows_what_all_nodes_tell() {
    let Some(axe) = axe() else { return };
    let stub = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "IAD", "BOM"], |options| options.tools(&stub)).await;
    let folder = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(free_port(), &cluster.nodes[0].gossip, &folder.path().join("history.redb"));
    let report = json!({"node_id": "client-7", "throughput": 2.5, "avg_latency": 1.25, "success": 40, "total": 42, "timestamp": 1_764_352_800.25});
    let kind = [("content-type", "application/json")];
    crate::support::eventually("the monitor takes a report", async || {
        let sent = monitor.http.send(Method::POST, "/update_metrics", &kind, report.to_string().into()).await;
        sent.is_ok_and(|answer| answer.status == StatusCode::OK)
    })
    .await;
    for tag in 0..JOBS {
        let clip = Clip { tag: 970 + tag, audio: false, ..Clip::default() }.make();
        let answer = cluster.nodes[2].http.upload_with("/jobs", &[], clip).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
    tokio::task::block_in_place(|| {
        let mut page = Page::open(&format!("http://127.0.0.1:{}/dashboard", monitor.port), axe);
        page.sentence("all is well", "All 3 nodes are well, in 3 zones");
        page.until(
            "who tells it",
            "document.querySelector('#source').textContent.startsWith('monitor watcher')",
        );
        let sum = "(document.querySelector('#accepted')?.textContent.match(/[0-9]+/g) ?? []).reduce((sum, one) => sum + Number(one), 0)";
        page.until("all accepted jobs are counted", &format!("{sum} === {JOBS}"));
        page.until(
            "those that wait among them",
            "/ [1-9][0-9]* waits?, /.test(document.querySelector('#accepted').textContent)",
        );
        // Neither end of this link is in the monitor's zone.
        let link = "[...document.querySelectorAll('#map details tbody tr')].find((row) => row.children[0].textContent === 'BOM' && \
                    row.children[1].textContent === 'IAD')?.children[3].textContent";
        page.until("what is lost between the others", &format!("/^[0-9]+ %$/.test({link})"));
        page.until(
            "the client is told of",
            "[...document.querySelectorAll('#tables table')].at(-1).textContent.includes('client-7')",
        );
        assert_eq!(
            page.run("document.querySelector('#upload').hidden"),
            true,
            "nobody sends a monitor videos"
        );
        page.assert_for_everybody("a monitor's page");
        page.look("monitor", true);
        stub.release();
        page.until("nothing waits in the end", "document.querySelector('#accepted') === null");
        assert_eq!(page.browser.complaints(), [] as [String; 0]);
    });
}
