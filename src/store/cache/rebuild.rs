//! How the index is read back at start.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::disk::read_entry;
use super::key::Meta;
use super::results::Cache;
use crate::store::folder::layout;

impl Cache {
    pub(super) fn rebuild(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for (name, path, meta) in layout::list(self.0.dir.objects())? {
            if name == layout::VERSION {
                continue;
            }
            if !layout::is_shelf(&name) {
                tracing::warn!(path = %path.display(), "not from a node: left alone");
            } else if meta.is_dir() {
                Self::read_shelf(&path, &mut found)?;
            } else {
                // In the way of what belongs there; where a link points to is nobody's business here.
                tracing::warn!(path = %path.display(), "no folder, where one belongs: removed");
                layout::remove(&path, &meta)?;
            }
        }
        found.sort_by(|(used, name, _), (other_used, other_name, _)| {
            (used, name).cmp(&(other_used, other_name))
        });
        let mut index = self.index();
        for (_, name, meta) in found {
            index.insert(&name, Arc::new(meta), None);
        }
        Ok(())
    }

    /// Reads the entries of one shelf back; those that aren't whole are removed.
    fn read_shelf(shelf: &Path, found: &mut Vec<(SystemTime, String, Meta)>) -> io::Result<()> {
        for (name, path, file) in layout::list(shelf)? {
            if !layout::is_entry(&name) {
                tracing::warn!(path = %path.display(), "not from a node: left alone");
                continue;
            }
            let read = if file.is_dir() {
                read_entry(&path, &name)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            };
            match read {
                Ok((used, meta)) => found.push((used, name, meta)),
                Err(error) => {
                    tracing::warn!(entry = name, %error, "a cache entry is not whole: removed");
                    layout::remove(&path, &file)?;
                }
            }
        }
        Ok(())
    }
}
