//! `starling load`: the load generator.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use starling::client::load::{self, Generator, Listener, Options, Recording, ReportUrl, Snapshot};
use starling::client::{Client, DiscoverOptions, Endpoint, Members, Target, discover};

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

    /// Write what was sent when, and how long each job kept a worker, for `starling sim --replay FILE`; hears of the jobs of the nodes
    /// that it sends to
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

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
        discover(&client, &args.to, DiscoverOptions { each: "--to", all: "--discover" }).await?
    } else {
        args.to.into_iter().map(Target::from).collect()
    };
    let recorder = match &args.record {
        Some(path) => {
            Some(Recorder::start(path, (&client, &nodes), args.deadline.unwrap_or(args.timeout)).await?)
        }
        None => None,
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
        record: recorder.is_some(),
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
    if let Some(recorder) = recorder {
        recorder.write(generator).await?;
    }
    if args.json { out::json(&report) } else { out::lines(&report.text()) }?;
    Ok(if report.succeeded > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--record` needs.
struct Recorder {
    path: PathBuf,
    nodes: usize,
    workers: usize,
    deadline: Duration,
    listener: Listener,
}

impl Recorder {
    async fn start(
        path: &Path,
        (client, nodes): (&Client, &[Target]),
        deadline: Duration,
    ) -> anyhow::Result<Self> {
        let endpoints = nodes.iter().map(|node| &node.endpoint);
        let listener =
            Listener::start(client, endpoints).await.context("--record needs the events of each node")?;
        let mut workers = None;
        for node in nodes {
            if let Ok((_, view)) = Members::fetch(client, &node.endpoint).await {
                let each = view.members.iter().filter_map(|member| member.load.as_ref()?.workers);
                workers = workers.max(each.max());
            }
        }
        let workers = usize::try_from(workers.unwrap_or(1)).unwrap_or(1).max(1);
        Ok(Self { path: path.to_owned(), nodes: nodes.len(), workers, deadline, listener })
    }

    async fn write(self, generator: Generator) -> anyhow::Result<()> {
        let records = generator.records();
        let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        // Hashing takes its time.
        let named = tokio::task::spawn_blocking(move || {
            let name = |number| Ok((number, generator.content(number)?.short()));
            numbers.into_iter().map(name).collect::<std::io::Result<BTreeMap<_, _>>>()
        });
        let contents = named.await?.context("a file that was sent can't be read any more")?;
        let nodes: Vec<usize> = (0..self.nodes).collect();
        let requests = self.listener.recorded(&records, &contents, &nodes).await;
        let jobs = self.listener.jobs();
        if jobs == 0 {
            bail!("no node told of a job that was done: --record has nothing to write");
        }
        let recording =
            Recording { nodes: self.nodes, workers: self.workers, deadline: self.deadline, requests };
        recording.write(&self.path).with_context(|| format!("can't write {}", self.path.display()))?;
        let (requests, path) = (recording.requests.len(), self.path.display());
        out::complain(format_args!(
            "starling load: {requests} requests and {jobs} jobs recorded: starling sim --replay {path} --policy all"
        ));
        Ok(())
    }
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
