//! `starling load`: the load generator.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use starling::client::load::{self, Generator, Options, ReportUrl, Snapshot};
use starling::client::{Endpoint, Target, discover};

use super::out;

/// Exit status for options that can't be used.
const EXIT_USAGE: u8 = 2;
/// How often the line on the terminal is drawn anew.
const DRAW_PERIOD: Duration = Duration::from_millis(500);

/// Send many uploads at once, each to a random node, and report what came of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Videos to send, or folders of them; each upload takes one at random
    #[arg(required = true, value_name = "FILE|FOLDER")]
    files: Vec<PathBuf>,

    /// Nodes to send to; one that fails is avoided until its /health answers again
    #[arg(
        long,
        env = "STARLING_NODES",
        default_value = "http://127.0.0.1:5001",
        value_delimiter = ',',
        value_name = "URL,…"
    )]
    to: Vec<Endpoint>,

    /// Send to all live members that the first answering node of --to knows of: those of --to as given there, others
    /// at the addresses that they advertise, if these can be reached from here
    #[arg(long)]
    discover: bool,

    /// Uploads in flight at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000), value_name = "N")]
    parallel: u16,

    /// For how long to begin new uploads
    #[arg(long, default_value = "200s", value_parser = super::time, value_name = "TIME")]
    duration: Duration,

    /// Give an upload up after this long
    #[arg(long, default_value = "40s", value_parser = super::time, value_name = "TIME")]
    timeout: Duration,

    /// Time that nodes are told an upload may take [default: the timeout]
    #[arg(long, value_parser = super::time, value_name = "TIME")]
    deadline: Option<Duration>,

    /// What to transcode into (GET /profiles lists them), or several, as in 360p,poster [default: the node's, 360p]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Send in batches: all wait for the last one before the next N are sent
    #[arg(long)]
    batches: bool,

    /// Make every upload a content of its own, by some bytes at its end that players pass over (MP4 and QuickTime)
    #[arg(long)]
    unique: bool,

    /// Send a refused upload again to the same node when its Retry-After is over
    #[arg(long, conflicts_with = "batches")]
    retry: bool,

    /// Check each result against its digest; several profiles come in one tar, which has none
    #[arg(long)]
    verify: bool,

    /// Decides which upload takes which file and node [default: a random one, which the report tells]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Tell a monitor at this address every 5 s how the run goes, as the paper's client does
    #[arg(long, env = "STARLING_REPORT", value_name = "URL")]
    report: Option<ReportUrl>,

    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: super::reach::Reach,
}

/// Runs it: exit 1 if no upload at all came back.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let sources = match load::find(&args.files, args.unique) {
        Ok(sources) => sources,
        Err(error) => {
            out::complain(format_args!("starling load: {error}"));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    if args.verify && args.profile.as_deref().is_some_and(|profile| profile.contains(',')) {
        out::complain(
            "starling load: several profiles come in one tar, which has no digest: give one --profile, or leave --verify out",
        );
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    let client = args.reach.client()?;
    let nodes = if args.discover {
        discover(&client, &args.to).await?
    } else {
        args.to.into_iter().map(Target::from).collect()
    };
    let begin = Generator::begin(Options {
        client,
        nodes,
        sources,
        profile: args.profile,
        parallel: args.parallel,
        batches: args.batches,
        duration: args.duration,
        timeout: args.timeout,
        deadline: args.deadline.unwrap_or(args.timeout),
        seed: args.seed.unwrap_or_else(rand::random),
        unique: args.unique,
        retry: args.retry,
        verify: args.verify,
        report: args.report,
    });
    let generator = begin.await?;
    // Draws on stderr, and only if that is a terminal.
    let bar = ProgressBar::new_spinner();
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C can't be noticed");
            std::future::pending::<()>().await;
        }
    };
    let report = tokio::select! {
        report = generator.run(interrupted) => report,
        never = draw(&bar, &generator) => match never {},
    };
    bar.finish_and_clear();
    if args.json { out::json(&report) } else { out::lines(&report.text()) }?;
    Ok(if report.succeeded > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn draw(bar: &ProgressBar, generator: &Generator) -> Infallible {
    let mut ticks = tokio::time::interval(DRAW_PERIOD);
    loop {
        ticks.tick().await;
        bar.set_message(line(&generator.snapshot()));
        bar.tick();
    }
}

fn line(now: &Snapshot) -> String {
    let Snapshot { elapsed, requests, in_flight, succeeded, refused, failed, median_ms, .. } = now;
    let seconds = elapsed.as_secs_f64();
    let rate = *succeeded as f64 / seconds.max(0.001);
    format!(
        "{seconds:.0} s: {requests} sent, {in_flight} in flight, {succeeded} ok ({rate:.1}/s, median {:.2} s), \
         {refused} refused, {failed} failed",
        median_ms / 1000.0
    )
}
