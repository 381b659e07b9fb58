//! What jobs keep on disk: their videos until they are over, or longer (`spare.rs`), and their results until they are forgotten.
//!
//! In `jobs/`, beside the journal: `NUMBER.input`, and `NUMBER.0.output` for the first result and so on. Files are linked, not
//! copied: a video that was received and a result that is cached lie on the same disk already.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use tokio::task::spawn_blocking;

use super::cache::{Hold, digest_of};
use super::folder::layout;
use super::receive::head_of;
use super::{DataDir, Meta, Object, Received, Room, Scratch, Store, Upload, sniff};
use crate::content::ContentId;
use crate::jobs::JobNumber;
use crate::profile::ProfileName;

impl Store {
    /// Where the journal of jobs lies.
    pub fn journal_path(&self) -> PathBuf {
        self.folder.jobs().join(layout::JOURNAL)
    }

    /// Keeps a video for a job: safe on disk when this returns, whatever becomes of the upload.
    pub async fn keep_input(&self, job: JobNumber, upload: &Upload) -> io::Result<()> {
        let (dir, from) = (self.folder.clone(), upload.file.to_owned());
        blocking(move || {
            let to = input_path(&dir, job);
            dir.with_room(0, || keep(&dir, &from, &to)).inspect_err(|_| drop(fs::remove_file(&to)))
        })
        .await
    }

    /// The video of a job, as an upload of its own: what is kept stays, whatever becomes of that.
    pub async fn kept_input(
        &self,
        job: JobNumber,
        content: ContentId,
        room: Option<Room>,
    ) -> io::Result<Upload> {
        let dir = self.folder.clone();
        blocking(move || {
            let file = linked(&dir, &input_path(&dir, job))?;
            let opened = File::open(&file)?;
            let bytes = opened.metadata()?.len();
            let head = head_of(&opened, bytes)?;
            let container =
                sniff(&head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Upload { content, bytes, file, container, head, room })
        })
        .await
    }

    /// Whether a video has the digest that it is to have; it is read through for that.
    pub async fn is_whole(&self, upload: &Upload) -> io::Result<bool> {
        let (file, content) = (File::open(&upload.file)?, upload.content);
        blocking(move || Ok(digest_of(&file)? == content)).await
    }

    /// The video of a job as bytes, for another node that keeps the job, too. Nothing is read of it here: whoever takes it checks its digest.
    pub async fn kept_video(
        &self,
        job: JobNumber,
        content: ContentId,
        profile: &ProfileName,
    ) -> io::Result<Object> {
        let (dir, profile) = (self.folder.clone(), profile.clone());
        blocking(move || {
            let path = input_path(&dir, job);
            let file = File::open(&path)?;
            let meta = Meta {
                content,
                profile,
                encoder: String::new(),
                bytes: file.metadata()?.len(),
                sha256: content,
                media_type: "application/octet-stream".to_owned(),
                extension: String::new(),
                damage: None,
            };
            Ok(Object::held_by(file, meta, Hold::Kept { path }))
        })
        .await
    }

    /// Keeps a result for a job that another node has made and sent.
    pub async fn keep_received_output(&self, job: JobNumber, at: usize, result: Received) -> io::Result<()> {
        let dir = self.folder.clone();
        blocking(move || {
            let to = output_path(&dir, job, at);
            dir.with_room(0, || keep(&dir, &result.file, &to))
        })
        .await
    }

    /// Keeps a result for a job, whatever becomes of it in the cache.
    pub async fn keep_output(&self, job: JobNumber, at: usize, result: &Object) -> io::Result<()> {
        let (dir, result, cache) = (self.folder.clone(), result.clone(), self.cache.clone());
        blocking(move || {
            let to = output_path(&dir, job, at);
            dir.with_room(0, || keep(&dir, &cache.path_of(&result), &to))
        })
        .await
    }

    /// A result that is kept for a job, read through and found to be what it was.
    pub async fn kept_output(&self, job: JobNumber, at: usize, meta: Meta) -> io::Result<Object> {
        let dir = self.folder.clone();
        blocking(move || {
            let path = output_path(&dir, job, at);
            let file = File::open(&path)?;
            super::cache::check(&file, &meta)?;
            Ok(Object::held_by(file, meta, Hold::Kept { path }))
        })
        .await
    }

    /// Deletes a job's video; one that is not there is none to delete.
    pub async fn drop_input(&self, job: JobNumber) -> io::Result<()> {
        let dir = self.folder.clone();
        self.spares.let_go(job);
        blocking(move || remove(input_path(&dir, job))).await
    }

    /// Deletes all that is kept of a job, which has so many results.
    pub async fn drop_kept(&self, job: JobNumber, outputs: usize) -> io::Result<()> {
        let dir = self.folder.clone();
        self.spares.let_go(job);
        blocking(move || {
            remove(input_path(&dir, job))?;
            (0..outputs).try_for_each(|at| remove(output_path(&dir, job, at)))
        })
        .await
    }

    /// The jobs whose videos are kept.
    pub async fn kept_inputs(&self) -> io::Result<Vec<JobNumber>> {
        let dir = self.folder.clone();
        blocking(move || {
            let listed = layout::list(dir.jobs())?.into_iter();
            let inputs = listed.filter(|(name, ..)| name.ends_with(layout::INPUT_SUFFIX));
            Ok(inputs.filter_map(|(name, ..)| layout::job_of(&name)).collect())
        })
        .await
    }

    /// Deletes what is kept of jobs that are not known: of such as were not accepted before the node ended, or are forgotten.
    pub async fn sweep_kept(
        &self,
        is_known: impl Fn(JobNumber) -> bool + Send + 'static,
    ) -> io::Result<usize> {
        let dir = self.folder.clone();
        blocking(move || {
            let mut swept = 0;
            for (name, path, meta) in layout::list(dir.jobs())? {
                match layout::job_of(&name) {
                    Some(job) if !is_known(job) => {
                        layout::remove(&path, &meta)?;
                        swept += 1;
                    }
                    _ => {}
                }
            }
            Ok(swept)
        })
        .await
    }
}

pub(super) fn input_path(dir: &DataDir, job: JobNumber) -> PathBuf {
    dir.jobs().join(format!("{job}{}", layout::INPUT_SUFFIX))
}

fn output_path(dir: &DataDir, job: JobNumber, at: usize) -> PathBuf {
    dir.jobs().join(format!("{job}.{at}{}", layout::OUTPUT_SUFFIX))
}

/// A link to a file as something in the making: the file stays, whatever becomes of that.
pub(super) fn linked(dir: &DataDir, from: &std::path::Path) -> io::Result<Scratch> {
    let (_, scratch) = dir.scratch_file("upload-")?;
    // A link needs a name that is free.
    let path = scratch.into_temp_path();
    fs::remove_file(&path)?;
    fs::hard_link(from, &path)?;
    Ok(Scratch::new(path))
}

/// Links a file into `jobs/`: safe on disk when this returns. Where there is one of that name, it is what another try has left, and is there
/// until this one is.
fn keep(dir: &DataDir, from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Two names of one file stay two when one is renamed to the other: the scratch file goes when it is dropped.
            fs::rename(&linked(dir, from)?, to)?;
        }
        done => done?,
    }
    // Side by side, they take one sync's time.
    std::thread::scope(|scope| {
        let folder = scope.spawn(|| File::open(dir.jobs())?.sync_all());
        File::open(to)?.sync_all()?;
        folder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(super) fn remove(path: PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
