//! The report laid out as tables, with what is known of the paper's numbers beside ours.

use comfy_table::{Table as Comfy, presets};

use super::paper;
use super::plan::Experiment;
use super::report::{CellReport, Report};
use crate::client::trim_lines;

/// One table, for the terminal and for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// A word of its own, for links and tests.
    pub id: String,
    /// What it shows, and where that stands in the paper.
    pub title: String,
    /// What a reader has to know.
    pub note: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// Texts by column.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whether it has the paper's numbers, and not ours.
    pub is_papers: bool,
    /// A text a column.
    pub cells: Vec<String>,
}

impl Row {
    fn ours(cells: Vec<String>) -> Self {
        Self { is_papers: false, cells }
    }

    fn papers(cells: Vec<String>) -> Self {
        Self { is_papers: true, cells }
    }
}

impl Table {
    /// As lines for people.
    pub fn text(&self) -> String {
        let mut table = Comfy::new();
        table.load_preset(presets::NOTHING);
        table.set_header(&self.head);
        for row in &self.rows {
            table.add_row(&row.cells);
        }
        let note = if self.note.is_empty() { String::new() } else { format!("\n{}", self.note) };
        format!("{}\n{}{note}", self.title, trim_lines(&table.to_string()))
    }
}

/// Cells of one experiment, setting and load: a row; one of each seed.
struct Group<'a> {
    setting: &'a str,
    policy: &'a str,
    load: Option<f64>,
    cells: Vec<&'a CellReport>,
}

/// All tables of a report, in the paper's order.
pub fn tables(report: &Report) -> Vec<Table> {
    let mut tables = Vec::new();
    for experiment in Experiment::ALL {
        let groups = groups(report, experiment);
        if !groups.is_empty() {
            tables.extend([results(experiment, &groups), work(experiment, &groups)]);
            tables.extend(failure(experiment, &groups));
        }
    }
    tables.extend(convergence(report));
    tables.extend(calibration(report));
    tables.extend(validation(report));
    tables
}

fn groups(report: &Report, experiment: Experiment) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for cell in report.cells.iter().filter(|cell| cell.experiment == experiment) {
        let same = |group: &&mut Group<'_>| group.setting == cell.setting && group.load == cell.load;
        match groups.iter_mut().find(same) {
            Some(group) => group.cells.push(cell),
            None => groups.push(Group {
                setting: &cell.setting,
                policy: &cell.policy,
                load: cell.load,
                cells: vec![cell],
            }),
        }
    }
    groups
}

impl Group<'_> {
    fn head(&self) -> Vec<String> {
        let load = self.load.map_or_else(|| "closed loop".to_owned(), |load| format!("{load}"));
        vec![self.setting.to_owned(), load]
    }

    /// The mean over the seeds; with several, the least and the greatest as well. A dash where no cell has it.
    fn mean(&self, of: impl Fn(&CellReport) -> Option<f64>, unit: Unit) -> String {
        let values: Vec<f64> = self.cells.iter().filter_map(|cell| of(cell)).collect();
        if values.is_empty() {
            return "–".to_owned();
        }
        let mean = unit.show(values.iter().sum::<f64>() / values.len() as f64);
        if values.len() == 1 {
            return mean;
        }
        let ends = [f64::min, f64::max]
            .map(|pick| unit.show(values.iter().copied().reduce(pick).unwrap_or_default()));
        format!("{mean} ({}…{})", ends[0], ends[1])
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    PerSecond,
    Ms,
    Seconds,
    Count,
    Ratio,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::PerSecond => format!("{value:.2}/s"),
            Self::Ms => format!("{value:.0} ms"),
            Self::Seconds => format!("{value:.1} s"),
            Self::Count => format!("{value:.0}"),
            Self::Ratio => format!("{value:.2}"),
        }
    }
}

fn heads(names: &[&str]) -> Vec<String> {
    ["policy", "load"].iter().chain(names).map(|name| (*name).to_owned()).collect()
}

/// A row of the paper's beside those of ours, where it has such a policy.
fn unknown(experiment: Experiment, group: &Group<'_>, columns: usize) -> Option<Row> {
    let has = match experiment {
        Experiment::Routing => paper::ROUTING.contains(&group.policy),
        Experiment::Saturation => group.policy == "score",
        _ => false,
    };
    let cells = [format!("{}, the paper", group.setting), String::new()];
    let unknown = std::iter::repeat_n(paper::UNKNOWN.to_owned(), columns);
    has.then(|| Row::papers(cells.into_iter().chain(unknown).collect()))
}

fn results(experiment: Experiment, groups: &[Group<'_>]) -> Table {
    let names = ["success", "throughput", "latency mean", "p50", "p95", "p99", "refused", "failed"];
    // Without a result there is no latency.
    let some = |cell: &CellReport, ms: f64| (cell.succeeded > 0).then_some(ms);
    let sum = |kinds: &std::collections::BTreeMap<String, u64>| Some(kinds.values().sum::<u64>() as f64);
    let rows = groups.iter().flat_map(|group| {
        let mut cells = group.head();
        cells.extend([
            group.mean(|cell| Some(cell.success_ratio), Unit::Percent),
            group.mean(|cell| Some(cell.throughput_per_s), Unit::PerSecond),
            group.mean(|cell| some(cell, cell.latency.mean_ms), Unit::Ms),
            group.mean(|cell| some(cell, cell.latency.p50_ms), Unit::Ms),
            group.mean(|cell| some(cell, cell.latency.p95_ms), Unit::Ms),
            group.mean(|cell| some(cell, cell.latency.p99_ms), Unit::Ms),
            group.mean(|cell| sum(&cell.refused), Unit::Count),
            group.mean(|cell| sum(&cell.failed), Unit::Count),
        ]);
        [Some(Row::ours(cells)), unknown(experiment, group, names.len())].into_iter().flatten()
    });
    let about = match experiment {
        Experiment::Routing => "routing policies side by side",
        Experiment::OneFailure => "one node fails",
        Experiment::TwoFailures => "two nodes fail at once",
        Experiment::Saturation => "all uploads go to one region",
        Experiment::Convergence | Experiment::Calibration | Experiment::Validation => experiment.as_str(),
    };
    Table {
        id: format!("{experiment}-results"),
        title: format!("{about}: results ({})", paper::place(experiment)),
        note: note(experiment).to_owned(),
        head: heads(&names),
        rows: rows.collect(),
    }
}

const fn note(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Routing => {
            "Tables 1 to 8 of the paper compare random, round robin and score. This project's sources quote none of their \
             cells, so these are said to be not known."
        }
        Experiment::Saturation => {
            "Section 11 of the paper sets weights of 0.3 for load and 0.7 for RTT against 0.8 and 0.2: the first traps load in \
             a region, the second ships it across the world. Its figures are not known here."
        }
        _ => "",
    }
}

fn work(experiment: Experiment, groups: &[Group<'_>]) -> Table {
    let names = [
        "transcodes",
        "offloads same region",
        "cross region",
        "responses same region",
        "cross region",
        "responses by offloads same region",
        "cross region",
        "all",
    ];
    let rows = groups.iter().flat_map(|group| {
        let part = |ratio: Option<f64>, same: bool| ratio.map(|ratio| if same { ratio } else { 1.0 - ratio });
        let mut cells = group.head();
        cells.extend([
            group.mean(|cell| Some(cell.counters.transcodes as f64), Unit::Count),
            group.mean(|cell| part(cell.offloads_same_region_ratio, true), Unit::Percent),
            group.mean(|cell| part(cell.offloads_same_region_ratio, false), Unit::Percent),
            group.mean(|cell| part(cell.responses_same_region_ratio, true), Unit::Percent),
            group.mean(|cell| part(cell.responses_same_region_ratio, false), Unit::Percent),
            group.mean(|cell| cell.response_to_offload.same_region, Unit::Ratio),
            group.mean(|cell| cell.response_to_offload.cross_region, Unit::Ratio),
            group.mean(|cell| cell.response_to_offload.all, Unit::Ratio),
        ]);
        [Some(Row::ours(cells)), unknown(experiment, group, names.len())].into_iter().flatten()
    });
    Table {
        id: format!("{experiment}-work"),
        title: format!("{experiment}: where the work was done ({})", paper::place(experiment)),
        note: "Offloads are jobs that peers took, responses are results that they gave for them; of a node that was killed the \
               counts until then."
            .to_owned(),
        head: heads(&names),
        rows: rows.collect(),
    }
}

fn failure(experiment: Experiment, groups: &[Group<'_>]) -> Option<Table> {
    let paper = paper::failure(experiment)?;
    let mut rows = vec![Row::papers(vec![
        "the paper".to_owned(),
        String::new(),
        paper.success.to_owned(),
        paper::UNKNOWN.to_owned(),
        paper::UNKNOWN.to_owned(),
        paper.recovered.to_owned(),
    ])];
    rows.extend(groups.iter().map(|group| {
        let of = |pick: fn(&super::report::Failure) -> Option<f64>, unit| {
            group.mean(|cell| cell.failure.as_ref().and_then(pick), unit)
        };
        let never = group.cells.iter().filter_map(|cell| cell.failure.as_ref());
        let never = never.filter(|failure| failure.recovered_after_s.is_none()).count();
        let recovered = match (of(|failure| failure.recovered_after_s, Unit::Seconds), never) {
            (recovered, 0) => recovered,
            (_, never) if never == group.cells.len() => "not before the end".to_owned(),
            (recovered, never) => format!("{recovered}; {never} not before the end"),
        };
        let mut cells = group.head();
        cells.extend([
            group.mean(|cell| Some(cell.success_ratio), Unit::Percent),
            of(|failure| failure.success_ratio_before, Unit::Percent),
            of(|failure| failure.success_ratio_after, Unit::Percent),
            recovered,
        ]);
        Row::ours(cells)
    }));
    Some(Table {
        id: format!("{experiment}-failure"),
        title: format!("{experiment}: success and recovery (table {})", paper.table),
        note: "Recovery: from the kill until more than 90 % succeed for good, in windows of the series' period, by when the uploads \
               were sent; 0 where it never was less."
            .to_owned(),
        head: heads(&["success", "before the kill", "after it", "over 90 % again after"]),
        rows,
    })
}

fn convergence(report: &Report) -> Option<Table> {
    let convergence = report.convergence.as_ref()?;
    let (least, median, greatest) = convergence.spread_ms()?;
    let s = |ms: u64| format!("{:.2} s", ms as f64 / 1000.0);
    let runs = convergence.runs_ms.len().to_string();
    let nodes = convergence.nodes.to_string();
    Some(Table {
        id: "convergence".to_owned(),
        title: "convergence from a ring of single seeds (section 12)".to_owned(),
        note: "From the start of the first node's process until every node saw all as alive and was ready. The paper's are five \
               nodes."
            .to_owned(),
        head: ["", "nodes", "runs", "least", "median", "greatest"].map(str::to_owned).into(),
        rows: vec![
            Row::ours(vec!["starling".to_owned(), nodes, runs, s(least), s(median), s(greatest)]),
            Row::papers(vec![
                "the paper".to_owned(),
                "5".to_owned(),
                paper::UNKNOWN.to_owned(),
                paper::CONVERGENCE.0.to_owned(),
                paper::UNKNOWN.to_owned(),
                paper::CONVERGENCE.1.to_owned(),
            ]),
        ],
    })
}

fn calibration(report: &Report) -> Option<Table> {
    let calibration = report.calibration.as_ref()?;
    let names = [
        "profile",
        "jobs",
        "predicted",
        "took mean",
        "error P50",
        "error P90",
        "took by predicted P50",
        "took by predicted P90",
    ];
    let rows = calibration.rows.iter().map(|row| {
        Row::ours(vec![
            row.profile.clone(),
            row.jobs.to_string(),
            row.predicted.to_string(),
            Unit::Ms.show(row.took_mean_ms),
            Unit::Percent.show(row.error_p50),
            Unit::Percent.show(row.error_p90),
            Unit::Ratio.show(row.took_by_predicted_p50),
            Unit::Ratio.show(row.took_by_predicted_p90),
        ])
    });
    Some(Table {
        id: "calibration".to_owned(),
        title: "calibration: what jobs took beside what was predicted (not in the paper)".to_owned(),
        note: "One job at a time on one node, with one worker. Error: |took - predicted| / predicted, of all jobs of which something \
               was predicted when they began; of the first three of a profile nothing is."
            .to_owned(),
        head: names.map(str::to_owned).into(),
        rows: rows.collect(),
    })
}

fn validation(report: &Report) -> Option<Table> {
    let validation = report.validation.as_ref()?;
    let names =
        ["where", "requests", "success", "latency mean", "p50", "p99", "work mean", "beyond the work"];
    let rows = validation.rows.iter().flat_map(|row| {
        [("lab", row.measured), ("simulator", row.simulated)].map(|(place, side)| {
            let load = row.load.map_or_else(|| "closed loop".to_owned(), |load| load.to_string());
            Row::ours(vec![
                row.setting.clone(),
                load,
                place.to_owned(),
                row.requests.to_string(),
                Unit::Percent.show(side.success_ratio),
                Unit::Ms.show(side.mean_ms),
                Unit::Ms.show(side.p50_ms),
                Unit::Ms.show(side.p99_ms),
                Unit::Ms.show(row.service_mean_ms),
                Unit::Ms.show(side.mean_ms - row.service_mean_ms),
            ])
        })
    });
    Some(Table {
        id: "validation".to_owned(),
        title: "validation: measured on the lab and predicted by the simulator (not in the paper)".to_owned(),
        note: super::validation::NOTE.to_owned(),
        head: heads(&names),
        rows: rows.collect(),
    })
}
