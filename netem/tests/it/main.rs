//! Real packets over shaped links between namespaces of this machine, and of a kernel with netem under qemu.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod control;
mod labs;
mod links;
mod qemu;
mod rig;
mod traffic;
