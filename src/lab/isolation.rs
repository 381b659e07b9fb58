//! What the kernel lets a lab do, found out by trying it.

use std::fmt;

use super::LabError;
use super::command::{self, words};

/// How the nodes are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// The best that can be had: namespaces, user-namespaces, loopback.
    Auto,
    /// A network namespace each; needs root.
    Namespaces,
    /// The same inside a user namespace; needs no root.
    UserNamespaces,
    /// An address of 127.0.0.0/8 each; links cannot be shaped.
    Loopback,
}

impl Isolation {
    /// As in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Namespaces => "namespaces",
            Self::UserNamespaces => "user-namespaces",
            Self::Loopback => "loopback",
        }
    }

    /// The command that a supervisor runs under; nothing for loopback.
    ///
    /// The shell is the PID namespace's init: it reaps what dead nodes leave, and its death ends them all.
    pub(super) fn wrapper(self) -> Vec<String> {
        let user: &[&str] = match self {
            Self::Auto | Self::Loopback => return Vec::new(),
            Self::Namespaces => &[],
            Self::UserNamespaces => &["--user", "--map-root-user"],
        };
        let mut argv = words(&["unshare"]);
        argv.extend(words(user));
        argv.extend(words(&[
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            INIT,
            "sh",
        ]));
        argv
    }
}

/// Runs its arguments as a child with the init's own stdin (a shell gives background jobs /dev/null), and reaps.
const INIT: &str = r#"exec 3<&0 </dev/null; "$@" <&3 3<&- & exec 3<&-; wait $!"#;

/// All that a lab needs of the kernel, in one go.
const PROBE: &str =
    "unshare --net sh -c 'ip link add probe0 type veth peer name probe1 && ip link add probe2 type bridge'";

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a lab gets, and why it gets no better.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) isolation: Isolation,
    pub(super) reason: Option<String>,
}

/// Settles on one; an isolation that was asked for by name is had or is an error.
pub(super) async fn choose(wanted: Isolation) -> Result<Choice, LabError> {
    match wanted {
        Isolation::Loopback => Ok(Choice { isolation: Isolation::Loopback, reason: None }),
        Isolation::Auto => {
            let best = if rustix::process::geteuid().is_root() {
                Isolation::Namespaces
            } else {
                Isolation::UserNamespaces
            };
            Ok(match probe(best).await {
                Ok(()) => Choice { isolation: best, reason: None },
                Err(reason) => Choice { isolation: Isolation::Loopback, reason: Some(reason) },
            })
        }
        named => match probe(named).await {
            Ok(()) => Ok(Choice { isolation: named, reason: None }),
            Err(reason) => Err(LabError::Isolation { isolation: named.name(), reason }),
        },
    }
}

async fn probe(isolation: Isolation) -> Result<(), String> {
    // By name first: a shell's "ip: not found" says less.
    command::run(&words(&["ip", "-Version"]), "").await.map_err(|error| error.to_string())?;
    let mut argv = isolation.wrapper();
    argv.extend(words(&["sh", "-c", PROBE]));
    command::run(&argv, "").await.map(drop).map_err(|error| match error {
        command::CommandError::Failed { reason, .. } => reason,
        other => other.to_string(),
    })
}
