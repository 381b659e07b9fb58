//! The options of `starling node` as a user gives them, each one optional.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Faults;
use super::{ConfigError, ConfigErrors, List};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a node does where its kernel lacks a part of ffmpeg's sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    /// It starts, and says in a warning what ffmpeg could do.
    #[default]
    Prefer,
    /// It does not start.
    Require,
}

/// Declares every option once: as a flag, as `STARLING_…` in the environment and as a key of the TOML file.
macro_rules! options {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty, env $env:literal, value $value:literal $(, bare $bare:literal)?;)+) => {
        /// Options of a node; a flag beats the environment, which beats the file.
        #[derive(Clone, Debug, Default, clap::Args, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct NodeOptions {
            $(
                $(#[doc = $doc])+
                #[arg(
                    long, env = $env, value_name = $value
                    $(, num_args = 0..=1, require_equals = true, default_missing_value = $bare)?
                )]
                pub $name: Option<$type>,
            )+
        }

        impl NodeOptions {
            /// These options, and `other`'s where these say nothing.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $( $name: self.$name.or(other.$name), )+ }
            }
        }
    };
}

options! {
    /// Name of this node, unique in the cluster [default: the host's name]
    name: String, env "STARLING_NAME", value "NAME";
    /// Zone this node stands in; nodes of one zone are near each other [default: default]
    zone: String, env "STARLING_ZONE", value "ZONE";
    /// UDP address for gossip [default: 0.0.0.0:5000]
    gossip: SocketAddr, env "STARLING_GOSSIP", value "IP:PORT";
    /// TCP address for HTTP [default: 0.0.0.0:5000]
    http: SocketAddr, env "STARLING_HTTP", value "IP:PORT";
    /// Address the others reach this node at; with a port where a NAT or a port mapping changes it: that of gossip (UDP), and of HTTP (TCP) too if --gossip and --http have one number [default: found from --gossip or the way to the seeds, and followed when it changes]
    advertise: String, env "STARLING_ADVERTISE", value "IP[:PORT]";
    /// TCP port the others reach this node's HTTP at, where it is neither that of --http nor that of --advertise
    advertise_http: u16, env "STARLING_ADVERTISE_HTTP", value "PORT";
    /// Members to join through, comma separated (in TOML a list); names are looked up again on each attempt
    join: List, env "STARLING_JOIN", value "HOST:PORT,…";
    /// Transcodes that run at once [default: half the cores, at least 1]
    workers: u16, env "STARLING_WORKERS", value "N";
    /// Jobs that may wait for a worker [default: 64]
    queue: u16, env "STARLING_QUEUE", value "N";
    /// Folder for uploads in progress and cached results [default: ./starling-data/NAME]
    data_dir: PathBuf, env "STARLING_DATA_DIR", value "DIR";
    /// Bytes of cached results to keep, as 500MB or 10GiB [default: 10GiB]
    cache_bytes: String, env "STARLING_CACHE_BYTES", value "SIZE";
    /// Largest upload taken, as 500MB or 2GiB [default: 4GiB]
    upload_bytes_max: String, env "STARLING_UPLOAD_BYTES_MAX", value "SIZE";
    /// Bytes that all uploads under way may take on disk, as 500MB or 10GiB; beyond them uploads are refused, and drive nothing out
    /// of the cache [default: what the disk has beyond --cache-bytes, at least half of it]
    incoming_bytes: String, env "STARLING_INCOMING_BYTES", value "SIZE";
    /// Of these, bytes that the uploads of one client (IPv4 address, IPv6 /64) may take [default: as many as are left for all
    /// others: half, for one alone]
    incoming_bytes_per_client: String, env "STARLING_INCOMING_BYTES_PER_CLIENT", value "SIZE";
    /// Connections served at once; fewer where the hard limit on open files is too low [default: 4096]
    connections_max: u32, env "STARLING_CONNECTIONS_MAX", value "N";
    /// Connections that one client (IPv4 address, IPv6 /64) may have here at once [default: a quarter of all, at most 1024]
    connections_per_client: u32, env "STARLING_CONNECTIONS_PER_CLIENT", value "N";
    /// Uploads that one client (IPv4 address, IPv6 /64) may have under way here at once [default: 256]
    uploads_per_client: u32, env "STARLING_UPLOADS_PER_CLIENT", value "N";
    /// Whether to start where ffmpeg's sandbox is not whole: prefer (start, and warn) or require (don't) [default: prefer]
    sandbox: SandboxMode, env "STARLING_SANDBOX", value "HOW";
    /// TOML files with profiles beside the built-in ones, comma separated (in TOML a list); `starling profiles check FILE` looks
    /// at one [default: none]
    profiles: List, env "STARLING_PROFILES", value "FILE,…";
    /// Encoders in hardware that profiles with `hardware = true` may use: auto (all that work), off, or kinds, comma separated: nvenc,
    /// qsv, vaapi, v4l2 [default: auto]
    hardware: String, env "STARLING_HARDWARE", value "KINDS";
    /// Routing policy: score, random, round-robin, least-loaded, p2c, prequal, waterfall or eta; see docs/OPERATIONS.md, "Routing policies" [default: eta, or score where a weight is given]
    policy: String, env "STARLING_POLICY", value "POLICY";
    /// Weight of load in the score policy [default: 0.3]
    load_weight: f64, env "STARLING_LOAD_WEIGHT", value "W";
    /// Weight of round-trip time in the score policy [default: 0.7]
    rtt_weight: f64, env "STARLING_RTT_WEIGHT", value "W";
    /// Time a request may take unless it says otherwise in X-Deadline-Ms [default: 40s]
    deadline: String, env "STARLING_DEADLINE", value "TIME";
    /// Most time that a request may ask for in X-Deadline-Ms [default: 1h, or --deadline where that is more]
    deadline_max: String, env "STARLING_DEADLINE_MAX", value "TIME";
    /// Time that a job's results are kept after it has come to its end [default: 24h]
    job_retention: String, env "STARLING_JOB_RETENTION", value "TIME";
    /// Time that an upload in parts is kept of which nothing more comes [default: 24h]
    upload_retention: String, env "STARLING_UPLOAD_RETENTION", value "TIME";
    /// Time running jobs get to finish after SIGTERM [default: 30s]
    drain: String, env "STARLING_DRAIN", value "TIME";
    /// Timing of failure detection: local, lan or wan [default: lan]
    timing: String, env "STARLING_TIMING", value "PROFILE";
    /// Name of the cluster; nodes of another one are ignored [default: starling]
    cluster: String, env "STARLING_CLUSTER", value "NAME";
    /// File with the cluster's keys, one a line as `starling key new` prints them; read again on SIGHUP [default: none]
    key_file: PathBuf, env "STARLING_KEY_FILE", value "FILE";
    /// Further names that clients ask this node by, comma separated (in TOML a list): NAME, .DOMAIN for a domain and all in it, or *
    /// [default: localhost, the node's, the members' and the machine's names, the hosts of --join]
    allow_host: List, env "STARLING_ALLOW_HOST", value "NAME,…";
    /// Origins of web pages that may ask this node, comma separated (in TOML a list), as `https://app.example.com`,
    /// or * [default: its own]
    allow_origin: List, env "STARLING_ALLOW_ORIGIN", value "ORIGIN,…";
    /// The certificate that clients see, and those that lead from it to its root, in PEM: they speak HTTPS then; read again when it changes;
    /// needs --tls-key and --key-file [default: none: they speak HTTP]
    tls_cert: PathBuf, env "STARLING_TLS_CERT", value "FILE";
    /// Its private key, in PEM
    tls_key: PathBuf, env "STARLING_TLS_KEY", value "FILE";
    /// Speak plain HTTP to the other nodes in spite of --key-file: while a cluster of a release without TLS is upgraded [default: false]
    plain_peers: bool, env "STARLING_PLAIN_PEERS", value "BOOL", bare "true";
    /// File with the tokens that clients need, as `starling token create` writes it; read again when it changes; needs --key-file
    /// [default: none: whoever reaches the port may ask for everything]
    token_file: PathBuf, env "STARLING_TOKEN_FILE", value "FILE";
    /// Give a result only to whoever sends the whole video or has the token that came with it; needs --key-file [default: false]
    private_results: bool, env "STARLING_PRIVATE_RESULTS", value "BOOL", bare "true";
    /// File with the secrets by which messages to clients' webhooks are signed, one a line as `whsec_` and Base64; the same at all nodes [default: none, and no webhooks]
    webhook_secret_file: PathBuf, env "STARLING_WEBHOOK_SECRET_FILE", value "FILE";
    /// Send webhooks to loopback, private and link-local addresses, too: whoever may upload can have this node ask there [default: false]
    webhook_allow_private: bool, env "STARLING_WEBHOOK_ALLOW_PRIVATE", value "BOOL", bare "true";
    /// Where spans of uploads go, by OTLP over HTTP: the base of a collector's URL, as `http://127.0.0.1:4318`; of a build with the
    /// feature `otlp` [default: none: no spans are made]
    otlp_endpoint: String, env "STARLING_OTLP_ENDPOINT", value "URL";
    /// Form of the log lines: text or json [default: text]
    log: LogFormat, env "STARLING_LOG", value "FORMAT";
}

/// Faults of one file that are told at once, at the most.
const FAULTS_MAX: usize = 100;

/// A text with spaces in place of the lines that this part of it lies in: all else stays where it is.
fn without_lines(text: &str, part: Range<usize>) -> String {
    let (start, end) = (part.start.min(text.len()), part.end.min(text.len()));
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let blank: String = text[begin..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    format!("{}{blank}{}", &text[..begin], &text[end..])
}

impl NodeOptions {
    /// Reads options from a TOML file whose keys are the long flags' names.
    pub fn from_file(path: &Path) -> Result<Self, ConfigErrors> {
        match Self::readable_of_file(path)? {
            (options, None) => Ok(options),
            (_, Some(faults)) => Err(faults),
        }
    }

    /// The same of what can be read of it, and what is wrong with the other lines.
    pub fn readable_of_file(path: &Path) -> Result<(Self, Option<ConfigErrors>), ConfigErrors> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::FileUnreadable { path: path.to_owned(), source })?;
        let (mut rest, mut faults) = (text.clone(), Faults::default());
        loop {
            let read = toml::from_str(&rest);
            let span = read.as_ref().err().and_then(toml::de::Error::span);
            let read = read.map_err(|error| ConfigError::in_file(path, &text, &error));
            let options = faults.keep(read);
            faults.sort_by_line();
            if let Some(options) = options {
                return Ok((options, faults.found()));
            }
            // Without the line that is wrong, the others may be right. Where the form is broken, what comes behind can't be told.
            let has_form = |text: &str| text.parse::<toml::Table>().is_ok();
            let span = span.filter(|_| faults.count() < FAULTS_MAX && has_form(&rest));
            match span.map(|span| without_lines(&rest, span)) {
                Some(left) if left != rest && has_form(&left) => rest = left,
                _ => return faults.found().map_or_else(|| unreachable!("one was kept"), Err),
            }
        }
    }
}
