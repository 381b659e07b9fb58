//! The table of verdicts.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::Path;

/// What came of one input in one profile, or in one other converter.
pub struct Row {
    pub input: String,
    pub column: String,
    pub verdict: Result<String, String>,
}

impl Row {
    /// What is wrong, in a line.
    pub fn wrong(&self) -> Option<String> {
        self.verdict.is_err().then(|| self.to_string())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Ok(verdict) | Err(verdict)) = &self.verdict;
        write!(f, "{} {}: {verdict}", self.input, self.column)
    }
}

/// Leaves the table where the build leaves such files.
pub fn keep(name: &str, rows: &[Row], columns: &[&str]) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(path, table(rows, columns)).unwrap();
}

fn table(rows: &[Row], columns: &[&str]) -> String {
    let mut by_input: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for row in rows {
        let verdict = match &row.verdict {
            Ok(right) => right,
            Err(fault) => fault,
        };
        by_input.entry(&row.input).or_default().insert(&row.column, verdict);
    }
    let mut text = format!("| input | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for (input, verdicts) in by_input {
        write!(text, "| {input} |").unwrap();
        for column in columns {
            let verdict = verdicts.get(column).unwrap_or(&"");
            write!(text, " {} |", verdict.replace('|', "/").replace('\n', " ")).unwrap();
        }
        text.push('\n');
    }
    text
}
