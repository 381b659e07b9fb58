//! `starling node pause|drain|resume|status` and `starling drain`: whether running nodes take work.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use starling::api::{WorkJson, WorkMode};
use starling::client::{Client, ClientError, Target, work};
use starling::config::KeyFile;
use starling_overlay::Keyring;

use super::out;
use super::policy::{Which, name};

/// How often `drain --wait` asks.
const WAIT_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Have a running node take no new work: what runs ends, jobs that wait there wait on
    Pause(Which),
    /// Have a running node take no new work and give the jobs that wait there to others: what runs ends
    Drain(Drain),
    /// Have a running node take work again
    Resume(Which),
    /// Show whether a running node takes work, and what it has to do
    Status(Which),
}

/// What `starling drain` takes, and `starling node drain`, which is the same.
#[derive(Debug, clap::Args)]
pub struct Drain {
    /// Wait until nothing is left there; the node can be stopped then
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    which: Which,
}

type Answer = (String, Result<WorkJson, ClientError>);

/// Runs it.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (which, mode, wait) = match command {
        Command::Pause(which) => (which, Some(WorkMode::Paused), false),
        Command::Drain(Drain { wait, which }) => (which, Some(WorkMode::Draining), wait),
        Command::Resume(which) => (which, Some(WorkMode::Working), false),
        Command::Status(which) => (which, None, false),
    };
    let keys = which.key_file.clone().map(KeyFile::read).transpose()?.map(|file| file.keys);
    let client = which.reach.client()?;
    let targets = which.targets(&client).await?;
    let mut answers = ask(&client, &targets, keys.as_ref(), mode).await;
    while wait && answers.iter().all(|(_, answer)| answer.is_ok()) && !all_idle(&answers) {
        tokio::time::sleep(WAIT_PERIOD).await;
        answers = ask(&client, &targets, keys.as_ref(), None).await;
    }
    let mut failed = false;
    for (name, answer) in answers {
        match answer {
            Ok(work) if which.json => out::json_text(&serde_json::to_string(&work)?)?,
            Ok(work) => out::lines(&format!(
                "{}: {}; {} running, {} queued, {} jobs to be done",
                work.node, work.mode, work.running, work.queued, work.jobs
            ))?,
            Err(error) => {
                failed = true;
                out::complain(format_args!("starling: {name}: {error}"));
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn all_idle(answers: &[Answer]) -> bool {
    answers.iter().all(|(_, answer)| answer.as_ref().is_ok_and(WorkJson::is_idle))
}

async fn ask(
    client: &Client,
    targets: &[Target],
    keys: Option<&Keyring>,
    mode: Option<WorkMode>,
) -> Vec<Answer> {
    let asked =
        targets.iter().map(|target| async move { (name(target), work(client, target, keys, mode).await) });
    join_all(asked).await
}
