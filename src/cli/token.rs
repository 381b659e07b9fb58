//! `starling token`: tokens of clients.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use starling::access::{NewToken, Quota, Rate, Scope, TokenFile, listed};

use super::out;

/// Longest that a token lasts which ends at all.
const EXPIRES_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Make, list and revoke tokens of clients, in the file that nodes read (--token-file)
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new token, once: the file gets its SHA-256 alone. Give the file to every node; they read it by themselves
    Create {
        /// Whose it is, or what it is for; jobs and quotas go by this name, at every node
        #[arg(long, value_name = "NAME")]
        name: String,

        /// What it is good for: upload, read, metrics, admin; several with commas between them
        #[arg(long, value_name = "SCOPE,…", required = true, value_delimiter = ',')]
        scope: Vec<Scope>,

        /// Uploads in a time, as in 100/h
        #[arg(long, value_name = "RATE")]
        uploads: Option<Rate>,

        /// Bytes of uploads in a time, as in 10GiB/d
        #[arg(long, value_name = "RATE")]
        bytes: Option<Rate>,

        /// Uploads under way and jobs not at their end, at once
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        jobs: Option<u32>,

        /// Time after which it is not good any more, as in 90d [default: it is good until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,

        #[command(flatten)]
        to: To,
    },
    /// Show what stands in the file; no token does
    List {
        #[command(flatten)]
        to: To,
    },
    /// Take a token out of the file
    Revoke {
        /// Its name
        #[arg(long, value_name = "NAME")]
        name: String,

        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct To {
    /// The token file; made if there is none
    #[arg(long, env = "STARLING_TOKEN_FILE", value_name = "FILE")]
    file: PathBuf,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_secs(1)..=EXPIRES_MAX).contains(&time) => Ok(time),
        Ok(_) => Err("give 1s to 10 years".to_owned()),
        Err(error) => Err(format!("{error}; give a time such as 12h or 90d")),
    }
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Create { name, mut scope, uploads, bytes, jobs, expires, to } => {
            scope.sort_unstable();
            scope.dedup();
            let expires = expires.map(|time| SystemTime::now() + time);
            let quota = Quota { uploads, bytes, jobs };
            let token = TokenFile::create(&to.file, NewToken { name, scopes: scope, expires, quota })?;
            out::lines(&token)?;
            out::complain(format_args!(
                "this is shown once; {} has its SHA-256: copy that file to every node",
                to.file.display()
            ));
        }
        Command::List { to } => out::lines(&table(&TokenFile::read(to.file)?).to_string())?,
        Command::Revoke { name, to } => {
            TokenFile::revoke(&to.file, &name)?;
            out::complain(format_args!(
                "revoked in {}: it holds at a node until that has the new file",
                to.file.display()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(file: &TokenFile) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["NAME", "SCOPES", "UPLOADS", "BYTES", "JOBS", "EXPIRES"]);
    for entry in &file.tokens {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            entry.name.clone(),
            listed(&entry.scopes, ","),
            or_dash(entry.quota.uploads.map(|rate| rate.to_string())),
            or_dash(entry.quota.bytes.map(|rate| rate.to_string())),
            or_dash(entry.quota.jobs.map(|jobs| jobs.to_string())),
            entry
                .expires
                .map_or_else(|| "never".to_owned(), |end| humantime::format_rfc3339_seconds(end).to_string()),
        ]);
    }
    table
}
