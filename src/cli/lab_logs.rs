//! `starling lab ctl logs`: the nodes' logs, together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::out;

/// How often it is looked for new lines.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// Longest piece that is read at once; a longer line is told in pieces.
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// Print the nodes' logs, each line with its node's name
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// These nodes alone
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,

    /// Go on with new lines, those of nodes that are added too, until interrupted or until the lab ends
    #[arg(short, long)]
    follow: bool,

    /// Only so many lines of each log that are there already [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

/// A log, and how far it was told.
struct Log {
    path: PathBuf,
    at: u64,
}

/// Prints them from this folder.
pub(super) async fn run(folder: &Path, args: &LogsArgs) -> anyhow::Result<()> {
    let mut logs = BTreeMap::new();
    if !find(folder, &args.nodes, &mut logs)? {
        bail!("there are no logs in {}", folder.display());
    }
    if let Some(missing) = args.nodes.iter().find(|name| !logs.contains_key(*name)) {
        bail!("there is no node {missing:?} in this lab: `starling lab ctl status` has their names");
    }
    for (name, log) in &mut logs {
        let lines = log.read()?;
        let skipped = args.lines.map_or(0, |count| lines.len().saturating_sub(count));
        tell(name, &lines[skipped..])?;
    }
    if !args.follow {
        return Ok(());
    }
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            stop = &mut interrupted => return Ok(stop?),
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        // The folder goes with the lab.
        if !find(folder, &args.nodes, &mut logs)? {
            return Ok(());
        }
        for (name, log) in &mut logs {
            tell(name, &log.read()?)?;
        }
    }
}

fn tell(name: &str, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| out::lines(&format!("{name} | {line}")))
}

/// Adds the logs that are there to those that are known. False: there is no such folder.
fn find(folder: &Path, names: &[String], logs: &mut BTreeMap<String, Log>) -> io::Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log"));
        let Some(name) = name.filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == name))
        else {
            continue;
        };
        let name = name.to_owned();
        logs.entry(name).or_insert(Log { path, at: 0 });
    }
    Ok(true)
}

impl Log {
    /// The lines that have come to be whole.
    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        // A log that is shorter than it was is another one.
        if file.metadata()?.len() < self.at {
            self.at = 0;
        }
        let mut lines = Vec::new();
        loop {
            file.seek(SeekFrom::Start(self.at))?;
            let mut piece = Vec::new();
            let read = (&mut file).take(PIECE_BYTES_MAX).read_to_end(&mut piece)? as u64;
            let whole = match piece.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None if read == PIECE_BYTES_MAX => piece.len(),
                None => return Ok(lines),
            };
            self.at += whole as u64;
            lines.extend(String::from_utf8_lossy(&piece[..whole]).lines().map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_told_once_and_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node1.log");
        std::fs::write(&path, "a\nb\nc").unwrap();
        std::fs::write(folder.path().join("key"), "").unwrap();
        let mut logs = BTreeMap::new();
        assert!(find(folder.path(), &[], &mut logs).unwrap());
        assert_eq!(logs.keys().collect::<Vec<_>>(), ["node1"]);
        let log = logs.get_mut("node1").unwrap();
        assert_eq!(log.read().unwrap(), ["a", "b"]);
        File::options().append(true).open(&path).unwrap().write_all(b"d\n").unwrap();
        assert_eq!(log.read().unwrap(), ["cd"]);
        assert!(log.read().unwrap().is_empty());
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(log.read().unwrap(), ["x"], "it began anew");
        std::fs::remove_file(&path).unwrap();
        assert!(log.read().unwrap().is_empty());
        assert!(!find(&folder.path().join("none"), &[], &mut logs).unwrap());
    }
}
