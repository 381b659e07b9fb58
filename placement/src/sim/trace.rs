//! All that happened in a run, as one number: two runs of one seed have the same.

use std::fmt::{self, Write};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A hash of everything that was told to it, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    hash: Sha256,
    /// The line that is written: it is hashed as a whole.
    line: String,
    /// What was told, if it is kept: for tests that look at it, and for two runs that differ.
    lines: Option<Vec<String>>,
}

impl Trace {
    pub fn keeping(keeps: bool) -> Self {
        Self { lines: keeps.then(Vec::new), ..Self::default() }
    }

    /// Something happened at this time.
    pub fn note(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        self.line.clear();
        // A number of 128 bits is written far more slowly.
        let at_us = at.as_micros() as u64;
        writeln!(self.line, "{at_us} {what}").expect("a text takes all");
        self.hash.update(&self.line);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>12.3} {what}", at.as_secs_f64()));
        }
    }

    pub fn hash(&self) -> String {
        hash_text(&self.hash)
    }

    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}

/// What was hashed, as text: half of the digest tells two runs apart.
pub(super) fn hash_text(hash: &Sha256) -> String {
    hash.clone().finalize()[..16].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}
