//! How a client command reaches nodes: with which token.

use starling::client::Client;

/// What goes with each request to a node.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Reach {
    /// Token, where nodes ask for one; the environment shows it to fewer than a command line
    #[arg(long, env = "STARLING_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

impl Reach {
    /// A client that goes so.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        Ok(Client::new().with_token(token)?)
    }
}
