//! `starling node pause|drain|resume|status`: whether running nodes take work.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use starling::api::{WorkJson, WorkMode};
use starling::client::{Client, ClientError, Endpoint, Members, work};
use starling::config::KeyFile;
use starling_overlay::Keyring;

use super::out;
use super::policy::Which;

/// How often `drain --wait` asks.
const WAIT_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Have a running node take no new work: what runs ends, jobs that wait there wait on
    Pause(Which),
    /// Have a running node take no new work and give the jobs that wait there to others: what runs ends
    Drain {
        /// Wait until nothing is left there; the node can be stopped then
        #[arg(long)]
        wait: bool,

        #[command(flatten)]
        which: Which,
    },
    /// Have a running node take work again
    Resume(Which),
    /// Show whether a running node takes work, and what it has to do
    Status(Which),
}

type Answer = (String, Result<WorkJson, ClientError>);

/// Runs it.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (which, mode, wait) = match command {
        Command::Pause(which) => (which, Some(WorkMode::Paused), false),
        Command::Drain { wait, which } => (which, Some(WorkMode::Draining), wait),
        Command::Resume(which) => (which, Some(WorkMode::Working), false),
        Command::Status(which) => (which, None, false),
    };
    let keys = which.key_file.clone().map(KeyFile::read).transpose()?.map(|file| file.keys);
    let client = which.reach.client()?;
    let endpoints = endpoints(&client, &which).await?;
    let mut answers = ask(&client, &endpoints, keys.as_ref(), mode).await;
    while wait && answers.iter().all(|(_, answer)| answer.is_ok()) && !all_idle(&answers) {
        tokio::time::sleep(WAIT_PERIOD).await;
        answers = ask(&client, &endpoints, keys.as_ref(), None).await;
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

/// The node, and with `--all` those that it knows to live.
async fn endpoints(client: &Client, which: &Which) -> anyhow::Result<Vec<(String, Endpoint)>> {
    let mut endpoints = vec![(which.node.to_string(), which.node.clone())];
    if which.all {
        let (_, members) = Members::fetch(client, &which.node).await?;
        // The node itself is the one to which there is no way.
        let others = members.members.into_iter();
        let others = others.filter(|member| member.state == "alive" && member.rtt_ms != Some(0.0));
        endpoints
            .extend(others.filter_map(|member| Some((member.name, member.http?.parse::<Endpoint>().ok()?))));
    }
    Ok(endpoints)
}

async fn ask(
    client: &Client,
    endpoints: &[(String, Endpoint)],
    keys: Option<&Keyring>,
    mode: Option<WorkMode>,
) -> Vec<Answer> {
    let asked = endpoints
        .iter()
        .map(|(name, endpoint)| async move { (name.clone(), work(client, endpoint, keys, mode).await) });
    join_all(asked).await
}
