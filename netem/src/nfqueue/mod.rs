//! Backend `nfqueue`: the same links in user space, for kernels without netem. Packets are held where they arrive (the
//! INPUT hook): one that is held where it leaves still belongs to the sender's socket, and TCP small queues would
//! throttle it. If the shaper dies, the rules let packets pass (`bypass`).

mod duplicate;
mod message;
mod packet;
mod shaper;
mod socket;
mod worker;

pub(crate) use shaper::{Shaper, probe};
