//! How a result is put in: whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::disk::{DATA, META};
use super::index::Stamp;
use super::key::{Key, Meta};
use super::object::{Hold, Object};
use super::results::{Cache, Pin};
use crate::events::NodeEvent;
use crate::workers::Verified;

impl Cache {
    pub(super) fn insert_blocking(&self, result: Verified) -> io::Result<Object> {
        let profile = result.profile();
        let name = self.name(&Key::new(result.content(), profile));
        let meta = Arc::new(Meta {
            content: result.content(),
            profile: profile.name.clone(),
            encoder: self.0.encoder_version.clone(),
            bytes: result.bytes(),
            sha256: result.sha256(),
            media_type: profile.media_type().to_owned(),
            extension: profile.extension().to_owned(),
            damage: result.damage().copied(),
        });
        let file = File::open(result.path())?;
        let stamp = Stamp::of(&file)?;
        if stamp.bytes != meta.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the result changed after it was verified",
            ));
        }
        // What it needs of the disk is little: the result itself lies there already.
        let put = self.0.dir.with_room(0, || {
            let staged = self.stage(&file, result.path(), &meta)?;
            self.commit(&name, staged, &meta, stamp)
        });
        let hold = match put {
            Ok(pin) => {
                // The file lies in the entry now, under another name.
                drop(result);
                self.evict_down_to(self.0.budget_bytes);
                Hold::Cached { pin }
            }
            Err(error) => {
                self.0.events.tell(&NodeEvent::NotCached { entry: &name, error: &error });
                Hold::Uncached { file: Arc::new(result.into_file()) }
            }
        };
        Ok(Object { file: Arc::new(file), meta, hold, content: None })
    }

    /// Makes the entry's folder in `tmp/`, synced. The file is linked, not moved: if anything fails it is still there.
    fn stage(&self, file: &File, path: &Path, meta: &Meta) -> io::Result<tempfile::TempDir> {
        let folder = self.0.dir.scratch_folder("object-")?;
        fs::hard_link(path, folder.path().join(DATA))?;
        file.sync_all()?;
        let mut description = File::create_new(folder.path().join(META))?;
        description.write_all(&serde_json::to_vec_pretty(meta)?)?;
        description.sync_all()?;
        self.0.steps.sync(folder.path())?;
        Ok(folder)
    }

    /// Renames the folder into place and enters it in the index, as one.
    fn commit(
        &self,
        name: &str,
        staged: tempfile::TempDir,
        meta: &Arc<Meta>,
        stamp: Stamp,
    ) -> io::Result<Arc<Pin>> {
        let target = self.folder(name);
        let shelf = target.parent().unwrap_or_else(|| self.0.dir.objects());
        let steps = &self.0.steps;
        let _moves = self.moves();
        if !shelf.exists() {
            steps.make_folder(shelf)?;
            steps.sync(self.0.dir.objects())?;
        }
        // A new result for an old name takes its place: both are right, or the old one is damaged.
        if target.exists() {
            self.move_away(name)?;
        }
        let placed = steps.rename(staged.path(), &target).and_then(|()| {
            // Gone from there; nothing is left to delete.
            let _moved = staged.keep();
            steps.sync(shelf)
        });
        if let Err(error) = placed {
            // What is not safe there is not there at all: neither this one nor the old one.
            self.index().remove(name);
            drop(self.take_away(name));
            return Err(error);
        }
        let mut index = self.index();
        index.insert(name, Arc::clone(meta), Some(stamp));
        index.pin(name);
        drop(index);
        Ok(Arc::new(Pin { cache: self.clone(), name: name.to_owned(), meta: Arc::clone(meta) }))
    }
}
