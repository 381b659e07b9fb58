//! Uploads that come in parts, on disk: `NUMBER.part` is what has come, `NUMBER.plan` says what is to become of it and how much is there.
//!
//! Both are in `uploads/`. What a plan says is safe; a part without a plan is of an upload that was not promised to anybody.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use hyper::body::Body;

use super::folder::layout;
use super::kept::{blocking, linked, remove};
use super::receive::head_of;
use super::{AppendError, Checkpoint, DataDir, IngestError, Order, Part, Room, Store, Upload};
use crate::jobs::JobNumber;

impl Store {
    /// The plans of uploads that an earlier process has left, as they were written. What is without one is deleted.
    pub async fn plans(&self) -> io::Result<Vec<(JobNumber, Vec<u8>)>> {
        let dir = self.folder.clone();
        blocking(move || {
            let mut plans = Vec::new();
            let listed = layout::list(dir.uploads())?;
            for (name, path, _) in &listed {
                let Some(number) = layout::upload_of(name) else { continue };
                if *path == plan_path(&dir, number) {
                    plans.push((number, fs::read(path)?));
                } else if name.ends_with(layout::NEW_PLAN_SUFFIX) || !plan_path(&dir, number).exists() {
                    fs::remove_file(path)?;
                }
            }
            Ok(plans)
        })
        .await
    }

    /// Writes an upload's plan: safe on disk when this returns, in whole or not at all.
    pub async fn write_plan(&self, upload: JobNumber, plan: Vec<u8>) -> io::Result<()> {
        let dir = self.folder.clone();
        blocking(move || {
            let (new, path) = (named(&dir, upload, layout::NEW_PLAN_SUFFIX), plan_path(&dir, upload));
            let written = dir.with_room(plan.len() as u64, || {
                let mut file = File::create(&new)?;
                file.write_all(&plan)?;
                file.sync_all()
            });
            if let Err(error) = written {
                remove(new)?;
                return Err(error);
            }
            fs::rename(&new, &path)?;
            File::open(dir.uploads())?.sync_all()
        })
        .await
    }

    /// Appends a body to an upload. What came of it is safe when this returns, however it ended; in `safe` it is written down how much that is.
    pub async fn append<B>(
        &self,
        (upload, part): (JobNumber, &mut Part),
        body: B,
        (order, room): (Order<'_>, &mut Room),
        safe: &impl Checkpoint,
    ) -> Result<(), AppendError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let path = part_path(&self.folder, upload);
        part.append((&path, &self.folder), body, (order, room), safe).await
    }

    /// All of an upload, as one that came at once. What lies in `uploads/` stays until [`Self::drop_part`].
    pub async fn whole(
        &self,
        upload: JobNumber,
        part: &mut Part,
        room: Option<Room>,
    ) -> Result<Upload, IngestError> {
        if part.bytes() == 0 {
            return Err(IngestError::Empty);
        }
        let (dir, path) = (self.folder.clone(), part_path(&self.folder, upload));
        let (content, container) = part.finish(&path).await?;
        let bytes = part.bytes();
        let (file, head) = blocking(move || {
            let file = linked(&dir, &path)?;
            let head = head_of(&File::open(&file)?, bytes)?;
            Ok((file, head))
        })
        .await?;
        Ok(Upload { content, bytes, file, container, head, room })
    }

    /// Deletes what has come of an upload; its plan stays.
    pub async fn drop_part(&self, upload: JobNumber) -> io::Result<()> {
        let path = part_path(&self.folder, upload);
        blocking(move || remove(path)).await
    }

    /// Deletes all that there is of an upload.
    pub async fn drop_upload(&self, upload: JobNumber) -> io::Result<()> {
        let (plan, part) = (plan_path(&self.folder, upload), part_path(&self.folder, upload));
        blocking(move || {
            remove(plan)?;
            remove(part)
        })
        .await
    }
}

fn named(dir: &DataDir, upload: JobNumber, suffix: &str) -> PathBuf {
    dir.uploads().join(format!("{upload}{suffix}"))
}

fn plan_path(dir: &DataDir, upload: JobNumber) -> PathBuf {
    named(dir, upload, layout::PLAN_SUFFIX)
}

fn part_path(dir: &DataDir, upload: JobNumber) -> PathBuf {
    named(dir, upload, layout::PART_SUFFIX)
}
