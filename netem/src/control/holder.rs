//! A [`Shaping`] that is held and takes orders on a socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, eventfd};

use super::server::Server;
use super::{Reply, Request, State};
use crate::{Backend, End, ShapeError, Shaping};

/// Holds links shaped and takes orders. Dropping it ends all faults and restores every device.
pub struct Holder {
    shared: Arc<Shared>,
    socket: PathBuf,
    server: Option<JoinHandle<()>>,
}

pub(super) struct Shared {
    /// `None` once the holder ends.
    shaping: Mutex<Option<Shaping>>,
    /// Wakes the server: faults have changed, or it is to stop.
    pub bell: OwnedFd,
    /// Called when someone orders [`Request::Clear`]; without it nobody may.
    pub on_clear: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Option<Shaping>> {
        self.shaping.lock()
    }
}

impl Holder {
    /// Takes orders on `socket`, which `mode` says who may use. `on_clear` is called when someone orders to restore
    /// everything: its process should then end. Without it that order is refused.
    pub fn start(
        shaping: Shaping,
        socket: &Path,
        mode: u32,
        on_clear: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> io::Result<Self> {
        let listener = listen(socket, mode)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { shaping: Mutex::new(Some(shaping)), bell, on_clear });
        let server = Server::new(listener, Arc::clone(&shared));
        let thread =
            std::thread::Builder::new().name("netem-control".to_owned()).spawn(move || server.run())?;
        Ok(Self { shared, socket: socket.to_owned(), server: Some(thread) })
    }

    /// The backend in use.
    pub fn backend(&self) -> Option<Backend> {
        self.shared.lock().as_ref().map(Shaping::backend)
    }

    /// How things are.
    pub fn state(&self) -> Option<State> {
        self.shared.lock().as_ref().map(Shaping::state)
    }

    /// Shapes one more node's end.
    pub fn add(&self, end: End) -> Result<(), ShapeError> {
        self.shared.lock().as_mut().map_or(Ok(()), |shaping| shaping.add(end))
    }

    /// Restores one node's device.
    pub fn remove(&self, node: &str) {
        if let Some(shaping) = self.shared.lock().as_mut() {
            shaping.remove(node);
        }
    }

    /// The same as an order on the socket, without a lease.
    pub fn ask(&self, request: &Request) -> Reply {
        let reply = super::server::answer(&self.shared, request);
        self.ring();
        reply
    }

    /// Where orders are taken.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn ring(&self) {
        // A full counter rings as well.
        rustix::io::write(&self.shared.bell, &1u64.to_ne_bytes()).ok();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.shared.lock().take());
        self.ring();
        if let Some(server) = self.server.take()
            && server.join().is_err()
        {
            tracing::error!("the control thread has panicked");
        }
        if let Err(error) = remove_socket(&self.socket) {
            tracing::debug!(socket = %self.socket.display(), %error, "the control socket could not be removed");
        }
    }
}

/// A socket that nobody answers is of a run that was killed, and is replaced. Anything else by that name is an error.
fn listen(socket: &Path, mode: u32) -> io::Result<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        let message = format!("{}: another netem holds links shaped here", socket.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    }
    match remove_socket(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, PermissionsExt::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Whatever else has that name is not ours to remove.
fn remove_socket(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.file_type().is_socket() {
        let message = format!("{}: it is no socket; give another name with --socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_a_killed_run_is_replaced_and_anything_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let held = listen(&socket, 0o600).unwrap();
        assert_eq!(listen(&socket, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);

        let thesis = folder.path().join("thesis.tex");
        std::fs::write(&thesis, "x").unwrap();
        std::os::unix::fs::symlink(&socket, folder.path().join("link")).unwrap();
        for name in ["thesis.tex", "link"] {
            let error = listen(&folder.path().join(name), 0o600).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}: {error}");
        }
        assert_eq!(std::fs::read(&thesis).unwrap(), b"x");
        assert!(listen(&folder.path().join("none/control.sock"), 0o600).is_err());
        assert!(!folder.path().join("none").exists());
    }
}
