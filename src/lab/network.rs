//! The lab's network: a namespace with a bridge, a namespace a node, a veth pair between them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::command::{self, words};
use super::{LabError, NodePlan};

/// Gossip and HTTP of every node inside the lab.
pub(super) const NODE_PORT: u16 = 5000;
/// The device a node has, as in a container.
pub(super) const NODE_DEVICE: &str = "eth0";
const SWITCH: &str = "switch";
const BRIDGE: &str = "br0";
/// Nodes that commands are run for at the same time: each is given seconds, and a machine has few processors.
const NODES_AT_ONCE: usize = 8;

/// Where nodes live.
#[derive(Debug)]
pub(super) enum Network {
    /// Each in its own namespace.
    Namespaces(Namespaces),
    /// All on 127.X.0.0/16.
    Loopback(Loopback),
}

/// Network namespaces, each held by a file in `folder`: a mount that only the supervisor's mount namespace has.
#[derive(Debug)]
pub(super) struct Namespaces {
    folder: PathBuf,
}

/// The second byte of the loopback addresses: labs that run side by side differ in it.
#[derive(Debug)]
pub(super) struct Loopback {
    octet: u8,
}

impl Network {
    /// Removes what has to be removed before the lab's folder can be.
    pub(super) fn close(&self) -> Result<(), LabError> {
        match self {
            Self::Namespaces(namespaces) => unmount(&namespaces.folder, UnmountFlags::DETACH)
                .map_err(|errno| LabError::file("unmount", &namespaces.folder)(errno.into())),
            Self::Loopback(_) => Ok(()),
        }
    }

    /// Makes the nodes' places. All `subnets` are one hop away: the bridge joins them.
    pub(super) async fn add(&self, nodes: &[NodePlan], subnets: &[String]) -> Result<(), LabError> {
        let Self::Namespaces(namespaces) = self else { return Ok(()) };
        for_each_node(nodes, async |node| namespaces.add(node, subnets).await).await
    }

    /// Tells every node the others' hardware addresses.
    ///
    /// What the kernel finds out by ARP goes into a table that all namespaces share, of 1,024 entries by default: fewer
    /// than a lab of fifty nodes needs. Entries that were made by hand are not counted.
    pub(super) async fn introduce(&self, nodes: &[NodePlan]) -> Result<(), LabError> {
        let Self::Namespaces(namespaces) = self else { return Ok(()) };
        for_each_node(nodes, async |node| {
            let others = nodes.iter().filter(|other| other.number != node.number);
            let lines = others.map(|other| {
                let hardware = hardware_address(other.address);
                format!("neigh replace {} lladdr {hardware} dev {NODE_DEVICE} nud permanent\n", other.address)
            });
            namespaces.ip(&node.name, &lines.collect::<String>()).await
        })
        .await
    }

    /// Where a node gossips and serves HTTP to the other nodes.
    pub(super) fn address(&self, planned: Ipv4Addr) -> SocketAddrV4 {
        match self {
            Self::Namespaces(_) => SocketAddrV4::new(planned, NODE_PORT),
            Self::Loopback(loopback) => {
                let [_, _, zone, number] = planned.octets();
                SocketAddrV4::new(Ipv4Addr::new(127, loopback.octet, zone, number), NODE_PORT)
            }
        }
    }

    /// The file of a node's network namespace.
    pub(super) fn namespace(&self, node: &str) -> Option<PathBuf> {
        match self {
            Self::Namespaces(namespaces) => Some(namespaces.file(node)),
            Self::Loopback(_) => None,
        }
    }

    /// What a command line begins with to run in a node's place.
    pub(super) fn enter(&self, node: &str) -> Vec<String> {
        match self {
            Self::Namespaces(namespaces) => enter(&namespaces.file(node)),
            Self::Loopback(_) => Vec::new(),
        }
    }
}

/// Does this for all nodes, a few at a time; ends with the first that fails.
async fn for_each_node<'a>(
    nodes: &'a [NodePlan],
    act: impl AsyncFn(&'a NodePlan) -> Result<(), LabError>,
) -> Result<(), LabError> {
    stream::iter(nodes).map(|node| act(node)).buffer_unordered(NODES_AT_ONCE).try_collect().await
}

impl Loopback {
    /// Spreads labs over 127.64-127.253; two labs at once with one remainder are refused their port by the kernel.
    pub(super) fn new(id: &str) -> Self {
        let sum = id.bytes().fold(0u64, |sum, byte| sum * 31 % 190 + u64::from(byte));
        Self { octet: 64 + (sum % 190) as u8 }
    }
}

impl Namespaces {
    /// Makes the switch. `folder` becomes a file system of this mount namespace alone.
    pub(super) async fn create(folder: &Path) -> Result<Self, LabError> {
        mount(
            "starling-lab",
            folder,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            Some(c"mode=0700"),
        )
        .map_err(|errno| LabError::file("mount a tmpfs on", folder)(errno.into()))?;
        let namespaces = Self { folder: folder.to_owned() };
        namespaces.create_namespace(SWITCH).await?;
        let batch = format!(
            "link set lo up\n\
             link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link set {BRIDGE} up\n"
        );
        namespaces.ip(SWITCH, &batch).await?;
        Ok(namespaces)
    }

    async fn add(&self, node: &NodePlan, subnets: &[String]) -> Result<(), LabError> {
        self.create_namespace(&node.name).await?;
        let port = format!("port{}", node.number);
        let batch = format!(
            "link add {port} type veth peer name {NODE_DEVICE} netns {}\n\
             link set {port} master {BRIDGE} up\n",
            self.file(&node.name).display()
        );
        self.ip(SWITCH, &batch).await?;
        let mut batch = format!(
            "link set lo up\n\
             link set {NODE_DEVICE} address {}\n\
             addr add {}/32 dev {NODE_DEVICE}\n\
             link set {NODE_DEVICE} up\n",
            hardware_address(node.address),
            node.address
        );
        for subnet in subnets {
            batch.push_str("route add ");
            batch.push_str(subnet);
            batch.push_str(" dev ");
            batch.push_str(NODE_DEVICE);
            batch.push('\n');
        }
        self.ip(&node.name, &batch).await
    }

    async fn create_namespace(&self, name: &str) -> Result<(), LabError> {
        let file = self.file(name);
        std::fs::File::create(&file).map_err(LabError::file("create", &file))?;
        let argv = words(&["unshare", &format!("--net={}", file.display()), "true"]);
        Ok(command::run(&argv, "").await.map(drop)?)
    }

    async fn ip(&self, name: &str, batch: &str) -> Result<(), LabError> {
        let mut argv = enter(&self.file(name));
        argv.extend(words(&["ip", "-batch", "-"]));
        Ok(command::run(&argv, batch).await.map(drop)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Locally administered, and as unique as the address.
fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn enter(namespace: &Path) -> Vec<String> {
    words(&["nsenter", &format!("--net={}", namespace.display()), "--"])
}
