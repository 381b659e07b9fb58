//! Finds the process that holds the links shaped: this container's own, or the lab's.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use starling_netem::control::{Client, LAB_SOCKET, SOCKET};

/// Where `starling lab` keeps a folder for each lab of this user.
fn labs_folder() -> PathBuf {
    PathBuf::from(format!("/var/tmp/starling-lab-{}", rustix::process::getuid().as_raw()))
}

/// The socket that was named, or the only one that answers.
pub fn connect(socket: Option<PathBuf>) -> Result<Client, Box<dyn Error>> {
    if let Some(socket) = socket {
        return Ok(Client::connect(&socket)?);
    }
    let own = Client::connect(Path::new(SOCKET));
    if own.is_ok() {
        return Ok(own?);
    }
    let mut labs: Vec<(PathBuf, Client)> = lab_sockets()
        .into_iter()
        .filter_map(|socket| Client::connect(&socket).ok().map(|client| (socket, client)))
        .collect();
    match (labs.pop(), labs.len()) {
        (Some((_, client)), 0) => Ok(client),
        (Some((last, _)), _) => {
            let mut sockets: Vec<String> =
                labs.iter().map(|(socket, _)| socket.display().to_string()).collect();
            sockets.push(last.display().to_string());
            Err(format!("several labs are running: choose one with --socket {}", sockets.join(", or "))
                .into())
        }
        (None, _) => Ok(own?),
    }
}

fn lab_sockets() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(labs_folder()) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path().join(LAB_SOCKET)).filter(|socket| socket.exists()).collect()
}
