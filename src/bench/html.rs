//! The report as one page that asks for nothing: tables, figures, and what it ran on. Light or dark, as its reader's machine is.

use super::figures::Figure;
use super::paper;
use super::report::{Report, Settings};
use super::tables::Table;

const STYLE: &str = include_str!("report.css");

/// Text as it stands in a page.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The page.
pub(super) fn page(report: &Report, tables: &[Table], figures: &[Figure]) -> String {
    let mut body = String::new();
    let state = if report.complete {
        ""
    } else {
        "<p class=\"cut\">Not complete: what was measured until it ended.</p>"
    };
    let short = if report.settings.short {
        "<p class=\"cut\">A short run: it shows that all works, and measures nothing.</p>"
    } else {
        ""
    };
    let (begun, version) = (escape(&report.begun), escape(&report.starling));
    body.extend([
        "<h1>Starling bench</h1><p class=\"sub\">",
        &begun,
        ", starling ",
        &version,
        "</p>",
        state,
        short,
    ]);
    body.push_str(&facts(report));
    for table in tables {
        body.push_str(&of_table(table));
    }
    if !figures.is_empty() {
        body.push_str("<h2>Over time</h2>");
    }
    for figure in figures {
        let (id, title) = (escape(&figure.id), escape(&figure.title));
        body.extend([
            "<figure id=\"",
            &id,
            "\"><figcaption>",
            &title,
            "</figcaption>",
            &figure.svg,
            "</figure>",
        ]);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Starling bench</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

fn of_table(table: &Table) -> String {
    let mut text = format!("<section id=\"{}\"><h2>{}</h2>", escape(&table.id), escape(&table.title));
    text.push_str("<div class=\"wide\"><table><thead><tr>");
    for name in &table.head {
        text.extend(["<th scope=\"col\">", &escape(name), "</th>"]);
    }
    text.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        text.push_str(if row.is_papers { "<tr class=\"paper\">" } else { "<tr>" });
        for (index, cell) in row.cells.iter().enumerate() {
            let cell = escape(cell);
            let cell = if index == 0 {
                format!("<th scope=\"row\">{cell}</th>")
            } else {
                format!("<td>{cell}</td>")
            };
            text.push_str(&cell);
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
    if !table.note.is_empty() {
        text.extend(["<p class=\"note\">", &escape(&table.note), "</p>"]);
    }
    text + "</section>"
}

/// How it came about.
fn facts(report: &Report) -> String {
    let machine = &report.machine;
    let Settings { seed, seeds, duration_s, nodes, loads, parallel, profile, timeout_ms, .. } =
        &report.settings;
    let loads = loads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let pace = match parallel {
        Some(parallel) => format!("{parallel} uploads in flight at once (closed loop)"),
        None => format!("arrivals of a Poisson process (open loop), load {loads} in routing"),
    };
    let cpus = match machine.cpus_per_node {
        Some(cpus) => format!("{cpus:.2} cores each"),
        None => "cores not limited: nodes that idle lend theirs to the others".to_owned(),
    };
    let clips = machine.clips.iter().map(|(_, bytes)| bytes).sum::<u64>() as f64 / 1e6;
    let made = if machine.clips_made { "made by ffmpeg from the seed" } else { "given" };
    let links = match machine.links.as_str() {
        "" => "no lab yet".to_owned(),
        "none" => format!(
            "not shaped: every round trip is as short as this machine makes it ({})",
            machine.isolation
        ),
        links => format!("the paper's three zones, shaped by {links} ({})", machine.isolation),
    };
    let rows = [
        ("machine", format!("{} cores, {}; the paper's had {}", machine.cores, machine.cpu, paper::CORES)),
        ("ffmpeg", machine.ffmpeg.clone()),
        ("clips", format!("{}, {clips:.1} MB, {made}; profile {profile}", machine.clips.len())),
        (
            "scaled to it",
            format!(
                "bare ffmpeg does {:.2}/s, {} at once; load 1 is {:.2} uploads/s",
                machine.bare_per_s, machine.cores, machine.capacity_per_s
            ),
        ),
        ("nodes", format!("{nodes}, one worker each, {cpus}")),
        ("links", links),
        (
            "uploads",
            format!("{pace}, each a new content, for {duration_s} s a cell; {} s each", timeout_ms / 1000),
        ),
        ("seeds", format!("{seeds} from {seed} on: files, nodes and times are the same for every policy")),
    ];
    let mut text = "<dl>".to_owned();
    for (name, value) in rows {
        text.extend(["<dt>", name, "</dt><dd>", &escape(&value), "</dd>"]);
    }
    text.push_str("</dl>");
    if !report.notes.is_empty() {
        text.push_str("<ul>");
        for note in &report.notes {
            text.extend(["<li>", &escape(note), "</li>"]);
        }
        text.push_str("</ul>");
    }
    text
}
