//! The picture.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState, Wrap};
use starling::dashboard::{Level, State};
use starling::printable;
use tokio::time::Instant;

use super::model::{Link, Model, Page};
use super::{nodes, work};

/// From so few rows on, the overview has the nodes alone.
const LOW: u16 = 16;
const HELP: &str = "\
Tab 1-5    overview, nodes, links, events, jobs
Up Down    a row further; PgUp PgDn ten, Home End
s          sort the nodes: name, state, cpu, queue, rtt
u          only what is not well
p          pause: the picture stays as it is
? h        this
q Esc      end";

/// With colours or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    colours: bool,
}

impl Ink {
    pub fn of(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

/// What strangers chose, as a terminal may show it.
pub(super) fn clean(text: &str) -> String {
    printable::line(text).into_owned()
}

/// A time in milliseconds, in five characters or so.
pub(super) fn millis(ms: f64) -> String {
    match ms {
        0.0 => "0ms".to_owned(),
        ms if ms < 0.95 => format!("{ms:.1}ms"),
        ms if ms < 1_000.0 => format!("{ms:.0}ms"),
        ms if ms < 60_000.0 => format!("{:.1}s", ms / 1e3),
        ms if ms < 3_600_000.0 => format!("{:.0}m", ms / 6e4),
        ms => format!("{:.0}h", ms / 3.6e6),
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, colours: bool) {
    let ink = Ink { colours };
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(heading(model, ink), head);
    frame.render_widget(footing(model), foot);
    let mut tables = std::mem::take(&mut model.tables);
    let table = &mut tables[model.page as usize];
    match (model.page, model.state()) {
        (_, None) => frame.render_widget(Paragraph::new("Waiting for the first state ..."), body),
        (Page::Overview, Some(state)) => overview(frame, body, (model, state), table, ink),
        (Page::Nodes, Some(_)) => node_table(frame, body, model, table, ink),
        (Page::Links, Some(state)) => list(frame, body, ("links", &links(model, state, ink)), table),
        (Page::Events, Some(state)) => list(frame, body, ("events", &events(state, ink)), table),
        (Page::Jobs, Some(state)) => list(frame, body, ("jobs", &jobs(state, ink)), table),
    }
    model.tables = tables;
    if model.help {
        help(frame);
    }
}

/// How the cluster is, and who says so.
fn heading(model: &Model, ink: Ink) -> Paragraph<'static> {
    let Some(state) = model.state() else { return Paragraph::new(format!("starling top  {}", model.node)) };
    let (mark, colour) = match state.verdict.level {
        Level::Ok => ("OK  ", Color::Green),
        Level::Warn => ("WARN", Color::Yellow),
        Level::Bad => ("BAD ", Color::Red),
    };
    let mark = Span::styled(format!("{mark} "), ink.of(colour).add_modifier(Modifier::BOLD));
    let first = Line::from(vec![mark, Span::raw(clean(&state.verdict.sentence))]);
    let about = &state.source;
    let alive = state.nodes.iter().filter(|node| node.state == "alive" && !node.observer).count();
    let working = state.nodes.iter().filter(|node| !node.observer && node.state != "left").count();
    let (queued, running) = state
        .zones
        .iter()
        .fold((0, 0), |(queued, running), zone| (queued + zone.queued, running + zone.running));
    let policy = about.policy.as_deref().map(|policy| format!(", {}", clean(policy))).unwrap_or_default();
    let mut told = vec![Span::raw(format!(
        "{} {}/{}{policy}: {alive} of {working} alive in {} zones; {running} jobs run, {queued} wait",
        clean(&about.kind),
        clean(&about.name),
        clean(&about.zone),
        state.zones.len(),
    ))];
    let loud = ink.of(Color::Yellow).add_modifier(Modifier::BOLD);
    if model.paused {
        told.push(Span::styled("  PAUSED", loud));
    }
    match (&model.link, model.old(Instant::now())) {
        (Link::Lost(why), _) => told.push(Span::styled(format!("  LOST: {}", clean(why)), loud)),
        (Link::Up, Some(age)) => told.push(Span::styled(format!("  {} s old", age.as_secs()), loud)),
        (Link::Up, None) => {}
    }
    Paragraph::new(Text::from(vec![first, Line::from(told)]))
}

fn footing(model: &Model) -> Paragraph<'static> {
    let mut spans = Vec::new();
    for (at, page) in Page::ALL.into_iter().enumerate() {
        let style =
            if page == model.page { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(format!(" {} {} ", at + 1, page.title()), style));
    }
    let unwell = if model.unwell_only { ", unwell only" } else { "" };
    spans.push(Span::styled(
        format!("  by {}{unwell}  ? keys  q end", model.sort.title()),
        Style::new().add_modifier(Modifier::DIM),
    ));
    Paragraph::new(Line::from(spans))
}

/// Nodes above; links beside events; jobs below.
fn overview(
    frame: &mut Frame<'_>,
    area: Rect,
    (model, state): (&Model, &State),
    table: &mut TableState,
    ink: Ink,
) {
    if area.height < LOW {
        return node_table(frame, area, model, table, ink);
    }
    // Two lines of frame, one of titles; of many nodes those that fit in half of the screen.
    let wanted = u16::try_from(model.nodes().len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
    let [top, rest] =
        Layout::vertical([Constraint::Length(wanted.min(area.height / 2)), Constraint::Min(1)]).areas(area);
    let [middle, bottom] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(rest);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(middle);
    node_table(frame, top, model, table, ink);
    panel(frame, left, "links", links(model, state, ink));
    panel(frame, right, "events", events(state, ink));
    panel(frame, bottom, "jobs", jobs(state, ink));
}

fn node_table(frame: &mut Frame<'_>, area: Rect, model: &Model, table: &mut TableState, ink: Ink) {
    let shown = model.nodes();
    let (titles, widths) = nodes::columns(area.width);
    let rows: Vec<_> = shown.iter().map(|node| nodes::row(node, area.width, ink)).collect();
    let title = counted("nodes", rows.len(), area);
    let widget = Table::new(rows, widths)
        .header(Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(title));
    frame.render_stateful_widget(widget, area, table);
}

/// The name of a table, and of how many rows it has where not all of them can be seen.
fn counted(name: &str, rows: usize, area: Rect) -> String {
    if rows + 3 > usize::from(area.height) { format!("{name} ({rows})") } else { name.to_owned() }
}

/// Those to other zones first, the worst of them on top.
fn links(model: &Model, state: &State, ink: Ink) -> Vec<Line<'static>> {
    let mut links: Vec<_> =
        state.links.iter().filter(|link| !model.unwell_only || !work::is_well(link)).collect();
    links.sort_by_key(|link| (!link.cut, link.from == link.to));
    links.into_iter().map(|link| work::link(link, ink)).collect()
}

/// The newest first.
fn events(state: &State, ink: Ink) -> Vec<Line<'static>> {
    state.events.iter().rev().map(|event| work::event(event, ink)).collect()
}

fn jobs(state: &State, ink: Ink) -> Vec<Line<'static>> {
    work::accepted(state).into_iter().chain(work::jobs(state).map(|job| work::job(job, ink))).collect()
}

fn panel(frame: &mut Frame<'_>, area: Rect, title: &'static str, lines: Vec<Line<'static>>) {
    let lines = if lines.is_empty() { vec![Line::from("none")] } else { lines };
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn list(frame: &mut Frame<'_>, area: Rect, (name, lines): (&str, &[Line<'static>]), table: &mut TableState) {
    let rows: Vec<_> = if lines.is_empty() {
        vec![Row::new([Line::from("none")])]
    } else {
        lines.iter().map(|line| Row::new([line.clone()])).collect()
    };
    let widget = Table::new(rows, [Constraint::Fill(1)])
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(counted(name, lines.len(), area)));
    frame.render_stateful_widget(widget, area, table);
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area().centered(Constraint::Max(58), Constraint::Max(9));
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(HELP)
            .wrap(Wrap { trim: false })
            .block(Block::bordered().title("keys: any one takes this away")),
        area,
    );
}
