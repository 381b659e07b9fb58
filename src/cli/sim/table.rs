//! What `starling sim` prints for people.

use std::time::Duration;

use comfy_table::Table;
use starling_overlay::sim::{CrowdRow, Fired, LifeguardRow, MassDeathRow, Report, Spread};

/// What one run found: a row for each thing that was measured.
pub(super) fn report(report: &Report, wall: Duration) -> String {
    let mut rows = Rows(new_table());
    rows.text("nodes", report.nodes.to_string());
    rows.text("seed", report.seed.to_string());
    timeline(&mut rows, report);
    judgements(&mut rows, report);
    cost(&mut rows, report);
    knowledge(&mut rows, report);
    rows.text("what faults did", fired(&report.fired));
    rows.text(
        "virtual time",
        format!("{:.1} s, simulated in {:.1} s", report.sim_seconds, wall.as_secs_f64()),
    );
    rows.text("rules broken", report.violations.len().to_string());
    rows.0.trim_fmt()
}

/// What faults did, those that did anything.
pub(super) fn fired(fired: &Fired) -> String {
    let counters = fired.counters().into_iter().filter(|(_, count)| *count > 0);
    let texts: Vec<String> =
        counters.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect();
    if texts.is_empty() { "nothing".into() } else { texts.join(", ") }
}

fn timeline(rows: &mut Rows, report: &Report) {
    rows.one("from the start until all knew all", report.converged_ms, "ms");
    rows.spread("from a kill until one suspected it", report.suspect_first_ms, "ms");
    rows.spread("from a kill until one knew", report.detect_first_ms, "ms");
    rows.spread("from a kill until all knew", report.detect_full_ms, "ms");
    rows.spread("from the first to the last that knew", report.dissemination_ms, "ms");
    rows.one("from the partition's end until all knew all", report.heal_ms, "ms");
}

fn judgements(rows: &mut Rows, report: &Report) {
    if let (Some(all), Some(healthy)) = (report.false_failures, report.false_failures_healthy) {
        let slow = if all > healthy { format!(" ({healthy} of them not slow)") } else { String::new() };
        rows.text("running nodes called failed", format!("{all}{slow}"));
    }
    if let Some(count) = report.false_suspicions {
        rows.text("running nodes suspected", count.to_string());
    }
}

fn cost(rows: &mut Rows, report: &Report) {
    if let (Some(datagrams), Some(bytes)) = (report.datagrams_per_node_per_s, report.bytes_per_node_per_s) {
        rows.text("sent at rest", format!("{datagrams:.2} datagrams, {bytes:.0} bytes a node and second"));
    }
}

fn knowledge(rows: &mut Rows, report: &Report) {
    rows.spread("age of loads known, own zone", report.load_age_own_zone_ms, "ms");
    rows.spread("age of loads known, other zones' 3 youngest", report.load_age_other_zones_ms, "ms");
    rows.share("loads known, at most 10 s old, own zone", report.load_fresh_own_zone);
    rows.share("loads known, at most 10 s old, all zones", report.load_fresh);
    rows.spread("age of candidates' loads, own zone", report.candidates_age_own_zone_ms, "ms");
    rows.spread("age of candidates' loads, other zones", report.candidates_age_other_zones_ms, "ms");
    rows.share("nodes with 8 good candidates, own zone", report.candidates_own_zone);
    rows.share("nodes with 2 good candidates, each other zone", report.candidates_other_zones);
    let percent =
        |Spread { median, p99, max }| Spread { median: median * 100.0, p99: p99 * 100.0, max: max * 100.0 };
    rows.spread("error of RTTs by coordinates", report.rtt_error.map(percent), "%");
}

pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table
}

/// A name and a value a row; what was not measured has none.
struct Rows(Table);

impl Rows {
    fn text(&mut self, name: &str, value: String) {
        self.0.add_row([name.to_owned(), value]);
    }

    fn one(&mut self, name: &str, value: Option<f64>, unit: &str) {
        if let Some(value) = value {
            self.text(name, format!("{value:.1} {unit}"));
        }
    }

    fn share(&mut self, name: &str, share: Option<f64>) {
        self.one(name, share.map(|share| share * 100.0), "%");
    }

    fn spread(&mut self, name: &str, spread: Option<Spread>, unit: &str) {
        if let Some(Spread { median, p99, max }) = spread {
            self.text(
                name,
                format!("median {median:.1} {unit}, 99 % up to {p99:.1} {unit}, all up to {max:.1} {unit}"),
            );
        }
    }
}

/// What each configuration of the experiment did.
pub(super) fn lifeguard(rows: &[LifeguardRow]) -> String {
    let mut table = new_table();
    table.set_header([
        "configuration",
        "FP",
        "FP-",
        "FP, % of SWIM",
        "published",
        "FP-, % of SWIM",
        "published",
        "first knows, ms",
        "all know, ms",
        "datagrams",
        "bytes",
    ]);
    let percent = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    let ms = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
    for row in rows {
        table.add_row([
            row.configuration.to_owned(),
            row.false_positives.to_string(),
            row.false_positives_at_healthy.to_string(),
            percent(row.percent_of_swim),
            percent(row.published_percent.map(|published| published.0)),
            percent(row.percent_of_swim_at_healthy),
            percent(row.published_percent.map(|published| published.1)),
            ms(row.detect_first_ms),
            ms(row.detect_full_ms),
            format!("{:.1}/s", row.datagrams_per_node_per_s),
            format!("{:.0}/s", row.bytes_per_node_per_s),
        ]);
    }
    table.trim_fmt()
}

/// How long the survivors of each size took.
pub(super) fn mass_death(rows: &[MassDeathRow]) -> String {
    let mut table = new_table();
    table.set_header([
        "survivors",
        "of",
        "deaths",
        "runs",
        "first knows, s",
        "all know, s: median",
        "most",
        "never",
        "wrong",
        "datagrams",
    ]);
    let seconds = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{:.1}", ms / 1e3));
    for row in rows {
        table.add_row([
            row.survivors.to_string(),
            row.nodes.to_string(),
            if row.refused { "refused" } else { "silent" }.to_owned(),
            row.seeds.to_string(),
            seconds(row.first_ms.map(|spread| spread.median)),
            seconds(row.all_ms.map(|spread| spread.median)),
            seconds(row.all_ms.map(|spread| spread.max)),
            row.never.to_string(),
            row.false_failures.to_string(),
            format!("{:.0}/s", row.datagrams_per_node_per_s),
        ]);
    }
    table.trim_fmt()
}

/// What a crowd with little CPU time did.
pub(super) fn crowd(rows: &[CrowdRow]) -> String {
    let mut table = new_table();
    table.set_header([
        "ms a datagram",
        "shedding",
        "runs",
        "suspicions",
        "wrong",
        "first knows, s",
        "all know, s: median",
        "most",
        "never",
    ]);
    let seconds = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{:.1}", ms / 1e3));
    for row in rows {
        table.add_row([
            row.cost_ms.to_string(),
            if row.shedding { "yes" } else { "no" }.to_owned(),
            row.seeds.to_string(),
            row.suspicions.to_string(),
            row.false_failures.to_string(),
            seconds(row.first_ms.map(|spread| spread.median)),
            seconds(row.all_ms.map(|spread| spread.median)),
            seconds(row.all_ms.map(|spread| spread.max)),
            row.never.to_string(),
        ]);
    }
    table.trim_fmt()
}
