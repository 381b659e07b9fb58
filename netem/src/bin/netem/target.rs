//! Finds the process that holds the links shaped: this container's own, or the lab's.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use starling_netem::control::{Client, LAB_SOCKET, LABS_MARK, SOCKET, labs_folder};

/// Which lab, if not the only one of this user.
#[derive(clap::Args)]
pub struct Lab {
    /// Where labs keep their files, as `starling lab --dir` was told [default: /var/tmp/starling-lab-UID]
    #[arg(long, global = true, env = "STARLING_LAB_DIR", value_name = "DIR")]
    lab_dir: Option<PathBuf>,
    /// Which lab, where several run
    #[arg(long, global = true, env = "STARLING_LAB", value_name = "ID")]
    lab: Option<String>,
}

/// The socket that was named, or the only one that answers: this container's, then the labs'. A lab that was asked for is the
/// only one that counts. Makes nothing anywhere.
pub fn connect(socket: Option<PathBuf>, lab: &Lab) -> Result<Client, Box<dyn Error>> {
    if let Some(socket) = socket {
        return Ok(Client::connect(&socket)?);
    }
    let asked_for = lab.lab_dir.is_some() || lab.lab.is_some();
    let own = Client::connect(Path::new(SOCKET));
    if own.is_ok() && !asked_for {
        return Ok(own?);
    }
    let folder = lab.lab_dir.clone().unwrap_or_else(labs_folder);
    let mut labs: Vec<(PathBuf, Client)> = lab_sockets(&folder, lab)?
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
        (None, _) if asked_for => Err(format!(
            "no lab whose links can be ordered about runs in {}{}: start one with `starling lab --dir {0}`",
            folder.display(),
            lab.lab.as_ref().map_or_else(String::new, |id| format!(" by the id {id}")),
        )
        .into()),
        (None, _) => Ok(own?),
    }
}

fn lab_sockets(folder: &Path, lab: &Lab) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let is_labs = fs::symlink_metadata(folder.join(LABS_MARK)).is_ok_and(|mark| mark.is_file());
    if !is_labs && lab.lab_dir.is_some() && folder.exists() {
        return Err(format!(
            "{} is no folder of labs (it has no {LABS_MARK}): give the folder that `starling lab --dir` was given",
            folder.display()
        )
        .into());
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) if is_labs => entries,
        _ => return Ok(Vec::new()),
    };
    let wanted = |entry: &fs::DirEntry| lab.lab.as_ref().is_none_or(|id| entry.file_name() == id.as_str());
    let sockets = entries.flatten().filter(wanted).map(|entry| entry.path().join(LAB_SOCKET));
    Ok(sockets.filter(|socket| socket.exists()).collect())
}
