//! The lab's folder: sockets, logs, the nodes' data. The only thing of a lab that a kill can leave behind, and what
//! the next lab removes.
//!
//! ```text
//! BASE/starling-labs-folder     the mark of a folder of labs; locked while labs are made and swept
//! BASE/ID/starling-lab-folder   the mark of one lab; locked as long as the launcher lives
//! BASE/ID/supervisor            locked as long as the supervisor lives
//! BASE/ID/ctl.sock              where `starling lab ctl` asks
//! BASE/ID/netem.sock            where the `netem` command orders faults
//! BASE/ID/logs/                 a file a node
//! BASE/ID/data/                 a folder a node
//! BASE/ID/key/                  the key that the nodes share, if the lab made one
//! BASE/ID/ns/                   network namespaces; empty but in the supervisor's own mount namespace
//! ```
//!
//! A lab deletes nothing that does not bear a lab's mark, and of what does only the names above. It works in no folder that
//! holds anything else.

mod base;
mod lock;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_netem::control::LAB_SOCKET;

use self::base::{Base, Found};
use super::{LabError, cgroup};

/// A supervisor whose launcher was killed kills its nodes and is gone in milliseconds.
const DYING_MAX: Duration = Duration::from_secs(10);
/// The mark of one lab's folder: a file of this name, whatever it says. The launcher's lock as well.
const MARK: &str = "starling-lab-folder";
const MARK_TEXT: &str = "The folder of one `starling lab`: all that the lab made in it is deleted when it ends, or by \
                         the next lab if this one was killed.\n";
const SUPERVISOR: &str = "supervisor";
const CONTROL: &str = "ctl.sock";
const LOGS: &str = "logs";
const DATA: &str = "data";
const NAMESPACES: &str = "ns";
const KEY: &str = "key";
/// All that a lab makes in its folder, but for the mark, which goes last.
const PARTS: [&str; 7] = [DATA, LOGS, NAMESPACES, KEY, CONTROL, LAB_SOCKET, SUPERVISOR];
/// Ids that are tried. The first is this process's own; another one may be in use by a lab of another PID namespace.
const IDS_TRIED: u32 = 64;

/// One lab's folder, held by one of its two locks.
#[derive(Debug)]
pub(super) struct Folder {
    id: String,
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Removes what dead labs left under `base`, then makes a new lab's folder. The launcher's part. Nothing is made in, and
    /// nothing removed from, a folder that holds anything else than labs.
    pub(super) async fn create(base: &Path) -> Result<Self, LabError> {
        let base = Base::claim(base).await?;
        for (id, found) in base.labs()? {
            match found {
                Found::Lab => sweep(&base.path().join(&id), &id).await?,
                // Of a lab that was killed before it had marked it. Empty, or this fails.
                Found::Empty => remove_empty(&base.path().join(&id))?,
            }
        }
        let (id, path) = make_folder(base.path())?;
        let mark = path.join(MARK);
        let mut file = lock::create(&mark)?;
        file.write_all(MARK_TEXT.as_bytes()).map_err(LabError::file("write", &mark))?;
        for part in [LOGS, DATA, NAMESPACES, KEY] {
            let part = path.join(part);
            fs::DirBuilder::new().mode(0o700).create(&part).map_err(LabError::file("create", &part))?;
        }
        lock::create(&path.join(SUPERVISOR))?;
        // Whoever looks which labs are running holds the lock for a moment.
        let lock = lock::within(&mark, DYING_MAX).await?.ok_or_else(|| held(&mark))?;
        Ok(Self { id, path, _lock: lock })
    }

    /// Opens the folder that the launcher made. The supervisor's part.
    pub(super) fn join(base: &Path, id: &str) -> Result<Self, LabError> {
        let path = base.join(id);
        if !base::is_id(id) || !is_marked(&path) {
            return Err(LabError::NotLabs { base: base.to_owned(), stranger: path });
        }
        let supervisor = path.join(SUPERVISOR);
        let lock = lock::attempt(&supervisor)?.ok_or_else(|| held(&supervisor))?;
        Ok(Self { id: id.to_owned(), path, _lock: lock })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// All that is the lab's.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The nodes' folders, each of which is its user's.
    pub(super) fn all_data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    pub(super) fn control_socket(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    pub(super) fn netem_socket(&self) -> PathBuf {
        self.path.join(LAB_SOCKET)
    }

    pub(super) fn namespaces(&self) -> PathBuf {
        self.path.join(NAMESPACES)
    }

    /// Where a node keeps its uploads and results; made by the node, or for it where it has a user of its own.
    pub(super) fn data(&self, node: &str) -> PathBuf {
        self.all_data().join(node)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// The key that the nodes share; made by the supervisor.
    pub(super) fn key_file(&self) -> PathBuf {
        self.path.join(KEY).join("cluster.key")
    }

    /// Removes all that the lab made. The other process of the lab may be doing the same.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        remove(&self.path)
    }
}

/// The control socket of the lab with this id, or of the only one. Changes nothing.
pub fn find(base: &Path, id: Option<&str>) -> Result<PathBuf, LabError> {
    let mut labs = running_labs(base)?;
    let ids = labs.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = id {
        labs.retain(|(id, _)| id == wanted);
    }
    match (labs.len(), id) {
        (1, _) => Ok(labs.remove(0).1),
        (0, None) => Err(LabError::WhichLab("no lab is running; start one with `starling lab`".to_owned())),
        (0, Some(id)) if ids.is_empty() => {
            Err(LabError::WhichLab(format!("no lab {id:?} is running; there is none")))
        }
        (0, Some(id)) => Err(LabError::WhichLab(format!("no lab {id:?} is running; there is: {ids}"))),
        _ => Err(LabError::WhichLab(format!("several labs are running; choose one with --lab: {ids}"))),
    }
}

/// The control sockets of the labs under `base` that are running, by id.
fn running_labs(base: &Path) -> Result<Vec<(String, PathBuf)>, LabError> {
    let mut labs = Vec::new();
    let Some(base) = Base::look(base)? else { return Ok(labs) };
    for (id, found) in base.labs()? {
        let folder = base.path().join(&id);
        // A lock that can be had is a lab that has died.
        if found == Found::Lab && lock::attempt(&folder.join(MARK)).is_ok_and(|lock| lock.is_none()) {
            labs.push((id, folder.join(CONTROL)));
        }
    }
    Ok(labs)
}

/// Whether a lab made this folder: a folder itself, with a mark that is a file itself. No link counts.
fn is_marked(folder: &Path) -> bool {
    base::is_folder(folder) && base::is_file(&folder.join(MARK))
}

fn make_folder(base: &Path) -> Result<(String, PathBuf), LabError> {
    let own = std::process::id();
    let mut last = None;
    for number in (0..IDS_TRIED).map(|tried| own.wrapping_add(tried)) {
        let id = format!("{number:x}");
        let path = base.join(&id);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok((id, path)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => last = Some((path, source)),
            Err(source) => return Err(LabError::file("create", path)(source)),
        }
    }
    let (path, source) = last.unwrap_or_else(|| (base.to_owned(), io::ErrorKind::AlreadyExists.into()));
    Err(LabError::file("create", path)(source))
}

/// Removes a lab's folder if its launcher is dead, when its supervisor has followed.
async fn sweep(folder: &Path, id: &str) -> Result<(), LabError> {
    let _launcher = match lock::attempt(&folder.join(MARK)) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(()),
        // It went by itself.
        Err(_) if !is_marked(folder) => return Ok(()),
        Err(error) => return Err(error),
    };
    let supervisor = folder.join(SUPERVISOR);
    // The launcher makes it before the supervisor starts: without it there is no supervisor.
    let _supervisor = if base::is_file(&supervisor) {
        let lock = lock::within(&supervisor, DYING_MAX).await?;
        Some(lock.ok_or_else(|| LabError::StillStopping(folder.to_owned()))?)
    } else {
        None
    };
    tracing::info!(lab = id, "removing what a killed lab left");
    cgroup::sweep(id);
    remove(folder)
}

/// Removes what a lab made, by name; then its mark and the folder, if nothing else is in it.
fn remove(folder: &Path) -> Result<(), LabError> {
    if !is_marked(folder) {
        return remove_empty(folder);
    }
    for part in PARTS {
        remove_part(&folder.join(part))?;
    }
    let strangers = strangers(folder)?;
    if let Some(stranger) = strangers.first() {
        let (stranger, count) = (stranger.display(), strangers.len());
        tracing::warn!(%stranger, count, "not made by the lab: it is left where it is");
        return Ok(());
    }
    remove_part(&folder.join(MARK))?;
    remove_empty(folder)
}

/// What is in a lab's folder besides the mark.
fn strangers(folder: &Path) -> Result<Vec<PathBuf>, LabError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(LabError::file("read", folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LabError::file("read", folder))?;
        if entry.file_name() != MARK {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A link goes itself, not what it points to.
fn remove_part(path: &Path) -> Result<(), LabError> {
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    or_gone(removed).map_err(LabError::file("remove", path))
}

fn remove_empty(folder: &Path) -> Result<(), LabError> {
    or_gone(fs::remove_dir(folder)).map_err(LabError::file("remove", folder))
}

fn or_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn held(lock: &Path) -> LabError {
    let source = io::Error::new(io::ErrorKind::WouldBlock, "another process holds it");
    LabError::file("lock", lock)(source)
}

#[cfg(test)]
mod tests;
