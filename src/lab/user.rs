//! Whose the nodes' processes are. What root starts must not run as root for that: such nodes get a user of their own, which owns
//! nothing but their data, and no capability. What needs root (namespaces, links, published ports) stays with the supervisor.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::command::{self, words};
use super::{Isolation, LabError};

/// The numbers that systemd gives to services without a user of their own (its `DynamicUser=`): no account has one of them.
const UIDS_FIRST: u32 = 61_184;
const UIDS: u32 = 65_520 - UIDS_FIRST;
/// The descriptor that a program is started by where no path leads this user to it; 3 is the listener.
const PROGRAM: &str = "/proc/self/fd/4";
/// May be passed through, not listed.
const PASSABLE: u32 = 0o011;

/// The user and the group of all nodes of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeUser {
    uid: u32,
    gid: u32,
}

/// How a node's program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// What comes before its arguments.
    pub(super) argv: Vec<String>,
    /// To be opened as descriptor 4 before rights are given up.
    pub(super) opened: Option<PathBuf>,
}

impl NodeUser {
    /// Settles on one. None: the nodes run as whoever runs the supervisor. `base` and `folder` are the lab's.
    pub(super) async fn choose(
        wanted: Option<&str>,
        isolation: Isolation,
        base: &Path,
        folder: &Path,
        id: &str,
    ) -> Result<Option<Self>, LabError> {
        let refuse = |why: String| LabError::User { user: wanted.unwrap_or("auto").to_owned(), why };
        if !rustix::process::geteuid().is_root() || isolation == Isolation::UserNamespaces {
            let why =
                "only a lab that root starts, outside of user namespaces, can give its nodes another user";
            return wanted.map_or(Ok(None), |_| Err(refuse(why.to_owned())));
        }
        let user = match wanted {
            Some("root" | "0") => return Ok(None),
            Some(name) => Self::named(name).await.map_err(|error| refuse(error.to_string()))?,
            None => Self::of_lab(id),
        };
        let usable = match user.prepare(base, folder) {
            Ok(()) => user.try_out().await,
            Err(error) => Err(error.to_string()),
        };
        match usable {
            Ok(()) => Ok(Some(user)),
            Err(why) if wanted.is_some() => Err(refuse(why)),
            Err(why) => {
                tracing::warn!(uid = user.uid, "THE NODES RUN AS ROOT: {why}");
                Ok(None)
            }
        }
    }

    /// One for this lab: labs that run side by side differ in it, as far as the numbers go.
    fn of_lab(id: &str) -> Self {
        let number = u32::from_str_radix(id, 16).unwrap_or_default();
        let uid = UIDS_FIRST + number % UIDS;
        Self { uid, gid: uid }
    }

    async fn named(name: &str) -> Result<Self, LabError> {
        if let Ok(uid) = name.parse() {
            return Ok(Self { uid, gid: uid });
        }
        let ask = async |what: &str| {
            let said = command::run(&words(&["id", what, "--", name]), "").await?;
            said.trim().parse().map_err(|_| LabError::User { user: name.to_owned(), why: said.clone() })
        };
        Ok(Self { uid: ask("-u").await?, gid: ask("-g").await? })
    }

    /// Lets it through to the nodes' data and to nothing else: what lies beside is its owner's alone.
    fn prepare(self, base: &Path, folder: &Path) -> io::Result<()> {
        for path in [base, folder] {
            let mode = fs::metadata(path)?.mode();
            fs::set_permissions(path, fs::Permissions::from_mode((mode | PASSABLE) & 0o7777))?;
        }
        match self.closed(folder)? {
            None => Ok(()),
            Some(path) => {
                let why = format!(
                    "{} is closed to other users: give another folder with --dir, or open it (chmod o+x)",
                    path.display()
                );
                Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
            }
        }
    }

    /// Whether this machine lets a process become it.
    async fn try_out(self) -> Result<(), String> {
        let mut argv = self.drop_rights();
        argv.push("true".to_owned());
        command::run(&argv, "").await.map(drop).map_err(|error| error.to_string())
    }

    /// The first folder on the way to this path, it itself among them, that this user may not pass.
    fn closed(self, path: &Path) -> io::Result<Option<PathBuf>> {
        let path = path.canonicalize()?;
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        for place in way {
            if !self.may_execute(&fs::metadata(place)?) {
                return Ok(Some(place.to_owned()));
            }
        }
        Ok(None)
    }

    fn may_execute(self, meta: &fs::Metadata) -> bool {
        let bit = if meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        meta.mode() & bit != 0
    }

    /// Runs what follows as this user, without a capability and with no way to one.
    fn drop_rights(self) -> Vec<String> {
        let mut argv = vec![setpriv()];
        argv.extend(words(&["--clear-groups", "--no-new-privs"]));
        argv.extend([format!("--reuid={}", self.uid), format!("--regid={}", self.gid)]);
        argv.extend(words(&["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"]));
        argv
    }

    /// How it starts a program, also one in a folder that is closed to it.
    pub(super) fn program(self, binary: &Path) -> Program {
        let mut argv = self.drop_rights();
        let opened = if matches!(self.closed(binary), Ok(None)) {
            argv.push(binary.display().to_string());
            None
        } else {
            argv.push(PROGRAM.to_owned());
            Some(binary.to_owned())
        };
        Program { argv, opened }
    }

    /// Makes a folder that is its own.
    pub(super) fn make_folder(self, path: &Path) -> Result<(), LabError> {
        match fs::create_dir(path) {
            // A node that is started again has it.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(LabError::file("create", path)(error));
            }
            _ => {}
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(LabError::file("close", path))?;
        self.own(path)
    }

    /// Makes a file or a folder its own.
    pub(super) fn own(self, path: &Path) -> Result<(), LabError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(LabError::file("give to the nodes' user", path))
    }

    /// Its number.
    pub(super) fn uid(self) -> u32 {
        self.uid
    }
}

/// Where the tool is. A shell may have one of that name of its own that knows less (busybox).
fn setpriv() -> String {
    let name = "setpriv";
    let path = command::search_path();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: NodeUser = NodeUser { uid: 61_200, gid: 61_200 };

    #[test]
    fn each_lab_has_a_user_that_no_account_has() {
        let users = ["1", "2", "ffffffff", "10ef"].map(NodeUser::of_lab);
        assert!(users.iter().all(|user| (61_184..=65_519).contains(&user.uid) && user.gid == user.uid));
        assert_ne!(users[0], users[1]);
    }

    #[test]
    fn the_way_to_a_folder_is_open_or_the_first_that_is_closed_is_named() {
        let folder =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&outer, 0o711);
        set(&inner, 0o755);
        assert_eq!(USER.closed(&inner).unwrap(), None);
        set(&outer, 0o770);
        assert_eq!(USER.closed(&inner).unwrap(), Some(outer.canonicalize().unwrap()));
        let program = USER.program(&inner);
        assert_eq!((program.argv.last().unwrap().as_str(), program.opened), (PROGRAM, Some(inner)));
    }
}
