//! The picture of a small and of a large cluster, and what keys do to it.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};
use starling::dashboard::State;
use tokio::time::Instant;

use super::model::{Link, Model, Next, Page, Sort};
use super::screen;

/// A cluster of so many nodes, in three zones, as a node tells of it; the third is dead.
fn cluster(count: usize) -> State {
    let zones = ["FRA", "IAD", "SIN"];
    let nodes: Vec<Value> = (1..=count)
        .map(|at| {
            let dead = at == 3;
            json!({
                "name": format!("node{at}"), "zone": zones[at % 3], "state": if dead { "dead" } else { "alive" },
                "rtt_ms": at as f64 / 2.0, "load_age_ms": 300, "cpu": (at % 100) as f64 / 100.0, "memory": 0.4,
                "queued": at % 7, "queue_capacity": 16, "running": 1, "workers": 2, "backlog_ms": 1500,
                "figures": if at == 1 { json!({"accepted_waiting": 4998, "accepted_running": 2}) } else { Value::Null },
            })
        })
        .collect();
    let state = json!({
        "at_ms": 1, "source": {"kind": "node", "name": "node1", "zone": "IAD", "version": "0", "boot": 1, "policy": "score"},
        "verdict": {"level": "bad", "sentence": "node3 has failed.", "blame": []}, "nodes": nodes,
        "zones": [{"name": "FRA", "members": count, "alive": count, "suspect": 0, "queued": 4, "running": 5}],
        "links": [
            {"from": "FRA", "to": "FRA", "rtt_ms": 0.4, "loss": 0.0, "cut": false},
            {"from": "FRA", "to": "SIN", "rtt_ms": 160.0, "loss": 0.034, "cut": false},
            {"from": "FRA", "to": "IAD", "rtt_ms": null, "loss": null, "cut": true},
        ],
        "events": [
            {"at": "2026-11-29T01:02:03.000Z", "event": "joined", "member": "node2", "zone": "FRA"},
            {"at": "2026-11-29T01:02:04.000Z", "event": "failed", "member": "node3", "zone": "IAD"},
            {"at": "2026-11-29T01:02:05.000Z", "event": "converged", "about": "node3", "members": 4, "elapsed_ms": 1200},
        ],
        "jobs": [{"node": "node1", "content": "0badcafe", "profile": "360p", "state": "sent", "by": "node2",
                  "route": "cross-region", "progress": 0.42, "age_ms": 900}],
        "decisions": [], "clients": [], "something": "that a later release tells",
    });
    serde_json::from_value(state).unwrap()
}

fn model(count: usize) -> Model {
    let mut model = Model::new("127.0.0.1:5001".to_owned());
    model.take(cluster(count), Instant::now());
    model
}

/// The screen as lines of text.
fn picture(model: &mut Model, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, model, true)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

fn press(model: &mut Model, code: KeyCode) -> Next {
    model.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[track_caller]
fn shows(lines: &[String], words: &[&str]) {
    let text = lines.join("\n");
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn five_nodes_are_seen_with_all_that_matters_in_80_by_24() {
    let lines = picture(&mut model(5), (80, 24));
    shows(
        &lines,
        &["BAD  node3 has failed.", "4 of 5 alive", "5 jobs run, 4 wait", "node1", "node5", "dead"],
    );
    shows(
        &lines,
        &["FRA - IAD", "CUT", "FRA - SIN", "160ms", "3.4% lost", "01:02:04 failed", "node3 in IAD"],
    );
    shows(&lines, &["sent", "0badcafe", "node1 -> node2", "42%", "cross-region", "1 overview", "q end"]);
    shows(&lines, &["accepted at node1: 4998 waiting, 2 at work"]);
    let mut model = model(5);
    press(&mut model, KeyCode::Char('4'));
    shows(&picture(&mut model, (80, 24)), &["01:02:05 converged", "about node3 after 1.2s"]);
    // The row of a node has its figures in columns.
    let node = lines.iter().find(|line| line.contains("node2 ")).unwrap();
    for figure in ["SIN", "alive", "2%", "40%", "2/16", "1/2", "1.5s", "1ms", "300ms"] {
        assert!(node.contains(figure), "{figure}: {node}");
    }
}

#[test]
fn five_hundred_nodes_are_sorted_found_and_walked_through() {
    let mut model = model(500);
    let lines = picture(&mut model, (80, 24));
    shows(&lines, &["nodes (500)", "499 of 500 alive"]);
    press(&mut model, KeyCode::Char('2'));
    press(&mut model, KeyCode::Char('s'));
    assert_eq!((model.page, model.sort), (Page::Nodes, Sort::State));
    let first = |model: &mut Model| picture(model, (80, 24))[4].clone();
    assert!(first(&mut model).contains("node3 "), "the dead one comes first: {}", first(&mut model));
    press(&mut model, KeyCode::Char('s'));
    assert!(first(&mut model).contains("99%"), "the busiest comes first: {}", first(&mut model));
    press(&mut model, KeyCode::End);
    let last = picture(&mut model, (80, 24));
    shows(&last, &["node500 "]);
    // Only what is not well.
    press(&mut model, KeyCode::Char('u'));
    let unwell = picture(&mut model, (80, 24));
    assert_eq!(
        unwell.iter().filter(|line| line.contains("  dead") || line.contains("alive  ")).count(),
        1,
        "{unwell:#?}"
    );
}

#[test]
fn each_page_fits_any_terminal() {
    for size in [(1, 1), (20, 5), (40, 10), (80, 24), (300, 90)] {
        for page in Page::ALL {
            for count in [0, 5, 500] {
                let mut model = model(count);
                model.page = page;
                model.help = count == 5;
                picture(&mut model, size);
            }
        }
    }
    let wide = picture(&mut model(5), (160, 50));
    shows(&wide, &["ok/s", "p95", "rss"]);
}

#[test]
fn a_narrow_terminal_has_fewer_columns_and_no_figure_that_is_cut_off() {
    let mut far = cluster(5);
    far.nodes[1].rtt_ms = Some(201.0);
    let mut model = model(5);
    model.page = Page::Nodes;
    model.take(far, Instant::now());
    let lines = picture(&mut model, (60, 24));
    shows(&lines, &[" 201ms"]);
    assert!(!lines.join("\n").contains("backlog"), "{lines:#?}");
    shows(&picture(&mut model, (80, 24)), &[" 201ms", "backlog"]);
}

#[test]
fn keys_choose_pause_and_end() {
    let mut model = model(5);
    for page in [Page::Nodes, Page::Links, Page::Events, Page::Jobs, Page::Overview] {
        assert_eq!(press(&mut model, KeyCode::Tab), Next::Go);
        assert_eq!(model.page, page);
        shows(&picture(&mut model, (80, 24)), &["node3 has failed"]);
    }
    press(&mut model, KeyCode::Char('p'));
    model.take(cluster(9), Instant::now());
    shows(&picture(&mut model, (80, 24)), &["PAUSED", "4 of 5 alive"]);
    press(&mut model, KeyCode::Char('p'));
    model.take(cluster(9), Instant::now());
    shows(&picture(&mut model, (80, 24)), &["8 of 9 alive"]);
    press(&mut model, KeyCode::Char('?'));
    shows(&picture(&mut model, (80, 24)), &["keys: any one takes this away", "only what is not well"]);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Next::Go, "it takes the help away");
    assert_eq!(press(&mut model, KeyCode::Char('q')), Next::End);
    assert_eq!(model.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Next::End);
}

#[test]
fn a_lost_node_and_strange_names_are_shown_as_they_are() {
    let mut model = model(5);
    model.link = Link::Lost("connection refused".to_owned());
    shows(&picture(&mut model, (120, 24)), &["LOST: connection refused", "node3 has failed"]);
    let mut strange = cluster(5);
    strange.nodes[0].name = "evil\u{1b}[2J\u{202e}".to_owned();
    model.take(strange, Instant::now());
    let lines = picture(&mut model, (120, 24));
    shows(&lines, &["evil\u{fffd}[2J\u{fffd}"]);
    assert!(!lines.join("").contains(['\u{1b}', '\u{202e}']));
}
