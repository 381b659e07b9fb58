//! The HTTP service: listeners, routes, answers and errors. What a request means is decided in [`crate::node`].

mod activity;
mod body;
mod clients;
pub(crate) mod conditional;
mod cors;
mod disposition;
mod error;
mod files;
mod form_digest;
mod health;
mod internal;
mod members;
pub(crate) mod multipart;
mod objects;
mod places;
mod policy;
mod profiles;
pub(crate) mod request;
mod respond;
mod returnable;
mod router;
mod server;
mod several;
mod upload;
mod write_stall;

pub use body::{Body, file_body, full_body};
pub use clients::{ClientSlot, Clients};
pub use disposition::result_name;
pub use error::{ApiError, PROBLEM_TYPE_BASE, Problem};
pub use files::{FileJson, FilesJson};
pub use members::{LoadJson, MemberJson, MembersJson};
pub use places::WAITING_MAX;
pub use policy::{PolicyChange, PolicyJson};
pub use profiles::{ProfileJson, ProfilesJson};
pub use request::Deadline;
pub use respond::HEADER;
pub use server::{READ_BUFFER_BYTES, Server, ServerLimits, TOLD_AT_ONCE_MAX};
pub use several::several_name;

pub use crate::config::DEADLINE_MAX;
