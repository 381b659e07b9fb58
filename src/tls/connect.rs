//! Connections to nodes, for hyper's client: plain, by a certificate, or as a member of the cluster.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, TlsStream};
use tower_service::Service;

use super::{CLIENT_PROTOCOL, PeerTls, Stream, provider};

/// Makes connections to `http` and `https` addresses.
#[derive(Clone, Debug)]
pub struct Connector {
    tcp: HttpConnector,
    trust: Trust,
    /// Longest that the connection may take, and then TLS on it.
    timeout: Duration,
}

/// By what the other end of TLS is known.
#[derive(Clone, Debug)]
enum Trust {
    Roots(Roots),
    Peers(Arc<PeerTls>),
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub struct Roots(Option<Arc<ClientConfig>>);

/// Why the file of roots can't be used.
#[derive(Debug, thiserror::Error)]
#[error("--ca (STARLING_CA): {path}: {reason}; give PEM, of the root that signed the nodes' certificates")]
pub struct RootsError {
    path: PathBuf,
    reason: String,
}

impl Roots {
    /// Those of a file alone.
    pub fn of_file(path: &Path) -> Result<Self, RootsError> {
        let failed = |reason: String| RootsError { path: path.to_owned(), reason };
        let mut roots = RootCertStore::empty();
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in read.map_err(|error| failed(error.to_string()))? {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        config(roots).map(|config| Self(Some(config))).map_err(|error| failed(error.to_string()))
    }

    /// These, or those of the machine.
    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = &self.0 {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(io::Error::other("this machine has no roots of trust: give --ca"));
        }
        config(roots).map_err(io::Error::other)
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![CLIENT_PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

impl Connector {
    /// To nodes whose certificates lead to these roots.
    pub fn to_nodes(roots: Roots, timeout: Duration) -> Self {
        Self::new(Trust::Roots(roots), timeout)
    }

    /// To peers, as a member.
    pub fn to_peers(peers: Arc<PeerTls>, timeout: Duration) -> Self {
        Self::new(Trust::Peers(peers), timeout)
    }

    fn new(trust: Trust, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(timeout));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, trust, timeout }
    }
}

/// The name that a certificate has to have.
fn server_name(uri: &Uri) -> io::Result<ServerName<'static>> {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (secure, name) = (uri.scheme_str() == Some("https"), server_name(&uri));
        let (connecting, trust, timeout) = (self.tcp.call(uri), self.trust.clone(), self.timeout);
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            if !secure {
                return Ok(TokioIo::new(Stream::Plain(tcp)));
            }
            let config = match trust {
                Trust::Roots(roots) => roots.config()?,
                Trust::Peers(peers) => peers.client(),
            };
            let handshake = TlsConnector::from(config).connect(name?, tcp);
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "TLS was not agreed on in time");
            let stream = tokio::time::timeout(timeout, handshake).await.map_err(late)??;
            Ok(TokioIo::new(Stream::Tls(Box::new(TlsStream::Client(stream)))))
        })
    }
}
