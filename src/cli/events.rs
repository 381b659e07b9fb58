//! `starling events`: what happens, as one node tells it.

use std::process::ExitCode;
use std::time::Duration;

use starling::client::{ClientError, Endpoint, Event, Events, Wanted};
use starling::events::Kinds;

use super::out;

/// How long after a lost connection the node is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Show what happens: members that join, fail and come back, uploads, jobs, the cache
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node to ask: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    node: Endpoint,

    /// Go on with what happens from now on, until interrupted; a lost connection is made again, and nothing is told twice
    #[arg(long, short)]
    follow: bool,

    /// Leave out what happened before
    #[arg(long, requires = "follow")]
    new: bool,

    /// Only these: membership, job, work, cache, node; several with commas between them
    #[arg(long, value_name = "KIND,…", value_parser = kinds)]
    kind: Option<String>,

    /// End when this has happened: an event and what it is about, as in "failed node3", or an event alone
    #[arg(long, value_name = "EVENT", requires = "follow")]
    until: Option<String>,

    /// Give up after so long: exit status 1
    #[arg(long, value_name = "TIME", value_parser = super::time, requires = "follow")]
    timeout: Option<Duration>,

    /// Print each event as the node's own JSON, one a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: super::reach::Reach,
}

/// Checked here, and sent as it is written.
fn kinds(text: &str) -> Result<String, String> {
    text.parse::<Kinds>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Why a stream is over.
enum End {
    /// What was waited for has happened, or there is no more.
    Done,
    /// The node has ended it, or the connection is lost.
    Lost(String),
}

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let interrupted = tokio::signal::ctrl_c();
    let timeout = async {
        match args.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        shown = show(&args) => shown.map(|()| ExitCode::SUCCESS),
        stop = interrupted => Ok(stop.map(|()| ExitCode::SUCCESS)?),
        () = timeout => {
            let time = humantime::format_duration(args.timeout.unwrap_or_default()).to_string();
            let what = args.until.as_deref().unwrap_or("an end");
            out::complain(format_args!("starling events: {time} have passed without {what}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn show(args: &Args) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    let wanted = Wanted { kinds: args.kind.clone(), new_only: args.new, follow: args.follow };
    let (mut last, mut told): (Option<String>, Option<String>) = (None, None);
    // A node that can't be reached at first is a mistake of whoever asks; later it is what happens to nodes.
    let mut events = Some(Events::open(&client, &args.node, &wanted, None).await?);
    loop {
        let lost = match events.take() {
            Some(mut events) => {
                let end = take(args, &mut events, &mut told).await?;
                last = events.last_id().map(str::to_owned).or(last);
                match end {
                    End::Done => return Ok(()),
                    End::Lost(why) => why,
                }
            }
            None => match Events::open(&client, &args.node, &wanted, last.as_deref()).await {
                Ok(opened) => {
                    events = Some(opened);
                    continue;
                }
                // Asked wrongly, and not gone or too busy.
                Err(error @ ClientError::Refused { status: 400..=428, .. }) => return Err(error.into()),
                Err(error) => error.to_string(),
            },
        };
        if told.as_ref() != Some(&lost) {
            out::complain(format_args!("starling events: {lost}; trying again"));
            told = Some(lost);
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Shows events for as long as they come.
async fn take(args: &Args, events: &mut Events, told: &mut Option<String>) -> anyhow::Result<End> {
    loop {
        match events.next().await {
            Ok(Some((event, data))) => {
                *told = None;
                print(args, &event, &data)?;
                if args.until.as_deref().is_some_and(|until| event.is(until)) {
                    return Ok(End::Done);
                }
            }
            Ok(None) if !args.follow => return Ok(End::Done),
            Ok(None) => return Ok(End::Lost(format!("{} has ended the stream", args.node))),
            Err(error) if !args.follow => return Err(error.into()),
            Err(error) => return Ok(End::Lost(error.to_string())),
        }
    }
}

fn print(args: &Args, event: &Event, data: &str) -> std::io::Result<()> {
    if args.json { out::json_text(data) } else { out::lines(&starling::printable::line(&event.line())) }
}
