//! The configuration that a node runs with: every value checked, every default filled in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use hyper::Uri;
use starling_overlay::{CLUSTER_NAME_BYTES_MAX, NodeName, NodeNameError, Overlay, Timing, Zone, ZoneError};

use super::error::{ConfigError, ConfigErrors, Faults, invalid};
use super::values::{
    DEADLINE_MAX, bytes, bytes_if_given, deadlines, duration, in_range, items, parse, seeds, weights,
};
use super::{Advertise, AdvertiseError, KeyFile, List, LogFormat, NodeOptions, SandboxMode, otlp};
use crate::access::TokenFile;
use crate::gate::{Hosts, Origins};
use crate::profile::{ProfileSet, ProfileSetError};
use crate::tls::{Certificate, CertificateFiles};
use crate::webhooks::Sender;
use crate::workers::HardwareMode;
use starling_placement::policy::{Policy, PolicyKind};

const QUEUE_JOBS_MAX: u16 = 10_000;
const WORKERS_MAX: u16 = 1_024;
const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;

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
    /// How long an upload in parts is kept of which nothing more comes.
    pub upload_retention: Duration,
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
fn hosts(given: Option<List>, name: Option<&NodeName>, join: &[String]) -> Result<Hosts, ConfigError> {
    let mut hosts = items("allow-host", given, |items| Hosts::of(items.iter().map(String::as_str)))?;
    if let Some(name) = name {
        hosts.add(name.as_str());
    }
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
            let sender = Sender::read(path, allow_private.unwrap_or_default());
            Ok(Some(sender.map_err(|error| invalid("webhook-secret-file", error))?))
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
    /// Checks the options and fills in what they leave open. Reads the key file and the profile files, and touches nothing else. What is
    /// wrong is told of all options at once.
    #[expect(clippy::too_many_lines, reason = "a line an option, twice")]
    pub fn from_options(options: NodeOptions) -> Result<Self, ConfigErrors> {
        let mut faults = Faults::default();
        let found = &mut faults;
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 5000);
        let keyed = options.key_file.is_some();
        if options.plain_peers == Some(true) && options.tls_cert.is_some() {
            let why = "with --tls-cert nodes are asked by TLS alone: give one of the two";
            found.keep(Err::<(), _>(invalid("plain-peers", why)));
        }
        let name = found.keep(own_name(options.name));
        let zone = options.zone.as_deref().unwrap_or("default").parse();
        let zone = found.keep(zone.map_err(|error: ZoneError| invalid("zone", error)));
        let advertise = options.advertise.map(|text| text.parse()).transpose();
        let advertise = found.keep(advertise.map_err(|error: AdvertiseError| invalid("advertise", error)));
        let advertise_http =
            options.advertise_http.map(|port| in_range("advertise-http", port, 1..=u16::MAX));
        let advertise_http = found.keep(advertise_http.transpose());
        let workers = options.workers.unwrap_or_else(default_workers);
        let workers = found.keep(in_range("workers", workers, 1..=WORKERS_MAX));
        let queue = found.keep(in_range("queue", options.queue.unwrap_or(64), 1..=QUEUE_JOBS_MAX));
        let cache_bytes = found.keep(bytes("cache-bytes", options.cache_bytes, ByteSize::gib(10)));
        let upload_bytes_max =
            found.keep(bytes("upload-bytes-max", options.upload_bytes_max, ByteSize::gib(4)));
        let incoming_bytes = found.keep(bytes_if_given("incoming-bytes", options.incoming_bytes));
        let incoming_bytes_per_client =
            found.keep(bytes_if_given("incoming-bytes-per-client", options.incoming_bytes_per_client));
        let connections_max = options.connections_max.unwrap_or(4096);
        let connections_max = found.keep(in_range("connections-max", connections_max, CONNECTIONS));
        let connections_per_client =
            options.connections_per_client.map(|max| in_range("connections-per-client", max, CONNECTIONS));
        let connections_per_client = found.keep(connections_per_client.transpose());
        let uploads_per_client = options.uploads_per_client.unwrap_or(256);
        let uploads_per_client = found.keep(in_range("uploads-per-client", uploads_per_client, CONNECTIONS));
        let hardware = found.keep(parse("hardware", options.hardware, HardwareMode::default()));
        let profiles = found.keep(profiles(options.profiles));
        // Whoever gives weights means the policy that has them.
        let has_weights = options.load_weight.is_some() || options.rtt_weight.is_some();
        let usual = if has_weights { PolicyKind::Score } else { PolicyKind::default() };
        let kind = found.keep(parse("policy", options.policy, usual));
        let weights = weights(found, options.load_weight, options.rtt_weight);
        let deadlines = deadlines(found, options.deadline, options.deadline_max);
        let job_retention = found.keep(duration("job-retention", options.job_retention, DEADLINE_MAX));
        let upload_retention =
            found.keep(duration("upload-retention", options.upload_retention, DEADLINE_MAX));
        let drain = found.keep(duration("drain", options.drain, Duration::from_secs(30)));
        let timing = found.keep(parse("timing", options.timing, Timing::default()));
        let cluster = found.keep(cluster_name(options.cluster));
        let certificate = found.keep(certificate((options.tls_cert, options.tls_key), keyed));
        let tokens = found.keep(tokens(options.token_file, keyed));
        let keys = found.keep(options.key_file.map(KeyFile::read).transpose());
        let join = found.keep(seeds(options.join));
        let hosts = found.keep(hosts(options.allow_host, name.as_ref(), join.as_deref().unwrap_or_default()));
        let origins = found.keep(items("allow-origin", options.allow_origin, |items| {
            Origins::of(items.iter().map(String::as_str))
        }));
        let private_results = found.keep(private_results(options.private_results, keyed));
        let webhooks = found.keep(webhooks(options.webhook_secret_file, options.webhook_allow_private));
        let otlp_endpoint = otlp::endpoint(options.otlp_endpoint.as_deref(), cfg!(feature = "otlp"));
        let otlp_endpoint = found.keep(otlp_endpoint.map_err(|error| invalid("otlp-endpoint", error)));
        let data_dir = options.data_dir;
        let checked = || {
            let name = name?;
            let (deadline, deadline_max) = deadlines?;
            Some(Self {
                zone: zone?,
                gossip: options.gossip.unwrap_or(any),
                http: options.http.unwrap_or(any),
                advertise: advertise?,
                advertise_http: advertise_http?,
                workers: workers?,
                queue_capacity_jobs: queue?,
                data_dir: data_dir.unwrap_or_else(|| PathBuf::from("starling-data").join(name.as_str())),
                cache_bytes: cache_bytes?,
                upload_bytes_max: upload_bytes_max?,
                incoming_bytes: incoming_bytes?,
                incoming_bytes_per_client: incoming_bytes_per_client?,
                connections_max: connections_max?,
                connections_per_client: connections_per_client?,
                uploads_per_client: uploads_per_client?,
                sandbox: options.sandbox.unwrap_or_default(),
                hardware: hardware?,
                profiles: profiles?,
                policy: Policy { kind: kind?, weights: weights? },
                deadline,
                deadline_max,
                job_retention: job_retention?,
                upload_retention: upload_retention?,
                drain: drain?,
                timing: timing?,
                cluster: cluster?,
                certificate: certificate?,
                plain_peers: options.plain_peers.unwrap_or_default(),
                tokens: tokens?,
                keys: keys?,
                hosts: hosts?,
                origins: origins?,
                join: join?,
                private_results: private_results?,
                webhooks: webhooks?,
                otlp_endpoint: otlp_endpoint?,
                log: options.log.unwrap_or_default(),
                name,
            })
        };
        let checked = checked();
        match (faults.found(), checked) {
            (None, Some(config)) => Ok(config),
            (Some(faults), _) => Err(faults),
            (None, None) => unreachable!("what is not there is a fault, which is kept"),
        }
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
