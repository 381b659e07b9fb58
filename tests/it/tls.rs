//! TLS: clients by a certificate, which changes while the node runs; nodes by the cluster's key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use starling::config::KeyFile;

use crate::support::{Clip, Cluster, Node, NodeOptions, eventually};

/// A root of trust, and what it signs.
pub struct Root {
    pub pem: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    pub fn new(pem: PathBuf) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each has a name of its own: of one name and another key, curl says only that it can't read it.
        let name = format!("a root of these tests, {}", pem.display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this machine, and its key.
    pub fn sign(&self, folder: &Path) {
        self.sign_for(folder, &["127.0.0.1", "localhost"]);
    }

    /// A certificate for these names and addresses, and its key.
    pub fn sign_for(&self, folder: &Path, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        // Another one than its root's: curl would take it for a root.
        params.distinguished_name.push(DnType::CommonName, "a node of these tests");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // The key first: whoever looks between the two finds a pair that does not fit, and looks again.
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    }
}

fn with_tls(options: NodeOptions, folder: &Path) -> NodeOptions {
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    options
        .arg("--policy=round-robin")
        .arg(file("key-file", "key"))
        .arg(file("tls-cert", "tls.crt"))
        .arg(file("tls-key", "tls.key"))
}

fn curl(ca: &Path, node: &Node, path: &str, args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "120", "-D", "-", "--cacert"]).arg(ca).args(args);
    command.arg(format!("https://{}{path}", node.http_address)).output().unwrap()
}

fn starling(args: &[&str], ca: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command
        .args(args)
        .arg("--ca")
        .arg(ca)
        .env_remove("RUST_LOG")
        .env_remove("STARLING_NODE")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn nodes_with_certificates_offload_to_each_other_and_clients_see_whom_they_ask() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    KeyFile::create(&dir.join("key")).unwrap();
    let (root, other) = (Root::new(dir.join("root.pem")), Root::new(dir.join("other.pem")));
    root.sign(dir);
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| with_tls(options, dir)).await;
    let node = &cluster.nodes[0];
    let clip = dir.join("clip.mp4");
    for tag in 0..2 {
        std::fs::write(&clip, Clip { tag, ..Clip::default() }.make()).unwrap();
        let (out, file) = (dir.join("out.mp4"), format!("@{}", clip.display()));
        let sent = curl(&root.pem, node, "/upload", &["-o", out.to_str().unwrap(), "--data-binary", &file]);
        let head = text(&sent.stdout);
        assert!(sent.status.success() && head.contains("200 OK"), "{head} {}", text(&sent.stderr));
        let (codec, ..) = crate::support::probe_video(&std::fs::read(&out).unwrap());
        assert_eq!(codec, "h264");
    }
    cluster.nodes[1].logged("job done for a peer", |line| line["from"] == "node1").await;

    // Another root: curl and starling say so, each in its words, and nothing was sent.
    let refused = curl(&other.pem, node, "/health", &[]);
    assert_eq!(refused.status.code(), Some(60), "{}", text(&refused.stderr));
    let https = format!("https://{}", node.http_address);
    let refused = starling(&["members", "--node", &https], &other.pem);
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.contains("invalid peer certificate"), "{told}");
    let members = starling(&["members", "--json", "--node", &https], &root.pem);
    assert!(members.status.success(), "{}", text(&members.stderr));
    let sent = starling(
        &["upload", clip.to_str().unwrap(), "--node", &https, "--output-dir", dir.to_str().unwrap()],
        &root.pem,
    );
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    // Plain HTTP is told where to go.
    let plain = node.http.get("/health").await;
    plain.assert_problem(400, "https-needed");

    // Another certificate, of another root: read by itself, and nobody is cut off meanwhile.
    other.sign(dir);
    node.logged("certificate read again", |_| true).await;
    eventually("the new certificate is shown", async || {
        curl(&other.pem, node, "/health", &[]).status.success()
    })
    .await;
    std::fs::write(dir.join("tls.crt"), "nothing").unwrap();
    let line = node.logged("the certificate stays as it was", |line| {
        line["error"].as_str().is_some_and(|error| error.contains("there is no certificate in it"))
    });
    line.await;
    assert!(curl(&other.pem, node, "/health", &[]).status.success());
}
