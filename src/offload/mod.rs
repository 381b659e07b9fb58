//! Handing a job to a peer: an offer first, then the body, then the result back, one hop and no further.
//!
//! ```text
//!  this node                          peer
//!  POST /internal/offers   ------->   a place in its queue is reserved, or the offer refused
//!                          <-------   accepted {offer}, or a problem
//!  POST /internal/jobs/ID  ------->   the video, streamed; its digest is checked against the offer
//!                          <-------   the result, streamed; its digest is checked here
//! ```

mod client;
mod offers;
mod protocol;

pub use client::{OffloadError, PeerClient};
pub use offers::{Offers, TakeError};
pub use protocol::{ACCEPT_TIMEOUT, Accepted, Offer, OfferId};
