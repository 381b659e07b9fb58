//! What a connection speaks that comes to a node's port, by its first bytes.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

use super::{Certificate, PEER_PROTOCOL, PeerTls, Stream};

/// First byte of a TLS handshake (RFC 8446, section 5.1); that of an HTTP request is a letter.
const HANDSHAKE: u8 = 22;
/// A fatal alert `handshake_failure`: what a client of TLS is told that there is no certificate for.
const NO_CERTIFICATE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// Takes connections as a node's configuration allows. Clones share all.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    /// What clients see; without, they speak plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
    /// What peers are known by; without a key of the cluster's, they speak plain HTTP.
    pub peers: Option<Arc<PeerTls>>,
}

/// Who is at the other end, as far as the connection proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Whoever it is.
    Anybody,
    /// A member of the cluster: it has the cluster's key.
    Member,
}

/// Why a connection is not served. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Plain HTTP, where there is a certificate: it is told so.
    #[error("plain HTTP came to a port that speaks TLS")]
    Plain(TcpStream),
    /// TLS by a client, where there is no certificate.
    #[error("TLS came from a client, and this node has no certificate: give --tls-cert and --tls-key")]
    NoCertificate,
    /// It broke, or the two did not agree.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Acceptor {
    /// Whether every client speaks TLS.
    pub const fn is_tls_only(&self) -> bool {
        self.certificate.is_some()
    }

    /// Looks at what comes, and agrees on TLS where that is it. Waits for the other end: the time is the caller's to bound.
    pub async fn accept(&self, tcp: TcpStream) -> Result<(Stream, Arrived), AcceptError> {
        if self.certificate.is_none() && self.peers.is_none() {
            return Ok((Stream::Plain(tcp), Arrived::Anybody));
        }
        let mut first = [0];
        if tcp.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if first[0] != HANDSHAKE {
            return if self.is_tls_only() {
                Err(AcceptError::Plain(tcp))
            } else {
                Ok((Stream::Plain(tcp), Arrived::Anybody))
            };
        }
        let handshake = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
        let is_peer =
            handshake.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == PEER_PROTOCOL));
        let (config, arrived) = match (&self.peers, &self.certificate) {
            (Some(peers), _) if is_peer => (peers.server(), Arrived::Member),
            (_, Some(certificate)) => (certificate.server(), Arrived::Anybody),
            _ => {
                let mut tcp = handshake.io;
                tcp.write_all(&NO_CERTIFICATE).await?;
                return Err(AcceptError::NoCertificate);
            }
        };
        let stream = handshake.into_stream(config).await?;
        Ok((Stream::Tls(Box::new(TlsStream::Server(stream))), arrived))
    }
}
