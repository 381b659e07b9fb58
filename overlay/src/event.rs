//! What happens in the cluster, as this node sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{ClusterIdentity, Identity, Incarnation, NodeName, Rtt};

/// The member an event is about, as it was when the event happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// What it says of itself.
    pub identity: Arc<Identity>,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Round-trip time to it, where measured.
    pub rtt: Option<Rtt>,
}

/// Something happened to the membership.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A member not known before.
    Joined(Subject),
    /// It does not answer somebody.
    Suspected {
        /// Who is suspected.
        member: Subject,
        /// Who says so; none if not known by name here.
        by: Option<NodeName>,
    },
    /// A suspected member showed that it lives.
    Refuted(Subject),
    /// A suspected member did not refute in time.
    Failed(Subject),
    /// A member said that it leaves.
    Left(Subject),
    /// A member that had failed, left or restarted is back.
    Rejoined(Subject),
    /// A member has changed its address.
    Moved {
        /// The member, at its new address.
        member: Subject,
        /// Where it was.
        from: SocketAddr,
    },
    /// A member answers from another address than it says that it has. Gossip finds it there, HTTP may not.
    Elsewhere {
        /// The member.
        member: Subject,
        /// Where it answers from.
        heard_at: SocketAddr,
    },
    /// A member has another protocol period than this node, and all members need the same. One such member is told of in a while.
    OtherTiming {
        /// The member.
        member: Subject,
        /// Its period.
        theirs: Duration,
        /// This node's.
        ours: Duration,
    },
    /// Another live node uses this node's name. The one that started later keeps it.
    NameConflict {
        /// The name.
        name: NodeName,
        /// Where the other node is.
        other: SocketAddr,
        /// Whether the cluster takes the other one for the bearer of the name.
        superseded: bool,
    },
    /// This node takes itself for a member of another cluster than before, or its cluster has settled.
    Cluster {
        /// The cluster now.
        identity: ClusterIdentity,
        /// The one before.
        before: ClusterIdentity,
    },
    /// This node itself was held up (its process stopped or starved of CPU, its machine asleep) and runs again.
    Thawed {
        /// How long after it wanted to do something it came to it.
        late: Duration,
    },
    /// A disturbance has lasted for ten periods or more, or this node has heard nobody for as long. Told again now and then.
    NotConverged {
        /// For how long.
        time: Duration,
        /// Members believed alive of which nothing was heard for ten periods, and perhaps never.
        unheard: usize,
        /// Some of them, eight at most.
        names: Vec<NodeName>,
    },
    /// After a disturbance the view has come to rest and the live members hold the same live set.
    Converged(Convergence),
}

/// How the cluster came to rest after a disturbance.
#[derive(Clone, Debug, PartialEq)]
pub struct Convergence {
    /// Live members, this node among them.
    pub members: usize,
    /// From the disturbance's begin to the last change of this node's view. It begins with the node's start, with the first
    /// ping that a member did not answer which then failed (or the first word of doubts about it), or with another change.
    pub elapsed: Duration,
    /// The same in protocol periods.
    pub periods: f64,
    /// The member whose coming, going or silence was the first sign of it; none where that was this node's own start, or that it heard
    /// of nobody.
    pub about: Option<NodeName>,
}
