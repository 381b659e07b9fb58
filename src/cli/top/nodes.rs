//! The nodes' table.

use ratatui::layout::Constraint;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row};
use starling::dashboard::NodeState;

use super::screen::{Ink, clean, millis};

/// From here on there is room for what nodes have counted.
const WIDE: u16 = 118;

/// Below this there is no room for these columns: a figure that is cut off would be another figure.
const NARROW: u16 = 76;
const LEFT_OUT: [&str; 3] = ["mem", "backlog", "age"];

/// Titles and widths of the columns.
pub(super) fn columns(width: u16) -> (Vec<&'static str>, Vec<Constraint>) {
    let mut columns = vec![
        ("node", Constraint::Min(10)),
        ("zone", Constraint::Length(7)),
        ("state", Constraint::Length(8)),
        ("cpu", Constraint::Length(4)),
        ("mem", Constraint::Length(4)),
        ("queue", Constraint::Length(7)),
        ("run", Constraint::Length(5)),
        ("backlog", Constraint::Length(7)),
        ("rtt", Constraint::Length(7)),
        ("age", Constraint::Length(6)),
    ];
    if width >= WIDE {
        columns.extend([
            ("ok/s", Constraint::Length(6)),
            ("p95", Constraint::Length(7)),
            ("made", Constraint::Length(7)),
            ("hits", Constraint::Length(7)),
            ("rss", Constraint::Length(7)),
        ]);
    }
    columns.into_iter().filter(|(title, _)| is_shown(title, width)).unzip()
}

fn is_shown(title: &str, width: u16) -> bool {
    width >= NARROW || !LEFT_OUT.contains(&title)
}

/// A node's row.
pub(super) fn row(node: &NodeState, width: u16, ink: Ink) -> Row<'static> {
    let style = match node.state.as_str() {
        "alive" => Style::new(),
        "suspect" => ink.of(Color::Yellow),
        "dead" => ink.of(Color::Red).add_modifier(Modifier::BOLD),
        _ => Style::new().add_modifier(Modifier::DIM),
    };
    let state = if node.observer { "watches".to_owned() } else { clean(&node.state) };
    let of = |part: Option<u64>, all: Option<u64>| match (part, all) {
        (Some(part), Some(all)) => format!("{part}/{all}"),
        _ => "-".to_owned(),
    };
    let time = |ms: Option<u64>| right(ms.map_or_else(none, |ms| millis(ms as f64)));
    let mut cells = vec![
        Cell::from(clean(&node.name)),
        Cell::from(clean(&node.zone)),
        Cell::from(state),
        part(node.cpu, ink),
        part(node.memory, ink),
        right(of(node.queued, node.queue_capacity)),
        right(of(node.running, node.workers)),
        time(node.backlog_ms),
        right(node.rtt_ms.map_or_else(none, millis)),
        time(node.load_age_ms),
    ];
    if width < NARROW {
        // From the end, so that places before it stay.
        for at in [9, 7, 4] {
            cells.remove(at);
        }
    }
    if width >= WIDE {
        let figures = node.figures.as_ref();
        cells.extend([
            right(figures.map_or_else(none, |told| format!("{:.1}", told.throughput))),
            right(figures.and_then(|told| told.p95_s).map_or_else(none, |p95| millis(p95 * 1e3))),
            right(figures.map_or_else(none, |told| told.transcodes.to_string())),
            right(figures.map_or_else(none, |told| told.cache_hits.to_string())),
            right(figures.map_or_else(none, |told| format!("{}M", told.resident_bytes >> 20))),
        ]);
    }
    Row::new(cells).style(style)
}

fn none() -> String {
    "-".to_owned()
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// A part in percent; near all of it is marked.
fn part(part: Option<f64>, ink: Ink) -> Cell<'static> {
    let Some(part) = part else { return right(none()) };
    let style = if part >= 0.9 { ink.of(Color::Yellow) } else { Style::new() };
    Cell::from(Line::from(Span::styled(format!("{:.0}%", part * 100.0), style)).right_aligned())
}
