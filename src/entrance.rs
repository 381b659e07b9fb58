//! How a service of this program is asked, a node or a monitor: under which names and by which pages, with which tokens, by which TLS.
//! Token file and certificate are read again when they change.

use std::path::PathBuf;
use std::sync::Arc;

use starling_overlay::Keyring;

use crate::access::{Access, Stamp, TokenFile};
use crate::config::NodeConfig;
use crate::gate::Gate;
use crate::tls::{Acceptor, Certificate, PeerTls};

/// What stands before a service's routes.
#[derive(Debug)]
pub struct Entrance {
    gate: Gate,
    access: Access,
    /// Whence the tokens are.
    token_file: Option<PathBuf>,
    certificate: Option<Arc<Certificate>>,
    /// What members are known by, where the cluster has a key.
    peers: Option<Arc<PeerTls>>,
}

impl Entrance {
    /// As a configuration says. `peers`: what members are known by.
    pub fn new(config: &NodeConfig, peers: Option<Arc<PeerTls>>) -> Self {
        Self {
            gate: Gate::new(config.hosts.clone(), config.origins.clone()),
            access: Access::new(config.tokens.as_ref()),
            token_file: config.tokens.as_ref().map(|file| file.path.clone()),
            certificate: config.certificate.clone(),
            peers,
        }
    }

    /// Under which names, and by which pages, it may be asked.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whom it lets in.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What its port speaks.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor { certificate: self.certificate.clone(), peers: self.peers.clone() }
    }

    /// Knows members by these keys of the cluster from now on.
    pub fn set_keys(&self, keys: &Keyring) {
        if let Some(Err(error)) = self.peers.as_ref().map(|tls| tls.set_keys(keys)) {
            tracing::error!(%error, "TLS with members stays by the keys of before");
        }
    }

    /// Takes the token file's and the certificate's new content, if they have changed or `asked` to; what can't be used changes nothing.
    pub async fn look_again(&self, asked: bool) {
        self.reload_tokens(asked).await;
        self.reload_certificate(asked).await;
    }

    async fn reload_certificate(&self, asked: bool) {
        let Some(certificate) = self.certificate.clone() else { return };
        let file = certificate.files().chain.display().to_string();
        match tokio::task::spawn_blocking(move || certificate.again(asked)).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!(file, "certificate read again"),
            Ok(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }

    async fn reload_tokens(&self, asked: bool) {
        let Some(path) = self.token_file.clone() else { return };
        let before = self.access.stamp();
        let read = move || (asked || Stamp::of(&path) != before).then(|| TokenFile::read(path));
        match tokio::task::spawn_blocking(read).await {
            Ok(None) => {}
            Ok(Some(Ok(file))) => {
                self.access.replace(&file);
                tracing::info!(file = %file.path.display(), tokens = file.tokens.len(), "tokens read again");
            }
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the tokens stay as they were");
                self.access.keep(self.token_file.as_deref().map(Stamp::of).unwrap_or_default());
            }
            Err(error) => tracing::error!(%error, "the tokens stay as they were"),
        }
    }
}
