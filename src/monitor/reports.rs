//! What load generators report: the paper's client by itself, `starling load` with `--report`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dashboard::{ClientState, Trend};

/// Generators that are remembered; the one that was silent longest makes room for another.
const CLIENTS_MAX: usize = 100;
/// Longest name of one.
const NAME_CHARS_MAX: usize = 64;
/// One that has said nothing for so long is forgotten.
const SILENT_MAX: Duration = Duration::from_secs(24 * 3600);

/// `POST /update_metrics`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// How the generator calls itself: a text or a number.
    pub node_id: Value,
    /// Requests a second that had a result.
    pub throughput: f64,
    /// Mean time to a result, in seconds.
    pub avg_latency: f64,
    /// Requests that had a result.
    pub success: f64,
    /// Requests in all.
    pub total: f64,
    /// When that was, as the generator has it; not looked at.
    #[serde(default)]
    pub timestamp: Value,
}

/// A report that can't be taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Who reports is no text and no number.
    #[error("node_id is to be a text or a number that names the client")]
    NoName,
    /// A figure is none.
    #[error("{0} is to be a number from 0 on")]
    NoNumber(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    latest: f64,
    max: f64,
    all: f64,
}

#[derive(Clone, Debug)]
struct Kept {
    at: Instant,
    reports: u64,
    throughput: Sum,
    latency_s: Sum,
    success: f64,
    total: f64,
}

/// What generators have reported, by name.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<BTreeMap<String, Kept>>);

impl Sum {
    const NONE: Self = Self { latest: 0.0, max: 0.0, all: 0.0 };

    fn add(&mut self, value: f64) {
        *self = Self { latest: value, max: self.max.max(value), all: self.all + value };
    }

    fn trend(self, reports: u64) -> Trend {
        Trend { latest: self.latest, max: self.max, mean: self.all / reports.max(1) as f64 }
    }
}

impl Reports {
    pub(super) fn take(&self, report: &LoadReport) -> Result<(), ReportError> {
        let name = match &report.node_id {
            Value::String(name) if !name.trim().is_empty() => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(ReportError::NoName),
        };
        let name =
            crate::printable::line(&name.chars().take(NAME_CHARS_MAX).collect::<String>()).into_owned();
        for (what, value) in [
            ("throughput", report.throughput),
            ("avg_latency", report.avg_latency),
            ("success", report.success),
            ("total", report.total),
        ] {
            if !value.is_finite() || value < 0.0 {
                return Err(ReportError::NoNumber(what));
            }
        }
        let now = Instant::now();
        let mut all = self.0.lock();
        if !all.contains_key(&name) && all.len() >= CLIENTS_MAX {
            let silent = all.iter().min_by_key(|(_, kept)| kept.at).map(|(name, _)| name.clone());
            silent.map(|name| all.remove(&name));
        }
        let kept = all.entry(name).or_insert(Kept {
            at: now,
            reports: 0,
            throughput: Sum::NONE,
            latency_s: Sum::NONE,
            success: 0.0,
            total: 0.0,
        });
        kept.at = now;
        kept.reports += 1;
        kept.throughput.add(report.throughput);
        kept.latency_s.add(report.avg_latency);
        (kept.success, kept.total) = (report.success, report.total);
        Ok(())
    }

    pub(super) fn told(&self) -> Vec<ClientState> {
        let now = Instant::now();
        let mut all = self.0.lock();
        all.retain(|_, kept| now.saturating_duration_since(kept.at) < SILENT_MAX);
        let told = |(name, kept): (&String, &Kept)| ClientState {
            name: name.clone(),
            age_ms: now.saturating_duration_since(kept.at).as_millis() as u64,
            throughput: kept.throughput.trend(kept.reports),
            latency_s: kept.latency_s.trend(kept.reports),
            success: kept.success as u64,
            total: kept.total as u64,
            reports: kept.reports,
        };
        all.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> LoadReport {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_clients_reports_are_summed_up() {
        let reports = Reports::default();
        for (rate, latency, success) in [(2.0, 0.5, 10), (4.0, 1.5, 30), (3.0, 1.0, 45)] {
            let json = format!(
                r#"{{"node_id":"client-1","throughput":{rate},"avg_latency":{latency},"success":{success},"total":50,"timestamp":1764352800.5}}"#
            );
            reports.take(&report(&json)).unwrap();
        }
        let told = &reports.told()[0];
        assert_eq!((&*told.name, told.success, told.total, told.reports), ("client-1", 45, 50, 3));
        assert_eq!(told.throughput, Trend { latest: 3.0, max: 4.0, mean: 3.0 });
        assert_eq!(told.latency_s, Trend { latest: 1.0, max: 1.5, mean: 1.0 });
    }

    #[test]
    fn what_is_no_report_changes_nothing_and_strangers_fill_no_memory() {
        let reports = Reports::default();
        let none = r#"{"node_id":[],"throughput":1,"avg_latency":1,"success":1,"total":1}"#;
        assert_eq!(reports.take(&report(none)), Err(ReportError::NoName));
        let less = r#"{"node_id":7,"throughput":-1,"avg_latency":1,"success":1,"total":1}"#;
        assert_eq!(reports.take(&report(less)), Err(ReportError::NoNumber("throughput")));
        assert_eq!(reports.told(), []);
        for n in 0..2 * CLIENTS_MAX {
            let json = format!(r#"{{"node_id":{n},"throughput":1,"avg_latency":1,"success":1,"total":1}}"#);
            reports.take(&report(&json)).unwrap();
        }
        assert_eq!(reports.told().len(), CLIENTS_MAX);
        assert!(reports.told().iter().any(|client| client.name == (2 * CLIENTS_MAX - 1).to_string()));
    }
}
