//! Real links between zones: zone file to traffic shaping, faults and partitions at run time.
//!
//! [`Zones`] is the validated model of a zone file: a [`LinkProfile`] for every ordered pair of zones. [`Plan`] says what
//! one node's device does to the packets of each network, under the [`Fault`]s in force. A backend makes it so: kernel
//! netem by `tc` where packets leave, or a user-space shaper on NFQUEUE where they arrive. [`Shaping`] holds a set of
//! nodes shaped, with whichever backend the kernel has, until it is dropped.
//!
//! Without default features only [`LinkProfile`] is left: what a simulator needs.

mod link;
mod profile;
pub mod units;

pub use link::{Fate, Link};
pub use profile::{Distribution, LinkProfile};

#[cfg(feature = "shape")]
mod fault;
#[cfg(feature = "shape")]
mod plan;
#[cfg(feature = "shape")]
mod zones;

#[cfg(feature = "shape")]
pub use {
    fault::{Fault, LinkChange, Links, Place, SelectError, Selector, Shift},
    plan::{Hook, Node, Plan, Rule, Scope},
    zones::{Zone, ZoneFileError, Zones},
};

#[cfg(feature = "shape")]
mod command;
#[cfg(feature = "shape")]
pub mod control;
#[cfg(feature = "shape")]
mod firewall;
#[cfg(feature = "shape")]
mod netns;
#[cfg(feature = "shape")]
mod nfqueue;
#[cfg(feature = "shape")]
mod shape;
#[cfg(feature = "shape")]
mod tc;

#[cfg(feature = "shape")]
pub use {
    command::CommandError,
    netns::Netns,
    shape::{Backend, End, ShapeError, Shaping, restore},
    tc::ClassTree,
};

#[cfg(feature = "cli")]
pub mod args;
#[cfg(feature = "cli")]
mod timeline;

#[cfg(feature = "cli")]
pub use timeline::{Step, Timeline, TimelineError};
