//! The clients of a node: sending files, reading the membership. What `starling upload` and `starling members` are
//! made of, what the lab asks its nodes with, and the load generator.

mod body;
mod dashboard;
mod discover;
mod endpoint;
mod events;
mod http;
mod jobs;
pub mod load;
mod members;
mod naming;
mod parts;
mod policy;
mod problem;
mod profiles;
mod sse;
mod unpack;
mod upload;
mod work;

use std::time::Duration;

pub use dashboard::States;
pub use discover::{DiscoverError, Options as DiscoverOptions, Target, discover};
pub use endpoint::{Endpoint, EndpointError};
pub use events::{Event, Events, Wanted};
pub use http::{Client, ClientError, Reached, TokenError};
pub use jobs::{Jobs, job_progress, job_table};
pub(crate) use members::trim_lines;
pub use members::{Load, Member, Members};
pub use naming::Names;
pub use policy::{RoutingChange, RoutingPolicy};
pub use profiles::Profiles;
pub use upload::{FileSource, Outcome, Progress, Upload};
pub use work::work;

/// How long a node may take to say who it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
