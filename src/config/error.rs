//! Why a configuration can't be used.

use std::fmt;
use std::path::{Path, PathBuf};

use super::KeyFileError;
use crate::access::TokenFileError;
use crate::profile::ProfileSetError;
use crate::tls::CertificateError;

/// Why a node can't run as it was told to. Nothing has been bound or written yet.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("can't read the configuration file {path}: {source}")]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the TOML expected.
    #[error("configuration file {path}, line {line} ({text}): {what}")]
    FileInvalid {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// That line.
        text: String,
        /// What was expected there, and perhaps what to write.
        what: String,
    },
    /// One option's value is unusable.
    #[error("--{option} (STARLING_{env}): {reason}", env = option.to_uppercase().replace('-', "_"))]
    Option {
        /// Its long flag.
        option: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A profile file can't be used.
    #[error(transparent)]
    Profiles(#[from] ProfileSetError),
    /// The key file can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The certificate can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token file can't be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The host's name is no node name and none was given.
    #[error("the host's name {0:?} can't serve as node name: give --name")]
    HostName(String),
}

/// All that is wrong with a configuration, as far as it can be told at once: one fault at least.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Each fault.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// These, and then those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// A line a fault.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// The faults that were found until now.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ConfigError>);

impl Faults {
    /// What was checked; none if that is a fault, which is kept.
    pub(super) fn keep<T>(&mut self, checked: Result<T, impl Into<ConfigError>>) -> Option<T> {
        checked.map_err(|error| self.0.push(error.into())).ok()
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Those of a file, in the order of its lines.
    pub(super) fn sort_by_line(&mut self) {
        self.0.sort_by_key(|error| match error {
            ConfigError::FileInvalid { line, .. } => *line,
            _ => 0,
        });
    }

    /// All that was found, if anything was.
    pub(super) fn found(self) -> Option<ConfigErrors> {
        (!self.0.is_empty()).then_some(ConfigErrors(self.0))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are passed as they come")]
pub(super) fn invalid(option: &'static str, reason: impl ToString) -> ConfigError {
    ConfigError::Option { option, reason: reason.to_string() }
}

/// The most of a line that is quoted.
const QUOTE_CHARS_MAX: usize = 80;

impl ConfigError {
    /// What is wrong with this text of a file, in one line.
    pub(super) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].matches('\n').count() + 1;
        let words: Vec<_> =
            error.message().lines().map(str::trim).filter(|words| !words.is_empty()).collect();
        let hint = hint(error);
        let what = words.join("; ") + if hint.is_empty() { "" } else { "; " } + hint;
        let quoted = text.lines().nth(line - 1).unwrap_or_default().trim();
        let text =
            crate::printable::line(&quoted.chars().take(QUOTE_CHARS_MAX).collect::<String>()).into_owned();
        Self::FileInvalid { path: path.to_owned(), line, text, what }
    }

    /// Whether its words name the file that it is about.
    pub const fn names_file(&self) -> bool {
        matches!(self, Self::FileUnreadable { .. } | Self::FileInvalid { .. })
    }
}

/// What to write where TOML's own words say only what is wrong.
fn hint(error: &toml::de::Error) -> &'static str {
    if error.message().contains("expected a string") {
        "write it in quotes, a time or a size with its unit: \"40s\", \"10GiB\""
    } else {
        ""
    }
}
