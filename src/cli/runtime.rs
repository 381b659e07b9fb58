//! What the client commands run in.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Runs a command to its end. Its logs go to stderr, without clock and colour codes that only a service needs;
/// `RUST_LOG` chooses what, `info` by default.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
