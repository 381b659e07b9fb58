//! A bench from its begin to its end: the machine is measured, then one cell after the other, and the report is kept after each.

use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::cell::{Common, PROFILE};
use super::plan::{Cell, Experiment, Options};
use super::report::{CellReport, Convergence, FORMAT, Report, Settings};
use super::{BenchError, calibration, clips, convergence, machine, output, validation};
use crate::lab;

/// Hears how far a bench is.
pub trait Progress {
    /// What is done now, in a line.
    fn tell(&self, line: &str);
}

/// Runs all of it. The report is in its folder after each cell; when this is told to `stop`, the lab ends in order, and what was
/// measured until then is returned, marked as not complete.
pub async fn run(
    options: &Options,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Report, BenchError> {
    // It is to fail before anything is measured if it can't be written.
    std::fs::create_dir_all(&options.output).map_err(BenchError::file(&options.output))?;
    let scratch = tempfile::Builder::new().prefix("starling-bench-").tempdir();
    let scratch = scratch.map_err(BenchError::file(std::env::temp_dir()))?;
    let prepare = async {
        let made = options.clips.is_none();
        let sources = if let Some(folder) = &options.clips {
            clips::given(folder)?
        } else {
            progress.tell("making clips");
            clips::make(scratch.path(), options.seed, options.short).await?
        };
        progress.tell("measuring bare ffmpeg on this machine");
        let machine = machine::measure(&sources, made, options.short, scratch.path()).await?;
        Ok::<_, BenchError>((sources, machine))
    };
    let (sources, machine) = tokio::select! {
        prepared = prepare => prepared?,
        () = stop.cancelled() => return Err(BenchError::Interrupted),
    };
    progress.tell(&format!(
        "bare ffmpeg does {:.2} transcodes/s; load 1 is {:.2} uploads/s",
        machine.bare_per_s, machine.capacity_per_s
    ));
    let common = Common { options, sources: &sources, machine: &machine };
    let mut report = begin(options, &common);
    output::write(&options.output, &report)?;
    let outcome = all(&common, &mut report, progress, stop).await;
    report.complete = outcome.is_ok();
    match outcome {
        Err(BenchError::Interrupted) => report.notes.push(format!(
            "Cut short by a signal after {} of {} cells.",
            report.cells.len(),
            report.settings.cells
        )),
        Err(ref error) => report.notes.push(format!("Ended early: {error}")),
        Ok(()) => {}
    }
    output::write(&options.output, &report)?;
    match outcome {
        Ok(()) | Err(BenchError::Interrupted) => Ok(report),
        Err(error) => Err(error),
    }
}

fn begin(options: &Options, common: &Common<'_>) -> Report {
    Report {
        format: FORMAT,
        starling: env!("CARGO_PKG_VERSION").to_owned(),
        begun: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        complete: false,
        settings: Settings {
            experiments: options.experiments.clone(),
            seed: options.seed,
            seeds: options.seeds,
            duration_s: options.duration.as_secs_f64(),
            nodes: options.nodes,
            loads: options.loads.clone(),
            parallel: options.parallel,
            timeout_ms: options.timeout().as_millis() as u64,
            profile: PROFILE.to_owned(),
            short: options.short,
            cells: options.cells().len(),
        },
        machine: common.machine.clone(),
        notes: Vec::new(),
        cells: Vec::new(),
        convergence: None,
        calibration: None,
        validation: None,
    }
}

async fn all(
    common: &Common<'_>,
    report: &mut Report,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), BenchError> {
    let options = common.options;
    let cells = options.cells();
    for (index, cell) in cells.iter().enumerate() {
        let left = (options.estimate() / u32::try_from(cells.len()).unwrap_or(u32::MAX))
            .saturating_mul(u32::try_from(cells.len() - index).unwrap_or(u32::MAX));
        progress.tell(&format!(
            "[{}/{}] {}, {}, load {}, seed {}: about {} left",
            index + 1,
            cells.len(),
            cell.experiment,
            cell.setting.label(),
            cell.load,
            cell.seed,
            humantime::format_duration(Duration::from_secs(left.as_secs()))
        ));
        let cell = one(common, cell, report, stop).await?;
        progress.tell(&line(&cell));
        report.cells.push(cell);
        output::write(&options.output, report)?;
    }
    if options.experiments.contains(&Experiment::Convergence) {
        converge(common, report, progress, stop).await?;
    }
    if options.experiments.contains(&Experiment::Calibration) {
        let (calibration, said) = calibration::run((options, common.sources), progress, stop).await?;
        report.calibration = Some(calibration);
        learn(report, &said);
        output::write(&options.output, report)?;
    }
    validate(common, report, progress, stop).await
}

/// Cells that are simulated as well.
async fn validate(
    common: &Common<'_>,
    report: &mut Report,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), BenchError> {
    for cell in common.options.validated_cells() {
        progress.tell(&format!(
            "validation, {}, load {}, seed {}",
            cell.setting.label(),
            cell.load,
            cell.seed
        ));
        let cluster = common.lab(cell.setting.node_args()).start(stop).await?;
        report.machine.cpus_per_node = cluster.report.cpus;
        learn(report, &cluster.report);
        let validation = report.validation.get_or_insert_default();
        let outcome = tokio::select! {
            outcome = validation::run(common, &cell, &cluster, validation) => outcome,
            () = stop.cancelled() => Err(BenchError::Interrupted),
        };
        let ended = cluster.end().await;
        outcome.and(ended)?;
        output::write(&common.options.output, report)?;
    }
    Ok(())
}

/// A lab, a cell in it, and the lab's end, whatever came of the cell.
async fn one(
    common: &Common<'_>,
    cell: &Cell,
    report: &mut Report,
    stop: &CancellationToken,
) -> Result<CellReport, BenchError> {
    let cluster = common.lab(cell.setting.node_args()).start(stop).await?;
    report.machine.cpus_per_node = cluster.report.cpus;
    learn(report, &cluster.report);
    let outcome = tokio::select! {
        outcome = common.run(cell, &cluster) => outcome,
        () = stop.cancelled() => Err(BenchError::Interrupted),
    };
    let ended = cluster.end().await;
    let outcome = outcome?;
    ended.map(|()| outcome)
}

/// What a lab says of itself.
fn learn(report: &mut Report, lab: &lab::Report) {
    report.machine.isolation.clone_from(&lab.isolation);
    report.machine.links.clone_from(&lab.backend);
}

async fn converge(
    common: &Common<'_>,
    report: &mut Report,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), BenchError> {
    let runs = common.options.convergence_runs;
    let lab = common.lab(Vec::new());
    report.convergence = Some(Convergence::default());
    for run in 1..=runs {
        let convergence = report.convergence.get_or_insert_default();
        let said = convergence::once(&lab, stop, convergence).await?;
        let took = convergence.runs_ms.last().copied().unwrap_or_default();
        progress.tell(&format!("[{run}/{runs}] convergence of {} nodes: {took} ms", lab.nodes));
        learn(report, &said);
        output::write(&common.options.output, report)?;
    }
    Ok(())
}

fn line(cell: &CellReport) -> String {
    format!(
        "  {:.1} % of {} succeeded, {:.2}/s, latency mean {:.0} ms, 95 % {:.0} ms",
        cell.success_ratio * 100.0,
        cell.requests,
        cell.throughput_per_s,
        cell.latency.mean_ms,
        cell.latency.p95_ms
    )
}
