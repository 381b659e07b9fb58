//! The certificate that clients see, and its change while the node runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{CLIENT_PROTOCOL, provider};
use crate::access::Stamp;

/// Where a node's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that lead from it to a root.
    pub chain: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Why they can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not there, not readable, or no PEM.
    #[error("--{option} (STARLING_{}): {path}: {source}", .option.to_uppercase().replace('-', "_"))]
    Unreadable {
        /// Which of the two.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// Nothing of the kind in it.
    #[error(
        "--tls-cert (STARLING_TLS_CERT): {path}: there is no certificate in it: give PEM, the node's own first"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Both are read, and don't fit.
    #[error(
        "--tls-cert {chain} and --tls-key {key} can't be used together: {source}; give the key that the certificate was \
         made for"
    )]
    Unusable {
        /// The certificate.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// What clients see, as it is now.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    stamps: RwLock<[Stamp; 2]>,
}

/// The certificate for handshakes that begin now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl CertificateFiles {
    fn stamps(&self) -> [Stamp; 2] {
        [Stamp::of(&self.chain), Stamp::of(&self.key)]
    }

    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let unreadable = |option, path: &PathBuf| {
            let path = path.clone();
            move |source| CertificateError::Unreadable { option, path, source }
        };
        let chain = CertificateDer::pem_file_iter(&self.chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unreadable("tls-cert", &self.chain))?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate { path: self.chain.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unreadable("tls-key", &self.key))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| CertificateError::Unusable {
            chain: self.chain.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

impl Certificate {
    /// The file with its private key.
    pub fn key_file(&self) -> &Path {
        &self.files.key
    }

    /// Reads it.
    pub fn read(files: CertificateFiles) -> Result<Self, CertificateError> {
        let stamps = files.stamps();
        let current = Arc::new(Current(RwLock::new(Arc::new(files.read()?))));
        let unusable = |source| CertificateError::Unusable {
            chain: files.chain.clone(),
            key: files.key.clone(),
            source,
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![CLIENT_PROTOCOL.to_vec()];
        Ok(Self { files, current, config: Arc::new(config), stamps: RwLock::new(stamps) })
    }

    /// Reads it again, if it has changed or `asked` to; one that can't be used changes nothing. Whether it was read.
    pub fn again(&self, asked: bool) -> Result<bool, CertificateError> {
        let stamps = self.files.stamps();
        if !asked && *self.stamps.read() == stamps {
            return Ok(false);
        }
        // One that can't be used is told of once.
        *self.stamps.write() = stamps;
        let read = self.files.read()?;
        *self.current.0.write() = Arc::new(read);
        Ok(true)
    }

    /// Where it is.
    pub const fn files(&self) -> &CertificateFiles {
        &self.files
    }

    #[cfg(test)]
    pub(super) fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.current.0.read().cert.clone()
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}
