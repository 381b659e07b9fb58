//! The configuration that a node runs with: every value checked, every default filled in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use hyper::Uri;
use starling_overlay::{CLUSTER_NAME_BYTES_MAX, NodeName, NodeNameError, Overlay, Timing, Zone, ZoneError};

use super::error::{ConfigError, invalid};
use super::values::{
    DEADLINE_MAX, bytes, bytes_if_given, deadlines, duration, in_range, items, parse, seeds, weight,
};
use super::{Advertise, AdvertiseError, KeyFile, List, LogFormat, NodeOptions, SandboxMode, otlp};
use crate::access::TokenFile;
use crate::gate::{Hosts, Origins};
use crate::profile::{ProfileSet, ProfileSetError};
use crate::tls::{Certificate, CertificateFiles};
use crate::webhooks::{Secrets, Sender};
use crate::workers::HardwareMode;
use starling_placement::policy::{Policy, PolicyKind, ScoreWeights};

const QUEUE_JOBS_MAX: u16 = 10_000;
const WORKERS_MAX: u16 = 1_024;

/// Name of a cluster that was given none.
pub const DEFAULT_CLUSTER: &str = "starling";

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Unique in the cluster.
    pub name: NodeName,
    /// Where this node stands.
    pub zone: Zone,
    /// UDP address to bind.
    pub gossip: SocketAddr,
    /// TCP address to bind.
    pub http: SocketAddr,
    /// Address the others use; `None` means it is found when the sockets are bound.
    pub advertise: Option<Advertise>,
    /// TCP port of HTTP as the others use it; `None`: see [`Advertise::ports`].
    pub advertise_http: Option<u16>,
    /// Seeds as `host:port`.
    pub join: Vec<String>,
    /// ffmpeg children at once.
    pub workers: u16,
    /// Jobs that may wait.
    pub queue_capacity_jobs: u16,
    /// Uploads and results live here.
    pub data_dir: PathBuf,
    /// Byte budget of the result cache.
    pub cache_bytes: u64,
    /// Size cap of an upload.
    pub upload_bytes_max: u64,
    /// Bytes that all uploads under way may take; `None`: found from the disk and `cache_bytes`.
    pub incoming_bytes: Option<u64>,
    /// And those of one client; `None`: as many as are left for others.
    pub incoming_bytes_per_client: Option<u64>,
    /// Connections served at once.
    pub connections_max: u32,
    /// Connections at once of one client; `None`: a share of those that are served.
    pub connections_per_client: Option<u32>,
    /// Uploads under way at once of one client.
    pub uploads_per_client: u32,
    /// What to do where ffmpeg's sandbox is not whole.
    pub sandbox: SandboxMode,
    /// Which encoders in hardware are looked for.
    pub hardware: HardwareMode,
    /// What can be asked for.
    pub profiles: ProfileSet,
    /// Where jobs go.
    pub policy: Policy,
    /// Time of a request that names none.
    pub deadline: Duration,
    /// Most time that a request may ask for.
    pub deadline_max: Duration,
    /// How long a job's results are kept after its end.
    pub job_retention: Duration,
    /// Time for running jobs after SIGTERM.
    pub drain: Duration,
    /// Failure detection's timing.
    pub timing: Timing,
    /// Cluster name.
    pub cluster: String,
    /// The cluster's keys, if it has any.
    pub keys: Option<KeyFile>,
    /// What clients see, if they speak HTTPS.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether other nodes are asked by plain HTTP in spite of a key.
    pub plain_peers: bool,
    /// Clients' tokens, if they need any.
    pub tokens: Option<TokenFile>,
    /// Names that clients may ask this node by.
    pub hosts: Hosts,
    /// Origins whose pages may ask this node.
    pub origins: Origins,
    /// Whether to know a video's digest is not enough to get its result.
    pub private_results: bool,
    /// What messages to clients' webhooks are sent by; none: no such messages.
    pub webhooks: Option<Sender>,
    /// Where spans go; none: none are made.
    pub otlp_endpoint: Option<Uri>,
    /// Form of log lines.
    pub log: LogFormat,
}

fn cluster_name(given: Option<String>) -> Result<String, ConfigError> {
    let name = given.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    if (1..=CLUSTER_NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(name);
    }
    let reason = format!("a cluster's name has 1 to {CLUSTER_NAME_BYTES_MAX} bytes, not {}", name.len());
    Err(invalid("cluster", reason))
}

fn own_name(given: Option<String>) -> Result<NodeName, ConfigError> {
    if let Some(name) = given {
        return name.parse().map_err(|error: NodeNameError| invalid("name", error));
    }
    let host = host_name();
    host.parse().map_err(|_| ConfigError::HostName(host))
}

/// The names given, and those that this node and its seeds have anyway.
fn hosts(given: Option<List>, name: &NodeName, join: &[String]) -> Result<Hosts, ConfigError> {
    let mut hosts = items("allow-host", given, |items| Hosts::of(items.iter().map(String::as_str)))?;
    hosts.add(name.as_str());
    hosts.add_machine(&host_name());
    for (host, _) in join.iter().filter_map(|seed| seed.rsplit_once(':')) {
        hosts.add(host);
    }
    Ok(hosts)
}

/// Tokens are made with the cluster's key, and members prove by it that they are members.
fn private_results(given: Option<bool>, keyed: bool) -> Result<bool, ConfigError> {
    match given {
        Some(true) if !keyed => {
            Err(invalid("private-results", "it needs a key: give --key-file, as `starling key new` makes it"))
        }
        given => Ok(given.unwrap_or_default()),
    }
}

/// Among themselves nodes speak TLS by the cluster's key: without, no node could ask one that speaks TLS alone.
fn certificate(
    files: (Option<PathBuf>, Option<PathBuf>),
    keyed: bool,
) -> Result<Option<Arc<Certificate>>, ConfigError> {
    match files {
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid("tls-cert", "it needs its private key: give --tls-key")),
        (None, Some(_)) => Err(invalid("tls-key", "it needs its certificate: give --tls-cert")),
        (Some(_), Some(_)) if !keyed => Err(invalid(
            "tls-cert",
            "nodes speak TLS with each other by the cluster's key: give --key-file, too, as `starling key new` makes it",
        )),
        (Some(chain), Some(key)) => Ok(Some(Arc::new(Certificate::read(CertificateFiles { chain, key })?))),
    }
}

/// Without a key whoever is turned away here could ask on the routes between nodes instead.
fn tokens(given: Option<PathBuf>, keyed: bool) -> Result<Option<TokenFile>, ConfigError> {
    if given.is_some() && !keyed {
        let why = "without the cluster's key the routes between nodes are open to everybody";
        return Err(invalid(
            "token-file",
            format!("{why}: give --key-file, too, as `starling key new` makes it"),
        ));
    }
    Ok(given.map(TokenFile::read).transpose()?)
}

/// What messages to clients' webhooks are sent by, if any are.
fn webhooks(secrets: Option<PathBuf>, allow_private: Option<bool>) -> Result<Option<Sender>, ConfigError> {
    match (secrets, allow_private) {
        (None, Some(true)) => {
            Err(invalid("webhook-allow-private", "no webhooks are sent without --webhook-secret-file"))
        }
        (None, _) => Ok(None),
        (Some(path), allow_private) => {
            let secrets = Secrets::read(&path).map_err(|error| invalid("webhook-secret-file", error))?;
            Ok(Some(Sender::new(secrets, allow_private.unwrap_or_default())))
        }
    }
}

/// The built-in profiles and those of the files given.
fn profiles(given: Option<List>) -> Result<ProfileSet, ProfileSetError> {
    let paths: Vec<_> = given.unwrap_or_default().into_values().into_iter().map(PathBuf::from).collect();
    ProfileSet::with_files(&paths)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn default_workers() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, usize::from(WORKERS_MAX)) as u16
}

impl NodeConfig {
    /// Checks the options and fills in what they leave open. Reads the key file and the profile files, and touches nothing else.
    pub fn from_options(options: NodeOptions) -> Result<Self, ConfigError> {
        let name = own_name(options.name)?;
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 5000);
        let defaults = ScoreWeights::PAPER;
        let weights = ScoreWeights::new(
            weight("load-weight", options.load_weight, defaults.load())?,
            weight("rtt-weight", options.rtt_weight, defaults.rtt())?,
        )
        .map_err(|error| invalid("load-weight", error))?;
        let (deadline, deadline_max) = deadlines(options.deadline, options.deadline_max)?;
        let join = seeds(options.join)?;
        let keyed = options.key_file.is_some();
        if options.plain_peers == Some(true) && options.tls_cert.is_some() {
            return Err(invalid(
                "plain-peers",
                "with --tls-cert nodes are asked by TLS alone: give one of the two",
            ));
        }
        let advertise = options.advertise.map(|text| text.parse()).transpose();
        Ok(Self {
            zone: options
                .zone
                .as_deref()
                .unwrap_or("default")
                .parse()
                .map_err(|error: ZoneError| invalid("zone", error))?,
            gossip: options.gossip.unwrap_or(any),
            http: options.http.unwrap_or(any),
            advertise: advertise.map_err(|error: AdvertiseError| invalid("advertise", error))?,
            advertise_http: options
                .advertise_http
                .map(|port| in_range("advertise-http", port, 1..=u16::MAX))
                .transpose()?,
            workers: in_range("workers", options.workers.unwrap_or_else(default_workers), 1..=WORKERS_MAX)?,
            queue_capacity_jobs: in_range("queue", options.queue.unwrap_or(64), 1..=QUEUE_JOBS_MAX)?,
            data_dir: options.data_dir.unwrap_or_else(|| PathBuf::from("starling-data").join(name.as_str())),
            cache_bytes: bytes("cache-bytes", options.cache_bytes, ByteSize::gib(10))?,
            upload_bytes_max: bytes("upload-bytes-max", options.upload_bytes_max, ByteSize::gib(4))?,
            incoming_bytes: bytes_if_given("incoming-bytes", options.incoming_bytes)?,
            incoming_bytes_per_client: bytes_if_given(
                "incoming-bytes-per-client",
                options.incoming_bytes_per_client,
            )?,
            connections_max: in_range(
                "connections-max",
                options.connections_max.unwrap_or(4096),
                1..=1_000_000,
            )?,
            connections_per_client: options
                .connections_per_client
                .map(|max| in_range("connections-per-client", max, 1..=1_000_000))
                .transpose()?,
            uploads_per_client: in_range(
                "uploads-per-client",
                options.uploads_per_client.unwrap_or(256),
                1..=1_000_000,
            )?,
            sandbox: options.sandbox.unwrap_or_default(),
            hardware: parse("hardware", options.hardware, HardwareMode::default())?,
            profiles: profiles(options.profiles)?,
            policy: Policy { kind: parse("policy", options.policy, PolicyKind::default())?, weights },
            deadline,
            deadline_max,
            job_retention: duration("job-retention", options.job_retention, DEADLINE_MAX)?,
            drain: duration("drain", options.drain, Duration::from_secs(30))?,
            timing: parse("timing", options.timing, Timing::default())?,
            cluster: cluster_name(options.cluster)?,
            certificate: certificate((options.tls_cert, options.tls_key), keyed)?,
            plain_peers: options.plain_peers.unwrap_or_default(),
            tokens: tokens(options.token_file, keyed)?,
            keys: options.key_file.map(KeyFile::read).transpose()?,
            hosts: hosts(options.allow_host, &name, &join)?,
            origins: items("allow-origin", options.allow_origin, |items| {
                Origins::of(items.iter().map(String::as_str))
            })?,
            join,
            private_results: private_results(options.private_results, keyed)?,
            webhooks: webhooks(options.webhook_secret_file, options.webhook_allow_private)?,
            otlp_endpoint: otlp::endpoint(options.otlp_endpoint.as_deref(), cfg!(feature = "otlp"))
                .map_err(|error| invalid("otlp-endpoint", error))?,
            log: options.log.unwrap_or_default(),
            name,
        })
    }

    /// The address to tell the others: as given, else what `--gossip` binds, else, with [`Self::follows_address`], what is
    /// found for now. Seeds with names are not looked up for that: nothing may wait for a name server here.
    pub fn advertised_ip(&self) -> IpAddr {
        if let Some(advertise) = self.advertise {
            return advertise.ip;
        }
        let bound = self.gossip.ip();
        if !bound.is_unspecified() {
            return bound;
        }
        let seeds: Vec<IpAddr> = self
            .join
            .iter()
            .filter_map(|seed| seed.parse::<SocketAddr>().ok())
            .map(|seed| seed.ip())
            .collect();
        Overlay::find_address(bound, &seeds).unwrap_or_else(|| {
            tracing::warn!(
                "this machine has no address yet that others could reach: advertising loopback until it has; or give \
                 --advertise"
            );
            Ipv4Addr::LOCALHOST.into()
        })
    }

    /// Whether the address is to be looked for again while the node runs.
    pub fn follows_address(&self) -> bool {
        self.advertise.is_none() && self.gossip.ip().is_unspecified()
    }
}
