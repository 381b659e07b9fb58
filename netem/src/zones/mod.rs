//! Zones, their subnets, and the links between them: the validated model of a zone file.

mod file;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::LinkProfile;

/// The paper's matrix: FRA, IAD and BOM.
const BUILTIN: &str = include_str!("../../zones.toml");

/// A zone: a name, and the addresses of the nodes that are in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Its name, such as `FRA`.
    pub name: String,
    /// IPv4 and IPv6 subnets; one of them at least. No two zones overlap.
    pub subnets: Vec<IpNet>,
}

/// All zones and a link for every ordered pair of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Zones {
    zones: Vec<Zone>,
    /// Row: from; column: to.
    links: Vec<LinkProfile>,
}

/// Why a zone file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ZoneFileError {
    /// The file could not be read.
    #[error("zone file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file says something that can't be.
    #[error("{source_name}:{line}: {message}")]
    Invalid {
        /// The file, or what stands for it.
        source_name: String,
        /// Counted from 1.
        line: usize,
        /// What was found and what was expected.
        message: String,
    },
}

impl Zones {
    /// The built-in zones: the paper's FRA, IAD and BOM.
    pub fn builtin() -> Self {
        #[expect(clippy::expect_used, reason = "a constant of this crate; a test parses it")]
        Self::parse(BUILTIN, "built-in zones").expect("the built-in zone file is valid")
    }

    /// Reads and validates a zone file.
    pub fn load(path: &Path) -> Result<Self, ZoneFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ZoneFileError::Read { path: path.to_owned(), error })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and validates the text of a zone file. `source_name` is what errors call it.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, ZoneFileError> {
        file::parse(text).map_err(|error| ZoneFileError::Invalid {
            source_name: source_name.to_owned(),
            line: error.line(text),
            message: error.message,
        })
    }

    /// The text of the built-in zone file, to start one's own from.
    pub fn builtin_text() -> &'static str {
        BUILTIN
    }

    /// All zones, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter()
    }

    /// A zone by its name.
    pub fn get(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// The zone that an address lies in.
    pub fn zone_of(&self, address: IpAddr) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.subnets.iter().any(|subnet| subnet.contains(&address)))
    }

    /// The direction from a node of zone `from` to another node of zone `to`. `None` when there is no such zone.
    pub fn link(&self, from: &str, to: &str) -> Option<&LinkProfile> {
        let index = |name| self.zones.iter().position(|zone| zone.name == name);
        self.links.get(index(from)? * self.zones.len() + index(to)?)
    }

    /// Every ordered pair of zones, with its link.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str, &LinkProfile)> {
        let name = |index: usize| self.zones[index].name.as_str();
        let count = self.zones.len();
        self.links.iter().enumerate().map(move |(cell, link)| (name(cell / count), name(cell % count), link))
    }

    /// Names of all zones, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.zones.iter().map(|zone| zone.name.as_str()).collect();
        names.join(", ")
    }
}
