//! The report's folder: written anew after each cell, each file in one go, so that a run that is cut keeps what it has.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::report::Report;
use super::tables::tables;
use super::{BenchError, figures, html};

/// Ground of a figure that stands alone; in the page it has the page's.
const GROUND: &str = "<style>svg{background:#fff}</style>";

/// Writes `report.json`, `report.html` and the figures into a folder, which is made if it is not there.
pub(super) fn write(folder: &Path, report: &Report) -> Result<(), BenchError> {
    fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    let json = serde_json::to_string_pretty(report).map_err(|error| BenchError::Figure(error.to_string()))?;
    replace(folder, "report.json", &json)?;
    let recorded = report.validation.iter().flat_map(|validation| &validation.recorded);
    for (number, recording) in (1..).zip(recorded) {
        replace(folder, &format!("validation-{number}.jsonl"), &recording.text())?;
    }
    let figures = figures::figures(report)?;
    for figure in &figures {
        let alone = match figure.svg.split_once('>') {
            Some((head, rest)) => format!("{head}>{GROUND}{rest}"),
            None => figure.svg.clone(),
        };
        replace(folder, &format!("{}.svg", figure.id), &alone)?;
    }
    replace(folder, "report.html", &html::page(report, &tables(report), &figures))
}

/// A file whose readers see the old one or the new one, and nothing between.
fn replace(folder: &Path, name: &str, text: &str) -> Result<(), BenchError> {
    let path = folder.join(name);
    let write = || {
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(BenchError::file(&path))
}

/// A report is for all to read, as the user's umask allows.
fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}
