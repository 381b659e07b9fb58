//! The links between the lab's nodes, as the zone file says; by whichever backend the kernel has.

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

/// The shaped ends of all nodes; restored when dropped.
pub(super) struct Links(Option<Shaping>);

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
    ) -> Result<Self, LabError> {
        let ends: Vec<_> = nodes.iter().filter_map(|node| end(network, node)).collect();
        let Some(sample) = ends.first().cloned().filter(|_| wanted != LinkBackend::None) else {
            return match wanted {
                LinkBackend::Auto | LinkBackend::None => Ok(Self(None)),
                LinkBackend::Tc | LinkBackend::Nfqueue => Err(LabError::Unshapeable(wanted.name())),
            };
        };
        let zones = zones.clone();
        let shaped = blocking(move || {
            let mut shaping = Shaping::new(zones, Scope::All, wanted.forced(), &sample)?;
            ends.into_iter().try_for_each(|end| shaping.add(end))?;
            Ok(shaping)
        });
        match shaped.await {
            Ok(shaping) => Ok(Self(Some(shaping))),
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
    pub(super) async fn add(&mut self, network: &Network, node: &NodePlan) -> Result<(), LabError> {
        let (Some(end), Some(mut shaping)) = (end(network, node), self.0.take()) else { return Ok(()) };
        let (shaping, added) = blocking(move || {
            let added = shaping.add(end);
            Ok((shaping, added))
        })
        .await?;
        self.0 = Some(shaping);
        Ok(added?)
    }

    /// `tc`, `nfqueue` or `none`.
    pub(super) fn backend(&self) -> &'static str {
        self.0.as_ref().map_or("none", |shaping| shaping.backend().name())
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
