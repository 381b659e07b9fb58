//! The series in a file, for a day: what was is there again after a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use tokio::sync::Mutex;

use super::Monitor;
use crate::dashboard::{Board, COLUMNS, Point};

/// Points by their time in milliseconds since the epoch: the figures as bits, in the order of the columns; not a number is none.
const POINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("points-1");
/// A day of points.
const POINTS_MAX: u64 = 43_200;
/// Points that a page is given.
const NEWEST_MAX: usize = 450;
/// How often what came is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// What the file's own cache may take.
const CACHE_BYTES: usize = 1 << 20;

/// A file with the series of the last day.
#[derive(Debug)]
pub struct History {
    database: Database,
    path: PathBuf,
    /// Number of the last point of the board that is written.
    written: Mutex<Option<u64>>,
}

/// Why there is no such file. What is in it was not changed.
#[derive(Debug, thiserror::Error)]
#[error(
    "--history {path}: {reason}; give a file that this monitor alone writes, or one that is not there yet"
)]
pub struct HistoryError {
    path: PathBuf,
    reason: String,
}

impl History {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let wrong =
            |error: &dyn std::fmt::Display| HistoryError { path: path.to_owned(), reason: error.to_string() };
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|error| wrong(&error))?;
        let this = Self { database, path: path.to_owned(), written: Mutex::default() };
        // The table is there from now on.
        this.write(&[]).map_err(|error| wrong(&error))?;
        Ok(this)
    }

    /// The newest points, oldest first.
    pub fn newest(&self) -> Vec<Point> {
        match self.read() {
            Ok(points) => points,
            Err(error) => {
                tracing::warn!(%error, file = %self.path.display(), "the history can't be read: it begins anew");
                Vec::new()
            }
        }
    }

    fn read(&self) -> Result<Vec<Point>, Box<redb::Error>> {
        self.read_unboxed().map_err(Box::new)
    }

    fn read_unboxed(&self) -> Result<Vec<Point>, redb::Error> {
        let table = self.database.begin_read()?.open_table(POINTS)?;
        let mut points = Vec::new();
        for entry in table.iter()?.rev().take(NEWEST_MAX) {
            points.extend(decode(entry?.1.value()));
        }
        points.reverse();
        Ok(points)
    }

    /// Adds points, and drops the oldest of more than a day.
    fn write(&self, points: &[Point]) -> Result<(), Box<redb::Error>> {
        self.write_unboxed(points).map_err(Box::new)
    }

    fn write_unboxed(&self, points: &[Point]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(POINTS)?;
            for point in points {
                let at_ms = (point[0].unwrap_or_default() * 1000.0).max(0.0) as u64;
                table.insert(at_ms, encode(point).as_slice())?;
            }
            while table.len()? > POINTS_MAX {
                table.pop_first()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Writes the points of a board that are not written yet.
    pub(super) async fn keep(self: &Arc<Self>, board: &Board) {
        let mut written = self.written.lock().await;
        let series = board.series(*written);
        let Some(last) = (series.points.len() as u64).checked_sub(1) else { return };
        *written = Some(series.first + last);
        let history = Arc::clone(self);
        let error = match tokio::task::spawn_blocking(move || history.write(&series.points)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, file = %self.path.display(), "the history can't be written: these points are lost");
    }

    /// Has a board begin with what is here.
    pub(super) async fn restore(&self, board: &Board) {
        board.restore(self.newest());
        *self.written.lock().await = board.newest().map(|(number, _)| number);
    }
}

/// Writes what comes, for as long as this is polled.
pub(super) async fn keep_regularly(monitor: Arc<Monitor>) {
    let mut tick = tokio::time::interval(WRITE_INTERVAL);
    loop {
        tick.tick().await;
        monitor.keep().await;
    }
}

fn encode(point: &Point) -> Vec<u8> {
    point.iter().flat_map(|value| value.unwrap_or(f64::NAN).to_le_bytes()).collect()
}

/// None of what another release has written in another way.
fn decode(bytes: &[u8]) -> Option<Point> {
    if bytes.len() != COLUMNS.len() * 8 {
        return None;
    }
    let mut point = Point::default();
    for (value, bytes) in point.iter_mut().zip(bytes.chunks_exact(8)) {
        let number = f64::from_le_bytes(bytes.try_into().ok()?);
        *value = (!number.is_nan()).then_some(number);
    }
    Some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: f64) -> Point {
        let mut point = Point::default();
        (point[0], point[2]) = (Some(at_s), Some(0.5));
        point
    }

    #[test]
    fn what_was_written_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.redb");
        let history = History::open(&file).unwrap();
        assert_eq!(history.newest(), Vec::<Point>::new());
        let points: Vec<_> = (0..NEWEST_MAX + 7).map(|n| point(1000.0 + n as f64)).collect();
        history.write(&points).unwrap();
        // Another one can't have it meanwhile.
        let error = History::open(&file).unwrap_err().to_string();
        assert!(error.contains("history.redb") && error.contains("alone"), "{error}");
        drop(history);
        let history = History::open(&file).unwrap();
        assert_eq!(history.newest(), points[7..]);
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        std::fs::write(&file, "my notes, which nobody wants to lose".repeat(200)).unwrap();
        let before = std::fs::read(&file).unwrap();
        assert!(History::open(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }

    #[test]
    fn it_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("history.redb")).unwrap();
        let all: Vec<_> = (0..POINTS_MAX + 500).map(|n| point(n as f64)).collect();
        history.write(&all).unwrap();
        let table = history.database.begin_read().unwrap().open_table(POINTS).unwrap();
        assert_eq!(table.len().unwrap(), POINTS_MAX);
        assert_eq!(table.first().unwrap().unwrap().0.value(), 500_000);
    }
}
