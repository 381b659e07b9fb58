//! Links, events and jobs as lines.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use serde_json::Value;
use starling::dashboard::{JobState, LinkState, State};

use super::screen::{Ink, clean, millis};

/// Part of the pings over a link that may be lost without a mark.
const LOSS_MARKED: f64 = 0.02;

pub(super) fn is_well(link: &LinkState) -> bool {
    !link.cut && link.loss.is_none_or(|loss| loss < LOSS_MARKED)
}

/// A link: both zones, the round trip, what is lost.
pub(super) fn link(link: &LinkState, ink: Ink) -> Line<'static> {
    let ends = if link.from == link.to {
        format!("{} within", clean(&link.from))
    } else {
        format!("{} - {}", clean(&link.from), clean(&link.to))
    };
    let rtt = link.rtt_ms.map_or_else(|| "-".to_owned(), millis);
    let told = match link.loss {
        _ if link.cut => Span::styled("CUT", ink.of(Color::Red).add_modifier(Modifier::BOLD)),
        Some(loss) => {
            let style = if is_well(link) { Style::new() } else { ink.of(Color::Yellow) };
            Span::styled(format!("{:.1}% lost", loss * 100.0), style)
        }
        None => Span::styled("loss -", Style::new().add_modifier(Modifier::DIM)),
    };
    Line::from(vec![Span::raw(format!("{ends:<18} {rtt:>8}  ")), told])
}

/// An event of the membership, as `GET /events` tells it.
pub(super) fn event(event: &Value, ink: Ink) -> Line<'static> {
    let text = |name: &str| event[name].as_str().map(clean);
    // The time of the day.
    let at = text("at").and_then(|at| Some(at.get(11..19)?.to_owned())).unwrap_or_default();
    let name = text("event").unwrap_or_default();
    let style = match name.as_str() {
        "failed" | "name_conflict" | "not_converged" => ink.of(Color::Red),
        "suspected" | "elsewhere" | "other_timing" | "thawed" => ink.of(Color::Yellow),
        _ => ink.of(Color::Green),
    };
    let about = match name.as_str() {
        "cluster" => text("cluster"),
        // Of all members; what it was about is who began it.
        "converged" => text("about").map(|about| format!("about {about}")),
        _ => text("member"),
    };
    let about = about.unwrap_or_default();
    let more = match (text("zone"), event["elapsed_ms"].as_u64(), text("by")) {
        (_, Some(elapsed), _) => format!("after {}", millis(elapsed as f64)),
        (_, _, Some(by)) => format!("by {by}"),
        (Some(zone), ..) => format!("in {zone}"),
        _ => String::new(),
    };
    Line::from(vec![
        Span::styled(format!("{at} "), Style::new().add_modifier(Modifier::DIM)),
        Span::styled(format!("{name:<13} "), style),
        Span::raw(format!("{about} {more}")),
    ])
}

/// How many accepted jobs (`POST /jobs`) are not done, of the nodes that told; none where there are none.
pub(super) fn accepted(state: &State) -> Option<Line<'static>> {
    let told = state.nodes.iter().filter_map(|node| node.figures.as_ref());
    let (waiting, running) = told.fold((0, 0), |(waiting, running), figures| {
        (waiting + figures.accepted_waiting, running + figures.accepted_running)
    });
    let place = if state.source.kind == "node" {
        format!(" at {}", clean(&state.source.name))
    } else {
        String::new()
    };
    (waiting + running > 0)
        .then(|| Line::from(format!("accepted{place}: {waiting} waiting, {running} at work")))
}

/// The jobs of a state, the newest first.
pub(super) fn jobs(state: &State) -> impl Iterator<Item = &JobState> {
    state.work.jobs.iter().rev()
}

/// A job: where it is, and how far.
pub(super) fn job(job: &JobState, ink: Ink) -> Line<'static> {
    let style = match job.state.as_str() {
        "failed" => ink.of(Color::Red),
        "done" | "cancelled" => Style::new().add_modifier(Modifier::DIM),
        _ => ink.of(Color::Cyan),
    };
    let progress = match (job.progress, job.took_ms) {
        (_, Some(took)) => format!("in {}", millis(took as f64)),
        (Some(progress), None) => format!("{:.0}%", progress * 100.0),
        (None, None) => format!("for {}", millis(job.age_ms as f64)),
    };
    let by = job.by.as_deref().map(clean).unwrap_or_default();
    let path = match job.from.as_deref() {
        Some(from) => format!("{} <- {}", clean(&job.node), clean(from)),
        None if by.is_empty() || by == job.node => clean(&job.node),
        None => format!("{} -> {by}", clean(&job.node)),
    };
    let told = job.note.as_deref().or(job.route.as_deref()).map(clean).unwrap_or_default();
    Line::from(vec![
        Span::styled(format!("{:<8} ", clean(&job.state)), style),
        Span::raw(format!(
            "{:<8} {:<10} {:<18} {progress:<8} {told}",
            clean(&job.content),
            job.profile.as_deref().map(clean).unwrap_or_default(),
            path
        )),
    ])
}
