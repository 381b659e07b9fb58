//! What faults did. A fault that was injected must show here.

use serde::Serialize;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of what faults did.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Fired {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Fired {
            /// Each counter by its name.
            pub fn counters(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Adds those of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Datagrams lost by chance.
    lost,
    /// Datagrams that a partition or a blocked direction stopped.
    blocked,
    /// Datagrams that met a flapping link while it was down.
    flapped,
    /// Datagrams that were too large for a link and vanished.
    swallowed,
    /// Datagrams that came to a full socket.
    overflowed,
    /// Datagrams that arrived twice.
    duplicated,
    /// Datagrams that arrived after one that was sent later.
    reordered,
    /// Datagrams that took longer than any timeout.
    delayed,
    /// Datagrams that arrived damaged.
    corrupted,
    /// Datagrams that were delivered again seconds or minutes later.
    replayed,
    /// Those among them that found another boot of their receiver.
    replayed_after_restart,
    /// Datagrams that came from another port than their sender's own.
    rebound,
    /// Datagrams to a port that a NAT had given up.
    misdirected,
    /// Datagrams that waited in the socket of a stopped process.
    put_off,
    /// Messages that a node kept back, or left unread, because it was slow.
    held,
    /// Datagrams that a slow receiver looked at late.
    slowed,
    /// Times that a node starved of CPU was stopped.
    starved,
    /// Datagrams that waited until their receiver had CPU time for them.
    backlogged,
    /// Nodes killed.
    killed,
    /// Those among them that died with most of the cluster.
    mass_killed,
    /// Nodes started again.
    restarted,
    /// Nodes that left.
    left,
    /// Nodes started again with a clock that was set to another time.
    clock_steps,
    /// Nodes started again at another address.
    moved,
    /// Nodes started again at the address of another one.
    swapped,
    /// Nodes started again with other versions of the wire format.
    upgraded,
    /// Keyrings changed.
    rekeyed,
}

/// Counters whose faults meet many datagrams: after so many, one that is still zero means that the fault does nothing.
const MET_MIN: u64 = 1_000;

/// Names of the faults that met many datagrams and did nothing: `met` counts what they should have hit.
pub(super) fn idle_faults(met: &Fired, fired: &Fired) -> Vec<&'static str> {
    let both = met.counters().into_iter().zip(fired.counters());
    both.filter(|((_, met), (_, fired))| *met >= MET_MIN && *fired == 0).map(|((name, _), _)| name).collect()
}
