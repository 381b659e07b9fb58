//! The HTTP service: listeners, routes, answers and errors. What a request means is decided in [`crate::node`].

mod activity;
mod caller;
pub(crate) mod conditional;
mod cors;
mod dashboard;
mod discovery;
mod disposition;
mod error;
mod events;
mod files;
mod form_digest;
mod health;
mod internal;
mod jobs;
mod members;
mod monitor;
pub(crate) mod multipart;
mod objects;
mod openapi;
mod places;
mod policy;
mod profiles;
pub(crate) mod request;
mod respond;
mod returnable;
mod router;
mod routes;
mod server;
mod several;
mod upload;
mod write_stall;

pub use crate::body::{Body, file_body, full_body};
pub use error::ApiError;
pub use places::WAITING_MAX;
pub use routes::{RouteInfo, all as routes};
pub use server::{READ_BUFFER_BYTES, Server, ServerLimits, Service, TOLD_AT_ONCE_MAX};
