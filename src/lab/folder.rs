//! The lab's folder: sockets, logs, the nodes' data. The only thing of a lab that a kill can leave behind, and what
//! the next lab removes.
//!
//! ```text
//! BASE/lock          held while labs are made and swept
//! BASE/ID/launcher   locked as long as the launcher lives
//! BASE/ID/supervisor locked as long as the supervisor lives
//! BASE/ID/ctl.sock   where `starling lab ctl` asks
//! BASE/ID/netem.sock where the `netem` command orders faults
//! BASE/ID/logs/      a file a node
//! BASE/ID/data/      a folder a node
//! BASE/ID/ns/        network namespaces; empty but in the supervisor's own mount namespace
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::{LabError, cgroup};

/// A supervisor whose launcher was killed kills its nodes and is gone in milliseconds.
const DYING_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
const LAUNCHER: &str = "launcher";
const SUPERVISOR: &str = "supervisor";

/// One lab's folder, held by one of its two locks.
#[derive(Debug)]
pub(super) struct Folder {
    id: String,
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Removes what dead labs left under `base`, then makes a new lab's folder. The launcher's part.
    pub(super) async fn create(base: &Path) -> Result<Self, LabError> {
        private_folder(base)?;
        let gate = base.join("lock");
        let _gate = lock_within(&gate, DYING_MAX).await?.ok_or(LabError::StillStopping(gate))?;
        for id in ids(base)? {
            sweep(base, &id).await?;
        }
        let id = format!("{:x}", std::process::id());
        let path = base.join(&id);
        DirBuilder::new().mode(0o700).create(&path).map_err(LabError::file("create", &path))?;
        for part in ["logs", "data", "ns"] {
            let part = path.join(part);
            DirBuilder::new().mode(0o700).create(&part).map_err(LabError::file("create", &part))?;
        }
        Self::hold(base, id, LAUNCHER)
    }

    /// Opens the folder that the launcher made. The supervisor's part.
    pub(super) fn join(base: &Path, id: &str) -> Result<Self, LabError> {
        Self::hold(base, id.to_owned(), SUPERVISOR)
    }

    fn hold(base: &Path, id: String, who: &str) -> Result<Self, LabError> {
        let path = base.join(&id);
        let lock = path.join(who);
        let file = try_lock(&lock)?.ok_or_else(|| {
            LabError::file("lock", &lock)(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process holds it",
            ))
        })?;
        Ok(Self { id, path, _lock: file })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn control_socket(&self) -> PathBuf {
        control_socket(&self.path)
    }

    pub(super) fn netem_socket(&self) -> PathBuf {
        self.path.join(starling_netem::control::LAB_SOCKET)
    }

    pub(super) fn namespaces(&self) -> PathBuf {
        self.path.join("ns")
    }

    /// Where a node keeps its uploads and results; made by the node.
    pub(super) fn data(&self, node: &str) -> PathBuf {
        self.path.join("data").join(node)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Removes all of it. The other process of the lab may be doing the same.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        remove(&self.path)
    }
}

fn control_socket(folder: &Path) -> PathBuf {
    folder.join("ctl.sock")
}

/// The control sockets of the labs under `base` that are running, by id.
fn running_labs(base: &Path) -> Result<Vec<(String, PathBuf)>, LabError> {
    let mut labs = Vec::new();
    for id in ids(base)? {
        let folder = base.join(&id);
        // A lock that can be had is a lab that has died.
        if let Ok(None) = try_lock(&folder.join(LAUNCHER)) {
            labs.push((id, control_socket(&folder)));
        }
    }
    Ok(labs)
}

/// The control socket of the lab with this id, or of the only one.
pub fn find(base: &Path, id: Option<&str>) -> Result<PathBuf, LabError> {
    let mut labs = running_labs(base)?;
    let ids = labs.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = id {
        labs.retain(|(id, _)| id == wanted);
    }
    match (labs.len(), id) {
        (1, _) => Ok(labs.remove(0).1),
        (0, None) => Err(LabError::WhichLab("no lab is running; start one with `starling lab`".to_owned())),
        (0, Some(id)) => Err(LabError::WhichLab(format!("no lab {id:?} is running; there is: {ids}"))),
        _ => Err(LabError::WhichLab(format!("several labs are running; choose one with --lab: {ids}"))),
    }
}

fn ids(base: &Path) -> Result<Vec<String>, LabError> {
    let entries = match base.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(LabError::file("read", base))?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LabError::file("read", base))?;
        if entry.path().is_dir() {
            ids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ids.sort();
    Ok(ids)
}

/// Removes a lab's folder if its launcher is dead, when its supervisor has followed.
async fn sweep(base: &Path, id: &str) -> Result<(), LabError> {
    let folder = base.join(id);
    let Some(_launcher) = try_lock(&folder.join(LAUNCHER))? else { return Ok(()) };
    let supervisor = folder.join(SUPERVISOR);
    let Some(_supervisor) = lock_within(&supervisor, DYING_MAX).await? else {
        return Err(LabError::StillStopping(folder));
    };
    tracing::info!(lab = id, "removing what a killed lab left");
    cgroup::sweep(id);
    remove(&folder)
}

fn remove(folder: &Path) -> Result<(), LabError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(LabError::file("remove", folder)),
    }
}

/// Makes a folder that only this user can enter. Someone else's folder of that name (in a shared /var/tmp) is an
/// error: they could swap anything in it.
fn private_folder(path: &Path) -> Result<(), LabError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(LabError::file("create", path))?;
    let meta = path.symlink_metadata().map_err(LabError::file("read", path))?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "it is no folder of yours");
        return Err(LabError::File { doing: "use", path: path.to_owned(), source });
    }
    Ok(())
}

async fn lock_within(path: &Path, limit: Duration) -> Result<Option<File>, LabError> {
    let deadline = Instant::now() + limit;
    loop {
        match try_lock(path)? {
            None if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            other => return Ok(other),
        }
    }
}

/// None while another process holds it. The kernel lets go of the lock when the holder dies.
fn try_lock(path: &Path) -> Result<Option<File>, LabError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(LabError::file("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(LabError::file("lock", path)(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let base = parent.path().join("labs");
        (parent, base)
    }

    #[tokio::test]
    async fn what_a_dead_lab_left_is_swept_and_a_living_one_is_kept() {
        let (_parent, base) = base();
        let living = Folder::create(&base).await.unwrap();
        std::fs::create_dir_all(base.join("dead/data/node1")).unwrap();
        std::fs::write(base.join("dead/data/node1/file"), "x").unwrap();
        assert_eq!(running_labs(&base).unwrap(), [(living.id().to_owned(), living.control_socket())]);
        // A second lab of this process would have the same id; the sweep comes first either way.
        assert!(Folder::create(&base).await.is_err());
        assert!(living.path.join("logs").is_dir());
        assert!(!base.join("dead").exists());
    }

    #[tokio::test]
    async fn a_supervisor_on_its_way_out_is_waited_for() {
        let (_parent, base) = base();
        std::fs::create_dir_all(base.join("dying")).unwrap();
        let supervisor = Folder::join(&base, "dying").unwrap();
        let create = Folder::create(&base);
        let die = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(base.join("dying").exists(), "removed under a living supervisor");
            drop(supervisor);
        };
        let (created, ()) = tokio::join!(create, die);
        created.unwrap();
        assert!(!base.join("dying").exists());
    }

    #[test]
    fn a_folder_that_is_someone_elses_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("labs");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(matches!(private_folder(&link), Err(LabError::File { doing: "use", .. })));
    }
}
