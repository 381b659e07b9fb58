//! How a client command reaches nodes: with which token, and whose certificates it believes.

use std::path::PathBuf;

use starling::client::Client;
use starling::tls::Roots;

/// What goes with each request to a node.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Reach {
    /// Token, where nodes ask for one; the environment shows it to fewer than a command line
    #[arg(long, env = "STARLING_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,

    /// Root that signed the nodes' certificates, in PEM, for https:// addresses [default: the machine's roots]
    #[arg(long, env = "STARLING_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Reach {
    /// A client that goes so.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        let roots = self.ca.as_deref().map(Roots::of_file).transpose()?.unwrap_or_default();
        Ok(Client::trusting(roots).with_token(token)?)
    }
}
