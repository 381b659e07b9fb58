//! Timelines: what happens to the links when, for experiments.
//!
//! ```text
//! # seconds count from the start
//! at 10s  partition FRA,IAD / BOM
//! at 30s  heal
//! at 40s  fault FRA-BOM --loss 30% --for 20s
//! at 60s  end
//! ```

use std::time::Duration;

use clap::Parser;

use crate::args::{Action, parse_span};

/// What is done, in the order of time.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// Ordered by time.
    pub steps: Vec<Step>,
}

/// One line of a timeline.
#[derive(Debug, Clone)]
pub struct Step {
    /// Since the start.
    pub at: Duration,
    /// Its line, counted from 1.
    pub line: usize,
    /// As it was written.
    pub text: String,
    /// What is done; `None` for `end`, which only says how long the timeline is.
    pub action: Option<Action>,
}

/// A timeline that can't be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}:{line}: {message}")]
pub struct TimelineError {
    source_name: String,
    line: usize,
    message: String,
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    action: Action,
}

impl Timeline {
    /// Parses a timeline's text. `source_name` is what errors call it.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, TimelineError> {
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default().trim();
            if words.is_empty() {
                continue;
            }
            let step = parse_line(words).map_err(|message| TimelineError {
                source_name: source_name.to_owned(),
                line: index + 1,
                message,
            })?;
            steps.push(Step { line: index + 1, ..step });
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self { steps })
    }

    /// What is surely not meant: a last step that makes a fault, which then ends at once, with the timeline.
    pub fn warning(&self) -> Option<String> {
        let last = self.steps.last()?;
        match last.action {
            Some(Action::Fault(_) | Action::Partition(_)) => Some(format!(
                "line {} ({:?}) is the last step: its fault ends at once, with the timeline; add a line that says when \
                 the timeline ends, such as \"at {}s end\"",
                last.line,
                last.text,
                last.at.as_secs() + 30
            )),
            Some(Action::Heal { .. }) | None => None,
        }
    }
}

fn parse_line(words: &str) -> Result<Step, String> {
    const FORM: &str = "expected \"at TIME fault|partition|heal …\" or \"at TIME end\"";
    let rest = words.strip_prefix("at ").ok_or_else(|| format!("{words:?}: {FORM}"))?;
    let (time, action) =
        rest.trim().split_once(char::is_whitespace).ok_or_else(|| format!("{words:?}: {FORM}"))?;
    let at = parse_span(time).map_err(|error| error.to_string())?;
    let text = action.trim().to_owned();
    if text == "end" {
        return Ok(Step { at, line: 0, text, action: None });
    }
    let parsed = Line::try_parse_from(text.split_whitespace()).map_err(|error| {
        // The first line says what is wrong; the rest is about a command line.
        let message = error.to_string();
        message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    if parsed.action.holds() {
        return Err("--hold has no meaning here: faults of a timeline end with it".to_owned());
    }
    Ok(Step { at, line: 0, text, action: Some(parsed.action) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Request;

    #[test]
    fn a_fault_on_the_last_line_is_warned_of() {
        let warning = |text| Timeline::parse(text, "t").unwrap().warning();
        let told = warning("at 10s heal\nat 20s partition node3\nat 5s heal\n").unwrap();
        assert!(told.contains("line 2 (\"partition node3\")") && told.contains("\"at 50s end\""), "{told}");
        assert!(warning("at 10s fault all --loss 5% --for 20s").is_some());
        for fine in
            ["at 10s partition node3\nat 40s end", "at 1s partition node3\nat 2s heal", "", "at 5s heal"]
        {
            assert_eq!(warning(fine), None, "{fine}");
        }
    }

    #[test]
    fn steps_are_ordered_by_time() {
        let text = "# heal later\nat 30s heal\n\nat 10s partition FRA,IAD / BOM  # cut\nat 1m fault FRA-BOM --loss 30% --for 20s\nat 90s end\n";
        let timeline = Timeline::parse(text, "t").unwrap();
        let shown: Vec<String> = timeline
            .steps
            .iter()
            .map(|step| format!("{}s line {}: {}", step.at.as_secs(), step.line, step.text))
            .collect();
        assert_eq!(
            shown,
            [
                "10s line 4: partition FRA,IAD / BOM",
                "30s line 2: heal",
                "60s line 5: fault FRA-BOM --loss 30% --for 20s",
                "90s line 6: end"
            ]
        );
        let request = timeline.steps[0].action.as_ref().unwrap().request(true);
        assert_eq!(
            request,
            Request::Partition { groups: "FRA,IAD / BOM".to_owned(), for_ms: None, lease: true }
        );
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        let error = |text: &str| Timeline::parse(text, "t").unwrap_err().to_string();
        let all: Vec<String> = [
            "partition FRA",
            "at 10s heal\nat soon heal",
            "at 10s",
            "at 10s explode",
            "at 10s fault FRA-BOM --loss 30",
            "at 10s fault",
            "at 10s partition FRA --hold",
        ]
        .map(error)
        .to_vec();
        insta::assert_snapshot!(all.join("\n"));
    }
}
