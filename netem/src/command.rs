//! Runs `tc`, `nft` and the like, and turns their failures into errors that say what was run.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// A tool that could not be run, or that refused.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The tool could not be started or fed.
    #[error("{tool} could not be run: {error}{}", hint(.error, .package))]
    Start {
        /// Its name.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The tool refused.
    #[error("{command}: {message}")]
    Refused {
        /// What was run.
        command: String,
        /// What it printed.
        message: String,
    },
}

fn hint(error: &io::Error, package: &str) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        format!(" (install the package {package})")
    } else {
        String::new()
    }
}

/// A tool and the package that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub name: &'static str,
    pub package: &'static str,
}

pub(crate) const TC: Tool = Tool { name: "tc", package: "iproute2" };

impl Tool {
    /// Runs it with `arguments`, feeds it `input`, and returns its stdout.
    pub fn run(self, arguments: &[&str], input: &str) -> Result<String, CommandError> {
        let start = |error| CommandError::Start { tool: self.name, package: self.package, error };
        let output = self.output(arguments, input).map_err(start)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let message = if lines.is_empty() { output.status.to_string() } else { lines.join("; ") };
        Err(CommandError::Refused { command: format!("{} {}", self.name, arguments.join(" ")), message })
    }

    fn output(self, arguments: &[&str], input: &str) -> io::Result<Output> {
        let mut child = Command::new(self.name)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take()
            && let Err(error) = stdin.write_all(input.as_bytes())
            // A tool that refuses early closes its end; its own message is the one to show.
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
        child.wait_with_output()
    }
}
