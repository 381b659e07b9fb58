//! TLS: for clients by a certificate, between nodes by the cluster's key.
//!
//! ```text
//!  client --TLS, the certificate of --tls-cert-->  one port  <--TLS, both by the cluster's key-- peer
//!                                                     ^
//!                              plain HTTP, where there is no certificate
//! ```
//!
//! Nodes need no certificates among themselves: each derives one key pair from the cluster's key, the same everywhere, and both ends
//! of a connection show it as a raw public key (RFC 7250). Whoever has another key, or none, gets no further than the handshake; and
//! since the keys of a connection are made anew for it, who learns the cluster's key later reads nothing of what was recorded. Which
//! node answers is proved above that, by [`crate::auth`]. A peer names the protocol [`PEER_PROTOCOL`] (ALPN), so that one port serves
//! both kinds.

mod accept;
mod certificate;
mod connect;
mod peer;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use accept::{AcceptError, Acceptor, Arrived};
pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use connect::{Connector, Roots, RootsError};
pub use peer::PeerTls;
pub use stream::Stream;

/// ALPN of connections between nodes.
pub const PEER_PROTOCOL: &[u8] = b"starling-peer/1";
/// ALPN of clients' connections.
const CLIENT_PROTOCOL: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
