//! System commands (`ip`, `nsenter`, `unshare`), with errors that tell what to do.

use std::ffi::OsString;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// None of these commands has anything to wait for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A system command that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error(
        "{program} is not installed: install the package {package} (Debian, Ubuntu: apt-get install {package})"
    )]
    Missing {
        /// What was to run.
        program: String,
        /// Where it is from.
        package: &'static str,
    },
    /// It could not be started, or its end not be seen.
    #[error("cannot run `{line}`: {source}")]
    Start {
        /// The command line.
        line: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said no.
    #[error("`{line}` failed: {reason}")]
    Failed {
        /// The command line.
        line: String,
        /// What it printed on stderr, or its status.
        reason: String,
    },
    /// It hung.
    #[error("`{line}` did not end within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// The command line.
        line: String,
    },
}

/// Runs a command to its end, with `input` on its stdin; its stdout.
pub(super) async fn run(argv: &[String], input: &str) -> Result<String, CommandError> {
    let output = output(argv, input).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let reason = if said.is_empty() { output.status.to_string() } else { said };
    Err(CommandError::Failed { line: argv.join(" "), reason })
}

/// As [`run`]; whatever the status says.
pub(super) async fn output(argv: &[String], input: &str) -> Result<Output, CommandError> {
    let start = |source: io::Error| match (source.kind(), argv.first()) {
        (io::ErrorKind::NotFound, Some(program)) => {
            CommandError::Missing { program: program.clone(), package: package(program) }
        }
        _ => CommandError::Start { line: argv.join(" "), source },
    };
    let (program, args) = argv.split_first().ok_or_else(|| start(io::ErrorKind::InvalidInput.into()))?;
    let mut child = Command::new(program)
        .args(args)
        .env("PATH", search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that ends without reading everything says why by its status.
            match stdin.write_all(input.as_bytes()).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    let both = async { tokio::try_join!(feed, child.wait_with_output()) };
    match tokio::time::timeout(TIMEOUT, both).await {
        Ok(Ok(((), output))) => Ok(output),
        Ok(Err(source)) => Err(start(source)),
        Err(_) => Err(CommandError::TimedOut { line: argv.join(" ") }),
    }
}

/// Where `tc`, `nft` and `ip` are is often missing from an ordinary user's PATH.
pub(super) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/sbin:/sbin");
    path
}

fn package(program: &str) -> &'static str {
    match program {
        "ip" | "tc" => "iproute2",
        "nsenter" | "unshare" => "util-linux",
        _ => "that has it",
    }
}

/// `["ip", "link"]` as owned words.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_command_names_its_package() {
        let error = output(&words(&["tc-that-is-nowhere"]), "").await.unwrap_err();
        assert!(matches!(error, CommandError::Missing { .. }), "{error}");
        assert_eq!(package("tc"), "iproute2");
    }

    #[tokio::test]
    async fn a_failure_carries_what_the_command_said() {
        let error = run(&words(&["sh", "-c", "echo no such device >&2; exit 3"]), "").await.unwrap_err();
        assert!(error.to_string().ends_with("failed: no such device"), "{error}");
        let error = run(&words(&["false"]), "").await.unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }

    #[tokio::test]
    async fn input_reaches_it_and_output_comes_back() {
        assert_eq!(run(&words(&["cat"]), "link set lo up\n").await.unwrap(), "link set lo up\n");
        // More than a pipe holds, to a command that reads nothing.
        run(&words(&["true"]), &"x".repeat(1 << 20)).await.unwrap();
    }
}
