//! What a person sees of the cluster: one document, [`State`], and the page that shows it.
//!
//! - a [`Source`] knows what is to be shown: a node its own view of the membership, with the loads that gossip brings, its own events
//!   and its own metrics; a monitor the metrics of all;
//! - [`Figures`] are read from a node's metrics, whoever reads them; [`Board`] remembers them for a while: rates, series;
//! - [`Journal`] is made of a node's events: its jobs, and how it decided where they go (`explain.rs`);
//! - `verdict.rs` says in one sentence how the cluster is, and what is to blame;
//! - [`ASSETS`] is the page. It asks nothing but this server.

mod assets;
mod board;
mod explain;
mod figures;
mod journal;
mod links;
mod source;
mod state;
mod verdict;

pub use assets::{ASSETS, Asset, CONTENT_SECURITY_POLICY};
pub use board::{Board, COLUMNS, Point, Published, SAMPLE_INTERVAL, Series};
pub use figures::{Counts, Figures, Latency};
pub use journal::Journal;
pub use source::{EVENTS_MAX, Source, TICK, publish_regularly, state};
pub use state::{
    About, Blame, ClientState, Decision, JobState, Level, LinkState, NodeFigures, NodeState, State, Trend,
    Verdict, Weighed, Work, ZoneState,
};

impl Board {
    /// What those who watch are sent, as it comes.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Published> {
        self.published.subscribe()
    }
}
