//! `starling upload`: send files, save what comes back.

mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use starling::client::{Endpoint, FileSource, Names, Outcome, Progress, Upload};
use starling::printable;

use super::out;
use sources::Source;

/// Send files to a node, with a progress bar, and save the transcoded results
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The videos; of a folder those files in it that are videos by their first bytes; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Node to send to; several (comma-separated or repeated) share the files, and stand in for one that is down
    #[arg(
        long = "node",
        env = "STARLING_NODE",
        default_value = "http://127.0.0.1:5001",
        value_delimiter = ',',
        value_name = "URL"
    )]
    nodes: Vec<Endpoint>,

    /// What to transcode into (GET /profiles lists them), or several, as in 360p,poster [default: the node's, 360p]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Keep a result of more than one file as the tar in which it comes; without, it is unpacked into a folder
    #[arg(long)]
    keep_tar: bool,

    /// Folder for the results; an older result of the same name is replaced
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    output_dir: PathBuf,

    /// Print one JSON object per file instead of text
    #[arg(long)]
    json: bool,

    /// Files in flight at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    parallel: u16,

    /// Give a file up after this long
    #[arg(long, default_value = "10m", value_parser = super::time, value_name = "TIME")]
    timeout: Duration,

    /// Send a file that is refused for want of room (429, 503) again when its Retry-After is over, for as long as --timeout allows
    #[arg(long)]
    retry: bool,

    /// Send each file in parts and as a job, for films and bad lines: what breaks off goes on where it ended, in the next run of the same command, too; noted in `~/.local/state/starling/uploads`
    #[arg(long, conflicts_with = "keep_tar")]
    resume: bool,

    /// Time that the node may take for a file [default: the node's, 40s; of a job 1h]
    #[arg(long, value_parser = super::time, value_name = "TIME")]
    deadline: Option<Duration>,

    #[command(flatten)]
    reach: super::reach::Reach,
}

/// Runs it: exit 1 if a file did not come back.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::is_no_file("--output-dir", &args.output_dir)?;
    let named = args.files;
    // Standard input may come slowly.
    let sources = tokio::task::spawn_blocking(move || sources::expand(&named)).await?;
    let files = &sources.all;
    let upload = Upload {
        client: args.reach.client()?,
        nodes: args.nodes,
        profile: args.profile,
        keep_tar: args.keep_tar,
        timeout: args.timeout,
        deadline: args.deadline,
        retry: args.retry,
        resume: args.resume,
        names: Mutex::new(Names::new(if args.output_dir == Path::new(".") {
            PathBuf::new()
        } else {
            args.output_dir
        })),
    };
    // Draws on stderr, and only if that is a terminal.
    let bars = MultiProgress::new();
    let all = overall(&bars, files.len());
    let (began, mut sum) = (Instant::now(), Sum::default());
    let mut outcomes = futures_util::stream::iter(files.iter().enumerate())
        .map(|(index, source)| {
            let (upload, bars) = (&upload, &bars);
            async move {
                let Source { file, wrong } = source;
                if let Some(why) = wrong {
                    return (file, Outcome::unsent(file, why.clone()));
                }
                let bar = Bar::new(bars, file).await;
                let outcome = upload.send(index, file, Arc::clone(&bar) as Arc<dyn Progress>).await;
                bar.0.finish_and_clear();
                (file, outcome)
            }
        })
        .buffer_unordered(usize::from(args.parallel));
    while let Some((file, outcome)) = outcomes.next().await {
        sum.add(&outcome);
        all.inc(1);
        bars.suspend(|| report(file, &outcome, args.json))?;
    }
    all.finish_and_clear();
    if files.len() > 1 && (sum.failed > 0 || !args.json) {
        out::complain(sum.sentence(files.len(), began.elapsed()));
    }
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run came to.
#[derive(Default)]
struct Sum {
    failed: usize,
    bytes_in: u64,
    bytes_out: u64,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        if outcome.error.is_some() {
            self.failed += 1;
        } else {
            self.bytes_in += outcome.bytes_in;
            self.bytes_out += outcome.bytes_out.unwrap_or(0);
        }
    }

    fn sentence(&self, files: usize, elapsed: Duration) -> String {
        let Self { failed, bytes_in, bytes_out } = *self;
        let seconds = elapsed.as_secs_f64();
        let done = format!("{} -> {} in {seconds:.1} s", bytes(bytes_in), bytes(bytes_out));
        match failed {
            0 => format!("{files} files done: {done}"),
            _ => format!("{failed} of {files} files failed; {} done: {done}", files - failed),
        }
    }
}

/// How many files are done, below the bars of those under way; nothing for a single file.
fn overall(bars: &MultiProgress, files: usize) -> ProgressBar {
    if files < 2 {
        return ProgressBar::hidden();
    }
    let all = bars.add(ProgressBar::new(files as u64));
    all.set_style(style("{pos} of {len} files, {elapsed}, about {eta} left"));
    all.enable_steady_tick(Duration::from_millis(500));
    all
}

fn report(file: &FileSource, outcome: &Outcome, json: bool) -> std::io::Result<()> {
    if json {
        out::json(outcome)?;
    }
    if let Some(error) = &outcome.error {
        out::complain(printable::line(&format!("{}: {error}", file.called.display())));
    } else if !json {
        out::lines(&printable::line(&sentence(outcome)))?;
    }
    Ok(())
}

fn sentence(outcome: &Outcome) -> String {
    let output = match &outcome.outputs[..] {
        [] => outcome.output.as_deref().unwrap_or(Path::new("-")).display().to_string(),
        all => all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let mut text = format!(
        "{} -> {output}: {} -> {} in {:.1} s",
        outcome.name,
        bytes(outcome.bytes_in),
        bytes(outcome.bytes_out.unwrap_or(0)),
        outcome.ms as f64 / 1000.0
    );
    if let Some(nodes) = &outcome.served_by {
        let kept =
            outcome.cache.as_deref().is_some_and(|cache| each(cache).iter().all(|cache| *cache == "hit"));
        let verb = if kept { "from the cache of" } else { "transcoded by" };
        text = format!("{text}, {verb} {}", each(nodes).join(", "));
    }
    if let Some(routes) = &outcome.route {
        text = format!("{text}, route {}", each(routes).join(", "));
    }
    if let Some(damage) = &outcome.damage {
        text = format!("{text}; the file is damaged or cut off: {damage}");
    }
    text
}

/// What a header says of several profiles, each thing once.
fn each(list: &str) -> Vec<&str> {
    let mut each = Vec::new();
    for one in list.split(',').map(str::trim) {
        if !each.contains(&one) {
            each.push(one);
        }
    }
    each
}

fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

struct Bar(ProgressBar);

impl Bar {
    async fn new(bars: &MultiProgress, file: &FileSource) -> Arc<Self> {
        let length = tokio::fs::metadata(&file.path).await.map_or(0, |meta| meta.len());
        let bar = bars.insert(0, ProgressBar::new(length));
        bar.set_style(style(
            "{prefix:20!} {msg:12} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {elapsed}",
        ));
        bar.set_prefix(printable::line(&file.name()).into_owned());
        bar.set_message("sending");
        bar.enable_steady_tick(Duration::from_millis(200));
        Arc::new(Self(bar))
    }
}

impl Progress for Bar {
    fn sent(&self, bytes: u64) {
        self.0.inc(bytes);
        if self.0.length().is_some_and(|length| self.0.position() >= length) {
            self.0.set_message("transcoding");
        }
    }

    fn waits(&self, after: Duration) {
        self.0.set_position(0);
        self.0.set_message(format!("again in {} s", after.as_secs()));
    }

    fn passes_over(&self, why: &str) {
        let prefix = self.0.prefix();
        self.0.suspend(|| out::complain(printable::line(&format!("{prefix}: {why}"))));
    }

    fn resumes(&self, offset: u64) {
        self.0.set_position(offset);
        self.0.set_message("sending");
    }

    fn answered(&self, bytes: Option<u64>) {
        self.0.set_message("receiving");
        self.0.set_position(0);
        bytes.map_or_else(|| self.0.unset_length(), |bytes| self.0.set_length(bytes));
    }

    fn received(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; the default bar is still a bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
