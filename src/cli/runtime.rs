//! What the client commands run in.

use std::process::ExitCode;

use super::log;

/// Runs a command to its end.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    log::init_command();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
