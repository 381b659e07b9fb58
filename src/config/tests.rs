use starling_placement::policy::PolicyKind;

use super::*;

fn check(options: NodeOptions) -> Result<NodeConfig, String> {
    NodeConfig::from_options(options).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_filled_in() {
    let config = check(NodeOptions { name: Some("node1".into()), ..NodeOptions::default() }).unwrap();
    assert_eq!(config.http.to_string(), "0.0.0.0:5000");
    assert_eq!(config.queue_capacity_jobs, 64);
    assert_eq!(config.deadline.as_secs(), 40);
    assert_eq!(config.uploads_per_client, 256, "a hundred from one address are no attack");
    assert_eq!(config.data_dir, std::path::Path::new("starling-data/node1"));
    assert_eq!(config.cache_bytes, 10 << 30);
    assert!(config.join.is_empty());
}

#[test]
fn weights_alone_mean_the_policy_that_has_them() {
    let kind = |policy: Option<&str>, load_weight, rtt_weight| {
        let name = Some("node1".into());
        let policy = policy.map(Into::into);
        let options = NodeOptions { name, policy, load_weight, rtt_weight, ..NodeOptions::default() };
        check(options).unwrap().policy.kind
    };
    assert_eq!(kind(None, None, None), PolicyKind::Eta);
    assert_eq!(kind(None, Some(0.8), None), PolicyKind::Score);
    assert_eq!(kind(None, None, Some(0.2)), PolicyKind::Score);
    assert_eq!(kind(Some("p2c"), Some(0.8), None), PolicyKind::P2c);
}

#[test]
fn each_bad_value_says_which_option_and_what_to_give() {
    type Set = fn(&mut NodeOptions);
    let cases: [(Set, &str); 21] = [
        (|o| o.name = Some("a b".into()), "--name (STARLING_NAME): \"a b\" is not a node name"),
        (|o| o.zone = Some(String::new()), "--zone (STARLING_ZONE): \"\" is not a zone name"),
        (|o| o.join = Some("node2".parse().unwrap()), "\"node2\" is not HOST:PORT"),
        (|o| o.join = Some("node2:0".parse().unwrap()), "\"node2:0\" is not HOST:PORT"),
        (|o| o.workers = Some(0), "--workers (STARLING_WORKERS): 0 is out of range: give 1 to 1024"),
        (
            |o| o.cache_bytes = Some("lots".into()),
            "--cache-bytes (STARLING_CACHE_BYTES): \"lots\" is not a size: give bytes",
        ),
        (
            |o| o.uploads_per_client = Some(0),
            "--uploads-per-client (STARLING_UPLOADS_PER_CLIENT): 0 is out of range",
        ),
        (
            |o| o.policy = Some("best".into()),
            "unknown policy \"best\": use one of score, random, round-robin, least-loaded, p2c, prequal, waterfall, eta",
        ),
        (|o| o.load_weight = Some(-1.0), "--load-weight (STARLING_LOAD_WEIGHT): -1 is no weight"),
        (|o| o.rtt_weight = Some(f64::NAN), "--rtt-weight (STARLING_RTT_WEIGHT): NaN is no weight"),
        (
            |o| (o.load_weight, o.rtt_weight) = (Some(0.0), Some(0.0)),
            "--load-weight (STARLING_LOAD_WEIGHT): weights must be finite, not negative and not both zero",
        ),
        (|o| o.deadline = Some("soon".into()), "--deadline (STARLING_DEADLINE): \"soon\" is not a time"),
        (|o| o.cluster = Some(String::new()), "--cluster (STARLING_CLUSTER): a cluster's name has 1 to"),
        (|o| o.deadline = Some("0s".into()), "--deadline (STARLING_DEADLINE): 0s is out of range"),
        (
            |o| o.private_results = Some(true),
            "--private-results (STARLING_PRIVATE_RESULTS): it needs a key: give --key-file",
        ),
        (
            |o| o.allow_host = Some("http://a".parse().unwrap()),
            "--allow-host (STARLING_ALLOW_HOST): \"http://a\" is no name of a host: give names as in",
        ),
        (
            |o| o.allow_origin = Some("a.example".parse().unwrap()),
            "--allow-origin (STARLING_ALLOW_ORIGIN): \"a.example\" is no origin: give SCHEME://HOST[:PORT]",
        ),
        (
            |o| o.advertise = Some("node1:5000".into()),
            "--advertise (STARLING_ADVERTISE): \"node1:5000\" is not an",
        ),
        (|o| o.advertise_http = Some(0), "--advertise-http (STARLING_ADVERTISE_HTTP): 0 is out of range"),
        (|o| o.name = Some("..".into()), "--name (STARLING_NAME): \"..\" is not a node name"),
        (|o| o.zone = Some(".".into()), "--zone (STARLING_ZONE): \".\" is not a zone name"),
    ];
    for (set, expected) in cases {
        let mut options = NodeOptions { name: Some("node1".into()), ..NodeOptions::default() };
        set(&mut options);
        let error = check(options).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_flag_beats_the_file_and_a_file_with_an_unknown_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, "name = \"from-file\"\nzone = \"FRA\"\nload-weight = 0.5\n").unwrap();
    let flags = NodeOptions { name: Some("from-flag".into()), ..NodeOptions::default() };
    let config = check(flags.or(NodeOptions::from_file(&path).unwrap())).unwrap();
    assert_eq!((config.name.as_str(), config.zone.as_str()), ("from-flag", "FRA"));

    for join in ["join = [\"a:1\", \" b:2 \"]\n", "join = \"a:1,b:2,\"\n"] {
        std::fs::write(&path, format!("name = \"n\"\n{join}")).unwrap();
        assert_eq!(check(NodeOptions::from_file(&path).unwrap()).unwrap().join, ["a:1", "b:2"], "{join}");
    }
    std::fs::write(&path, "join = 7\n").unwrap();
    let error = NodeOptions::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("a list such as"), "{error}");

    std::fs::write(&path, "deadline = 5\n").unwrap();
    let error = NodeOptions::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("deadline = 5") && error.contains("with its unit: \"40s\""), "{error}");

    std::fs::write(&path, "nmae = \"typo\"\n").unwrap();
    let error = NodeOptions::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("line 1 (nmae = \"typo\"): unknown field") && !error.contains('\n'), "{error}");
    assert!(
        NodeOptions::from_file(&dir.path().join("none.toml")).unwrap_err().to_string().contains("none.toml")
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let options = NodeOptions {
        name: Some("a b".into()),
        workers: Some(0),
        load_weight: Some(-1.0),
        rtt_weight: Some(f64::NAN),
        deadline: Some("2m".into()),
        deadline_max: Some("1m".into()),
        private_results: Some(true),
        ..NodeOptions::default()
    };
    let error = NodeConfig::from_options(options).unwrap_err();
    let told: Vec<_> =
        error.iter().map(|error| error.to_string().split(' ').next().unwrap().to_owned()).collect();
    let expected =
        ["--name", "--workers", "--load-weight", "--rtt-weight", "--deadline-max", "--private-results"];
    assert_eq!(told, expected);
    assert_eq!(error.to_string().lines().count(), told.len());
    // So of a file: each line is told with its own number; what is behind a broken form is not guessed at.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    let lines = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let told = NodeOptions::readable_of_file(&path);
        let told = told.map_or_else(Some, |(options, told)| {
            assert_eq!(options.zone.as_deref(), Some("FRA"), "what can be read is read");
            told
        });
        let told = told.iter().flat_map(ConfigErrors::iter).map(ToString::to_string);
        told.map(|told| told.split("line ").nth(1).unwrap().chars().next().unwrap()).collect::<String>()
    };
    assert_eq!(lines("zone = \"FRA\"\n"), "");
    assert_eq!(lines("nmae = \"é\"\nworkers = \"x\"\nzone = \"FRA\"\nqueue = -1\n"), "124");
    assert_eq!(lines("nmae = \"é\"\nzone = \n queue = -1\n"), "2");
}

#[test]
fn the_example_has_every_key_and_can_be_used() {
    // What is behind a # without a space is a key.
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let table: toml::Table = text.parse().unwrap();
    let command = <NodeOptions as clap::Args>::augment_args(clap::Command::new("node"));
    let mut known: Vec<_> =
        command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    let mut given: Vec<_> = table.keys().cloned().collect();
    known.sort();
    given.sort();
    assert_eq!(given, known);
    let mut options: NodeOptions = toml::from_str(&text).unwrap();
    // Files that are not there.
    (options.key_file, options.tls_cert, options.tls_key, options.token_file) = (None, None, None, None);
    (options.webhook_secret_file, options.otlp_endpoint) = (None, None);
    check(options).unwrap();
    // As it is printed, it is a configuration, too.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, EXAMPLE).unwrap();
    assert!(NodeOptions::from_file(&path).unwrap().name.is_none(), "all keys are left open");
}

#[test]
fn tls_needs_a_certificate_and_its_key_and_the_clusters() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| Some(dir.path().join(name));
    let told = |options: NodeOptions| check(NodeOptions { name: Some("a".into()), ..options }).unwrap_err();
    let base = NodeOptions::default;
    assert!(told(NodeOptions { tls_cert: path("c"), ..base() }).contains("give --tls-key"));
    assert!(told(NodeOptions { tls_key: path("c"), ..base() }).contains("give --tls-cert"));
    let both = || NodeOptions { tls_cert: path("c"), tls_key: path("k"), ..base() };
    assert!(told(both()).contains("give --key-file, too"));
    KeyFile::create(&dir.path().join("key")).unwrap();
    let keyed = || NodeOptions { key_file: path("key"), ..both() };
    assert!(told(keyed()).contains("--tls-cert (STARLING_TLS_CERT)"));
    assert!(told(NodeOptions { plain_peers: Some(true), ..keyed() }).contains("give one of the two"));
    let token = NodeOptions { token_file: path("t"), ..base() };
    assert!(told(token).contains("--token-file (STARLING_TOKEN_FILE): without the cluster's key"));
}

#[test]
fn the_advertised_address_is_the_bound_one_when_there_is_one() {
    let options = NodeOptions {
        name: Some("node1".into()),
        gossip: Some("127.0.0.1:0".parse().unwrap()),
        ..NodeOptions::default()
    };
    assert_eq!(check(options).unwrap().advertised_ip().to_string(), "127.0.0.1");
}
