//! `starling monitor`: watch a cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use starling::config::{List, LogFormat, NodeConfig, NodeOptions};
use starling_overlay::NAME_BYTES_MAX;

use super::node::{EXIT_USAGE, reload_signal, stop_signal};

/// Where it listens unless it is told otherwise, over UDP and TCP.
const PORT_DEFAULT: u16 = 8005;

/// Watch a cluster: joins it as a member that gets no work, and serves its dashboard with the figures of all nodes
#[derive(clap::Args)]
pub struct MonitorArgs {
    /// Name of this monitor, unique in the cluster [default: monitor-, and the host's name]
    #[arg(long, env = "STARLING_NAME", value_name = "NAME")]
    name: Option<String>,

    /// Zone it stands in
    #[arg(long, env = "STARLING_ZONE", value_name = "ZONE")]
    zone: Option<String>,

    /// UDP address for gossip [default: 0.0.0.0:8005]
    #[arg(long, env = "STARLING_GOSSIP", value_name = "IP:PORT")]
    gossip: Option<SocketAddr>,

    /// TCP address for its dashboard and for load generators' reports [default: 0.0.0.0:8005]
    #[arg(long, env = "STARLING_HTTP", value_name = "IP:PORT")]
    http: Option<SocketAddr>,

    /// Address the members reach it at [default: found from --gossip or the way to the seeds]
    #[arg(long, env = "STARLING_ADVERTISE", value_name = "IP[:PORT]")]
    advertise: Option<String>,

    /// Members to join through, comma separated; names are looked up again on each attempt
    #[arg(long, env = "STARLING_JOIN", value_name = "HOST:PORT,…")]
    join: Option<List>,

    /// Name of the cluster
    #[arg(long, env = "STARLING_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,

    /// File with the cluster's keys; read again on SIGHUP
    #[arg(long, env = "STARLING_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Timing of failure detection: local, lan or wan
    #[arg(long, env = "STARLING_TIMING", value_name = "PROFILE")]
    timing: Option<String>,

    /// Further names that it is asked by, comma separated
    #[arg(long, env = "STARLING_ALLOW_HOST", value_name = "NAME,…")]
    allow_host: Option<List>,

    /// Origins of web pages that may ask it, comma separated, or * for all
    #[arg(long, env = "STARLING_ALLOW_ORIGIN", value_name = "ORIGIN,…")]
    allow_origin: Option<List>,

    /// Certificate of its port, in PEM: clients speak TLS then; it needs --tls-key and --key-file, and is read again when it changes
    #[arg(long, env = "STARLING_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, env = "STARLING_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Tokens that its port asks for, as the nodes': scope read for the dashboard, upload for reports; it needs --key-file, and is read again when it changes
    #[arg(long, env = "STARLING_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Keep the series of the last day in this file, so that they are there after a restart [default: in memory alone]
    #[arg(long, env = "STARLING_HISTORY", value_name = "FILE")]
    history: Option<PathBuf>,

    /// Form of the log lines
    #[arg(long, env = "STARLING_LOG", value_name = "FORMAT")]
    log: Option<LogFormat>,
}

/// Runs it until SIGINT or SIGTERM.
pub fn run(args: MonitorArgs) -> anyhow::Result<ExitCode> {
    // Before the key is read.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let history = args.history.clone();
    let config = match NodeConfig::from_options(options(args)) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| super::out::complain(format_args!("starling monitor: {error}")));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    super::log::init_service(config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (stop, reload) = (stop_signal()?, reload_signal()?);
        starling::run::run_monitor(config, history, stop, reload).await.map_err(anyhow::Error::from)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: MonitorArgs) -> NodeOptions {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT_DEFAULT);
    let host = || {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("monitor-{host}").chars().take(NAME_BYTES_MAX).collect()
    };
    NodeOptions {
        name: Some(args.name.unwrap_or_else(host)),
        zone: args.zone,
        gossip: Some(args.gossip.unwrap_or(any)),
        http: Some(args.http.unwrap_or(any)),
        advertise: args.advertise,
        join: args.join,
        cluster: args.cluster,
        key_file: args.key_file,
        timing: args.timing,
        allow_host: args.allow_host,
        allow_origin: args.allow_origin,
        tls_cert: args.tls_cert,
        tls_key: args.tls_key,
        token_file: args.token_file,
        log: args.log,
        ..NodeOptions::default()
    }
}
