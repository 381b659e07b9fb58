//! Handing a job to a peer: an offer first, then the body, then the result back, one hop and no further.
//!
//! ```text
//!  this node                          peer
//!  POST /internal/offers   ------->   a place in its queue is reserved, or the offer refused
//!                          <-------   accepted {offer}, or a problem
//!  POST /internal/jobs/ID  ------->   the video, streamed; its digest is checked against the offer
//!                          <-------   the result, streamed; its digest is checked here, and then all that is checked of a
//!                                     result that is made here: a peer's word for it is not believed
//! ```
//!
//! While a peer has a job it is asked how far it is (`POST /internal/progress`), unless bytes move.
//!
//! What a peer does wrong is held against it: [`Standings`].

mod client;
mod offers;

pub use client::{Delivery, PeerClient, Relayed};
pub use offers::{Offers, Seat, TakeError};
pub use starling_placement::journey::Fault;
pub use starling_placement::standing::{StandingStats, Standings};
