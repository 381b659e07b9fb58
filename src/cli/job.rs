//! `starling job`: uploads whose answer is fetched later.

use std::process::ExitCode;
use std::time::Duration;

use starling::api::{JobJson, JobState, NoticeState};
use starling::client::{Client, Endpoint, Jobs, job_progress, job_table};
use starling::jobs::JobId;
use starling::printable;

use super::out;

/// How often `watch` asks.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// List, show, watch, cancel and retry jobs: uploads whose answer is fetched later
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List jobs, the newest first: your own, or everybody's when you ask on the node's own machine
    List {
        /// Only these: queued, running, done, failed or cancelled
        #[arg(long, value_name = "STATE")]
        state: Option<JobState>,

        /// Only those whose message to a webhook is pending, delivered or dead
        #[arg(long, value_name = "STATE")]
        webhook: Option<NoticeState>,

        /// Older than this job alone
        #[arg(long, value_name = "ID")]
        after: Option<JobId>,

        /// So many at the most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,

        #[command(flatten)]
        node: Asked,
    },
    /// Show a job
    Show {
        /// Its name, as it came with the answer 202
        id: JobId,

        #[command(flatten)]
        node: Asked,
    },
    /// Follow a job to its end; the exit status is 0 if it has its results
    Watch {
        /// Its name, as it came with the answer 202
        id: JobId,

        #[command(flatten)]
        node: Asked,
    },
    /// Cancel a job, or forget one that has come to its end
    Cancel {
        /// Its name, as it came with the answer 202
        id: JobId,

        #[command(flatten)]
        node: Asked,
    },
    /// Do a job again that failed or was cancelled, as a new job: its name is printed first. Within an hour of its end its video need not
    /// be sent again
    Retry {
        /// Its name, as it came with the answer 202
        id: JobId,

        /// Time that it may take, once begun; as much as before without it
        #[arg(long, value_name = "TIME", value_parser = super::time)]
        deadline: Option<Duration>,

        #[command(flatten)]
        node: Asked,
    },
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// The node to ask; any will do: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    node: Endpoint,

    /// Print the node's own JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: super::reach::Reach,
}

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List { state, webhook, after, limit, node } => {
            let client = node.reach.client()?;
            let page = Jobs::of(&client, &node.node).list((state, webhook), after.as_ref(), limit).await?;
            if node.json {
                out::json(&page)?;
            } else {
                out::lines(&job_table(&page.jobs))?;
                if let Some(next) = &page.next {
                    out::complain(format_args!("there are more: --after {next}"));
                }
            }
            for name in &page.missing {
                out::complain(format_args!("{name} does not answer: jobs that it alone keeps are missing"));
            }
        }
        Command::Show { id, node } => {
            print(&Jobs::of(&node.reach.client()?, &node.node).show(&id).await?, &node)?;
        }
        Command::Cancel { id, node } => {
            cancel(&node.reach.client()?, &id, &node).await?;
        }
        Command::Retry { id, deadline, node } => {
            let job = Jobs::of(&node.reach.client()?, &node.node).retry(&id, deadline).await?;
            if node.json {
                out::json(&job)?;
            } else {
                out::lines(&format!("{} {}, does {id} again", job.id, job.state))?;
            }
        }
        Command::Watch { id, node } => return watch(&node.reach.client()?, &id, &node).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// A job that had come to its end is forgotten by that: its results are not there any more.
async fn cancel(client: &Client, id: &JobId, node: &Asked) -> anyhow::Result<()> {
    let jobs = Jobs::of(client, &node.node);
    let before = jobs.show(id).await?.state;
    let job = jobs.cancel(id).await?;
    if node.json {
        return Ok(out::json(&job)?);
    }
    let forgotten = before.is_over() || (job.state.is_over() && job.state != JobState::Cancelled);
    let what = if forgotten { format!("forgotten; it was {}", job.state) } else { job.state.to_string() };
    Ok(out::lines(&format!("{id} {what}"))?)
}

async fn watch(client: &Client, id: &JobId, node: &Asked) -> anyhow::Result<ExitCode> {
    let mut told = None;
    loop {
        let job = Jobs::of(client, &node.node).show(id).await?;
        let line = (job.state, job_progress(&job));
        if told.as_ref() != Some(&line) {
            print(&job, node)?;
            told = Some(line);
        }
        match job.state {
            JobState::Done => return Ok(ExitCode::SUCCESS),
            state if state.is_over() => return Ok(ExitCode::FAILURE),
            _ => tokio::time::sleep(WATCH_PERIOD).await,
        }
    }
}

fn print(job: &JobJson, node: &Asked) -> anyhow::Result<()> {
    if node.json {
        return Ok(out::json(job)?);
    }
    out::lines(format!("{} {} {}", job.id, job.state, job_progress(job)).trim_end())?;
    for output in &job.outputs {
        out::lines(&format!("  {} {} bytes {}", output.profile, output.bytes, node.node.uri(&output.href)))?;
        if let Some(damage) = &output.damage {
            out::lines(&format!("    damage in the input: {}", printable::line(damage)))?;
        }
    }
    Ok(())
}
