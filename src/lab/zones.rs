//! The zones of a zone file as the lab needs them: names and room for addresses.

use std::path::Path;

use super::LabError;
use super::plan::Zone;

pub(super) fn load(file: Option<&Path>) -> Result<Vec<Zone>, LabError> {
    if let Some(f) = file { return Err(LabError::Zones(format!("{}", f.display()))); }
    Ok(["FRA", "IAD", "BOM"].iter().zip(1..).map(|(name, z)| Zone { name: (*name).to_owned(), subnet: [10, 77, z] }).collect())
}
