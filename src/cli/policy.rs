//! `starling policy`: by which routing policy a running node decides.

use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::future::join_all;
use starling::client::{Client, ClientError, Endpoint, Members, RoutingChange, RoutingPolicy};
use starling::config::KeyFile;
use starling_overlay::Keyring;
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
    /// The node to ask: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    pub(super) node: Endpoint,

    /// Ask every live member that this node knows of as well, at the addresses that they advertise
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

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (which, change) = match args.command {
        Command::Show(which) => (which, None),
        Command::Set { policy, load_weight, rtt_weight, which } => {
            (which, Some(RoutingChange { policy: policy.as_str(), load_weight, rtt_weight }))
        }
    };
    let keys = which.key_file.map(KeyFile::read).transpose()?.map(|file| file.keys);
    let client = which.reach.client()?;
    let answers = ask(&client, &which.node, which.all, keys.as_ref(), change.as_ref()).await?;
    let (mut text, mut failed) = (Vec::new(), false);
    for (name, answer) in answers {
        match answer {
            Ok(policy) if which.json => text.push(serde_json::to_string(&policy)?),
            Ok(policy) => text.push(format!("{}: {}", policy.node, policy.describe())),
            Err(error) => {
                failed = true;
                let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
                out::complain(format_args!("starling: {name}{error}"));
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

type Answer = (Option<String>, Result<RoutingPolicy, ClientError>);

/// Asks a node, and with `all` those that it knows to live. A name is given for those.
async fn ask(
    client: &Client,
    node: &Endpoint,
    all: bool,
    keys: Option<&Keyring>,
    change: Option<&RoutingChange>,
) -> anyhow::Result<Vec<Answer>> {
    let first = RoutingPolicy::exchange(client, node, keys, change).await;
    let own = first.as_ref().map(|policy| policy.node.clone()).ok();
    let mut answers = vec![(None, first)];
    if all {
        let (_, members) = Members::fetch(client, node).await?;
        let others = members
            .members
            .into_iter()
            .filter(|member| member.state == "alive" && Some(&member.name) != own.as_ref())
            .filter_map(|member| Some((member.name, node.at(member.http?.parse().ok()?))));
        answers.extend(
            join_all(others.map(|(name, endpoint)| async move {
                (Some(name), RoutingPolicy::exchange(client, &endpoint, keys, change).await)
            }))
            .await,
        );
    }
    Ok(answers)
}
