//! The clients of a node: sending files, reading the membership. What `starling upload` and `starling members` are
//! made of, what the lab asks its nodes with, and the load generator.

mod body;
mod endpoint;
mod http;
pub mod load;
mod members;
mod naming;
mod problem;
mod upload;

pub use endpoint::{Endpoint, EndpointError};
pub use http::{Client, ClientError};
pub(crate) use members::trim_lines;
pub use members::{Load, Member, Members};
pub use naming::Names;
pub use upload::{Outcome, Progress, Upload};
