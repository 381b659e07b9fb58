//! The configuration that a node runs with: every value checked, every default filled in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use hyper::Uri;
use starling_overlay::{CLUSTER_NAME_BYTES_MAX, NodeName, NodeNameError, Overlay, Timing, Zone, ZoneError};

use super::keys::KeyFileError;
use super::{Advertise, AdvertiseError, KeyFile, List, LogFormat, NodeOptions, SandboxMode, otlp};
use crate::access::{TokenFile, TokenFileError};
use crate::gate::{Hosts, Origins};
use crate::profile::{ProfileSet, ProfileSetError};
use crate::tls::{Certificate, CertificateError, CertificateFiles};
use crate::webhooks::{Secrets, Sender};
use crate::workers::HardwareMode;
use starling_placement::policy::{Policy, PolicyKind, ScoreWeights};

const QUEUE_JOBS_MAX: u16 = 10_000;
const WORKERS_MAX: u16 = 1_024;
/// Longest that any request may take, whatever the node was told.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
const DEADLINE_MAX_DEFAULT: Duration = Duration::from_secs(3600);

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

/// Why a node can't run as it was told to. Nothing has been bound or written yet.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("can't read the configuration file {path}: {source}")]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the TOML expected.
    #[error("configuration file {path}, line {line} ({text}): {what}")]
    FileInvalid {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// That line.
        text: String,
        /// What was expected there, and perhaps what to write.
        what: String,
    },
    /// One option's value is unusable.
    #[error("--{option} (STARLING_{env}): {reason}", env = option.to_uppercase().replace('-', "_"))]
    Option {
        /// Its long flag.
        option: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A profile file can't be used.
    #[error(transparent)]
    Profiles(#[from] ProfileSetError),
    /// The key file can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The certificate can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token file can't be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The host's name is no node name and none was given.
    #[error("the host's name {0:?} can't serve as node name: give --name")]
    HostName(String),
}

#[expect(clippy::needless_pass_by_value, reason = "errors are passed as they come")]
fn invalid(option: &'static str, reason: impl ToString) -> ConfigError {
    ConfigError::Option { option, reason: reason.to_string() }
}

/// A given text parsed, or the default if there is none.
fn parse<T>(option: &'static str, text: Option<String>, default: T) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: ToString,
{
    text.map_or(Ok(default), |text| text.parse().map_err(|error: T::Err| invalid(option, error.to_string())))
}

/// What is made of a list, or of an empty one if none was given.
fn items<T, E: ToString>(
    option: &'static str,
    given: Option<List>,
    read: impl Fn(&[String]) -> Result<T, E>,
) -> Result<T, ConfigError> {
    read(&given.unwrap_or_default().into_values()).map_err(|error| invalid(option, error.to_string()))
}

fn in_range<T>(option: &'static str, value: T, range: std::ops::RangeInclusive<T>) -> Result<T, ConfigError>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(invalid(option, format!("{value} is out of range: give {} to {}", range.start(), range.end())))
    }
}

/// The most of a line that is quoted.
const QUOTE_CHARS_MAX: usize = 80;

impl ConfigError {
    /// What is wrong with this text of a file, in one line.
    pub(super) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].matches('\n').count() + 1;
        let words: Vec<_> =
            error.message().lines().map(str::trim).filter(|words| !words.is_empty()).collect();
        let hint = hint(error);
        let what = words.join("; ") + if hint.is_empty() { "" } else { "; " } + hint;
        let quoted = text.lines().nth(line - 1).unwrap_or_default().trim();
        let text =
            crate::printable::line(&quoted.chars().take(QUOTE_CHARS_MAX).collect::<String>()).into_owned();
        Self::FileInvalid { path: path.to_owned(), line, text, what }
    }

    /// Whether its words name the file that it is about.
    pub const fn names_file(&self) -> bool {
        matches!(self, Self::FileUnreadable { .. } | Self::FileInvalid { .. })
    }
}

/// What to write where TOML's own words say only what is wrong.
fn hint(error: &toml::de::Error) -> &'static str {
    if error.message().contains("expected a string") {
        "write it in quotes, a time or a size with its unit: \"40s\", \"10GiB\""
    } else {
        ""
    }
}

fn duration(option: &'static str, text: Option<String>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    match humantime::parse_duration(&text) {
        Ok(value) if (Duration::from_millis(1)..=DEADLINE_MAX).contains(&value) => Ok(value),
        Ok(_) => Err(invalid(option, format!("{text} is out of range: give 1ms to 24h, as in 40s or 2m"))),
        Err(_) => Err(invalid(option, format!("{text:?} is not a time: give one such as 40s or 2m"))),
    }
}

fn bytes(option: &'static str, text: Option<String>, default: ByteSize) -> Result<u64, ConfigError> {
    let value = match text {
        None => default.as_u64(),
        Some(text) => text
            .parse::<ByteSize>()
            .map_err(|_| {
                invalid(option, format!("{text:?} is not a size: give bytes, or as in 500MB or 10GiB"))
            })?
            .as_u64(),
    };
    in_range(option, value, 1..=u64::MAX / 2)
}

/// A size that has no default, if it is given.
fn bytes_if_given(option: &'static str, text: Option<String>) -> Result<Option<u64>, ConfigError> {
    text.map(|text| bytes(option, Some(text), ByteSize::b(0))).transpose()
}

/// The default deadline and the greatest one.
fn deadlines(default: Option<String>, max: Option<String>) -> Result<(Duration, Duration), ConfigError> {
    let deadline = duration("deadline", default, Duration::from_secs(40))?;
    let max = duration("deadline-max", max, DEADLINE_MAX_DEFAULT.max(deadline))?;
    if max < deadline {
        let (max, deadline) = (humantime::format_duration(max), humantime::format_duration(deadline));
        return Err(invalid(
            "deadline-max",
            format!("{max} is less than --deadline, {deadline}: give at least that"),
        ));
    }
    Ok((deadline, max))
}

fn seeds(given: Option<List>) -> Result<Vec<String>, ConfigError> {
    let seeds = given.unwrap_or_default().into_values();
    for seed in &seeds {
        let port =
            seed.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(invalid(
                "join",
                format!("{seed:?} is not HOST:PORT, as in node2:5000 or [fd00::2]:5000"),
            ));
        }
    }
    Ok(seeds)
}

/// One of the score policy's weights.
fn weight(option: &'static str, given: Option<f64>, default: f64) -> Result<f64, ConfigError> {
    match given.unwrap_or(default) {
        weight if weight.is_finite() && weight >= 0.0 => Ok(weight),
        weight => Err(invalid(option, format!("{weight} is no weight: give a number from 0 on, as in 0.3"))),
    }
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
