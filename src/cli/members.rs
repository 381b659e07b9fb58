//! `starling members`: the membership as one node sees it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use starling::client::{Client, Endpoint, Members};

use super::out;

/// How often `--watch` asks.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Show the membership as one node sees it: zone, state, RTT, load, age of the load
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node to ask: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    node: Endpoint,

    /// Print the node's own JSON (the answer of GET /members), one line
    #[arg(long)]
    json: bool,

    /// Ask again every second until interrupted
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    reach: super::reach::Reach,
}

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.reach.client()?;
    if !args.watch {
        print(&ask(&client, &args).await?, &args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let redraw = std::io::stdout().is_terminal() && !args.json;
    let mut ticks = tokio::time::interval(WATCH_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            stop = &mut interrupted => return Ok(stop.map(|()| ExitCode::SUCCESS)?),
            _ = ticks.tick() => {}
        }
        // A node that is down for a while is part of what one watches for.
        match ask(&client, &args).await {
            Ok(text) => {
                told = None;
                if redraw { out::redraw(&text) } else { print(&text, &args) }?;
            }
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    out::complain(&error);
                    told = Some(error);
                }
            }
        }
    }
}

async fn ask(client: &Client, args: &Args) -> anyhow::Result<String> {
    let (raw, members) = Members::fetch(client, &args.node).await?;
    if args.json {
        // Parsed above, so it is one JSON value; it says what the node wrote.
        return Ok(String::from_utf8(raw.trim_ascii().to_vec())?);
    }
    let rest = if members.converged {
        members.converged_ms.map_or_else(|| "converged".to_owned(), |ms| format!("converged in {ms:.0} ms"))
    } else {
        "not converged yet".to_owned()
    };
    Ok(format!(
        "{}\n\n{} of {} alive, as {} sees it; {rest}",
        members.table(),
        members.alive(),
        members.members.len(),
        args.node
    ))
}

fn print(text: &str, args: &Args) -> std::io::Result<()> {
    if args.json { out::json_text(text) } else { out::lines(text) }
}
