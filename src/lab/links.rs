//! The links between the lab's nodes, as the zone file says; by whichever backend the kernel has.

use std::path::Path;
use std::sync::Arc;

use starling_netem::control::Holder;
use starling_netem::{Backend, End, Netns, Node, Scope, ShapeError, Shaping, Zones};

use super::network::{NODE_DEVICE, Network};
use super::{LabError, NodePlan};

/// What is to shape the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LinkBackend {
    /// The best that the kernel has; none, with a warning, if it has none.
    Auto,
    /// Kernel netem.
    Tc,
    /// The shaper in user space.
    Nfqueue,
    /// Nothing: links as fast as the machine.
    None,
}

impl LinkBackend {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tc => "tc",
            Self::Nfqueue => "nfqueue",
            Self::None => "none",
        }
    }

    fn forced(self) -> Option<Backend> {
        match self {
            Self::Tc => Some(Backend::Tc),
            Self::Nfqueue => Some(Backend::Nfqueue),
            Self::Auto | Self::None => None,
        }
    }
}

/// Only the lab's user gives orders.
const SOCKET_MODE: u32 = 0o600;

/// The shaped ends of all nodes, which take the orders of the `netem` command; restored when dropped.
pub(super) struct Links(Option<Arc<Holder>>);

impl Links {
    /// Links that nothing shapes.
    pub(super) fn unshaped() -> Self {
        Self(None)
    }

    /// Shapes the links of the first nodes. Needs their places to be there.
    pub(super) async fn shape(
        wanted: LinkBackend,
        zones: &Zones,
        network: &Network,
        nodes: &[NodePlan],
        socket: &Path,
    ) -> Result<Self, LabError> {
        let ends: Vec<_> = nodes.iter().filter_map(|node| end(network, node)).collect();
        let Some(sample) = ends.first().cloned().filter(|_| wanted != LinkBackend::None) else {
            return match wanted {
                LinkBackend::Auto | LinkBackend::None => Ok(Self(None)),
                LinkBackend::Tc | LinkBackend::Nfqueue => Err(LabError::Unshapeable(wanted.name())),
            };
        };
        let zones = zones.clone();
        let socket = socket.to_owned();
        let shaped = blocking(move || {
            let mut shaping = Shaping::new(zones, Scope::All, wanted.forced(), &sample)?;
            ends.into_iter().try_for_each(|end| shaping.add(end))?;
            Ok(Holder::start(shaping, &socket, SOCKET_MODE, None)?)
        });
        match shaped.await {
            Ok(holder) => Ok(Self(Some(Arc::new(holder)))),
            Err(LabError::Shape(error @ ShapeError::NoBackend { .. })) if wanted == LinkBackend::Auto => {
                tracing::warn!(
                    "LINKS ARE NOT SHAPED: every round trip is as short as this machine makes it ({error})"
                );
                Ok(Self(None))
            }
            Err(error) => Err(error),
        }
    }

    /// Shapes one more node.
    pub(super) async fn add(&self, network: &Network, node: &NodePlan) -> Result<(), LabError> {
        let (Some(end), Some(holder)) = (end(network, node), self.0.clone()) else { return Ok(()) };
        blocking(move || holder.add(end)).await
    }

    /// `tc`, `nfqueue` or `none`.
    pub(super) fn backend(&self) -> &'static str {
        self.0.as_ref().and_then(|holder| holder.backend()).map_or("none", Backend::name)
    }
}

/// A node's end, where it has a device of its own.
fn end(network: &Network, node: &NodePlan) -> Option<End> {
    Some(End {
        node: Node { name: node.name.clone(), zone: node.zone.clone(), addresses: vec![node.address.into()] },
        netns: Netns::Path(network.namespace(&node.name)?),
        device: NODE_DEVICE.to_owned(),
    })
}

/// The shaper runs commands and waits for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ShapeError> + Send + 'static,
) -> Result<T, LabError> {
    let joined = tokio::task::spawn_blocking(work).await;
    let failed =
        |error| LabError::Process { what: "the shaper".to_owned(), source: std::io::Error::other(error) };
    Ok(joined.map_err(failed)??)
}
