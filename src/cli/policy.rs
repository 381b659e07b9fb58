//! `starling policy`: by which routing policy a running node decides.

use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::future::join_all;
use starling::client::{
    Client, DiscoverError, DiscoverOptions, Endpoint, RoutingChange, RoutingPolicy, Target, discover,
};
use starling::config::KeyFile;
use starling_placement::policy::PolicyKind;

use super::out;

/// Show or change the routing policy of running nodes
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show by which policy a node decides
    Show(Which),
    /// Have a node decide by another policy until it stops; jobs under way stay where they are
    Set {
        /// score, random, round-robin, least-loaded, p2c, prequal, waterfall or eta
        #[arg(value_name = "POLICY")]
        policy: PolicyKind,

        /// Weight of load in the score policy [default: as it is]
        #[arg(long, value_name = "W")]
        load_weight: Option<f64>,

        /// Weight of round-trip time in the score policy [default: as it is]
        #[arg(long, value_name = "W")]
        rtt_weight: Option<f64>,

        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The nodes to ask: http://HOST:PORT or HOST:PORT, separated by commas
    #[arg(
        long,
        env = "STARLING_NODE",
        default_value = "http://127.0.0.1:5001",
        value_delimiter = ',',
        value_name = "URL,…"
    )]
    pub(super) node: Vec<Endpoint>,

    /// Ask every live member that the first answering node knows of as well, at the addresses that they advertise, if
    /// these can be reached from here
    #[arg(long)]
    pub(super) all: bool,

    /// File with the cluster's keys; without a key a node answers on its own machine alone
    #[arg(long, env = "STARLING_KEY_FILE", value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,

    /// Print JSON, a line a node
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) reach: super::reach::Reach,
}

impl Which {
    /// The nodes. With `--all` nothing is sent where an address may mean another machine here.
    pub(super) async fn targets(&self, client: &Client) -> Result<Vec<Target>, DiscoverError> {
        if self.all {
            return discover(client, &self.node, DiscoverOptions { each: "--node", all: "--all" }).await;
        }
        Ok(self.node.iter().cloned().map(Target::from).collect())
    }
}

/// As messages name it.
pub(super) fn name(target: &Target) -> String {
    target.name.clone().unwrap_or_else(|| target.endpoint.to_string())
}

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (which, change) = match args.command {
        Command::Show(which) => (which, None),
        Command::Set { policy, load_weight, rtt_weight, which } => {
            (which, Some(RoutingChange { policy: policy.as_str(), load_weight, rtt_weight }))
        }
    };
    let keys = which.key_file.clone().map(KeyFile::read).transpose()?.map(|file| file.keys);
    let client = which.reach.client()?;
    let (client, keys, change) = (&client, keys.as_ref(), change.as_ref());
    let asked = which.targets(client).await?.into_iter().map(|target| async move {
        (name(&target), RoutingPolicy::exchange(client, &target, keys, change).await)
    });
    let (mut text, mut failed) = (Vec::new(), false);
    for (name, answer) in join_all(asked).await {
        match answer {
            Ok(policy) if which.json => text.push(serde_json::to_string(&policy)?),
            Ok(policy) => text.push(format!("{}: {}", policy.node, policy.describe())),
            Err(error) => {
                failed = true;
                out::complain(format_args!("starling: {name}: {error}"));
            }
        }
    }
    if which.json {
        for line in text {
            out::json_text(&line)?;
        }
    } else if !text.is_empty() {
        out::lines(&text.join("\n"))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
