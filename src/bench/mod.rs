//! `starling bench`: the paper's experiments on a lab of this machine, each with the paper's numbers beside ours.
//!
//! ```text
//! plan.rs     what is to be run: experiments, settings, cells     clips.rs     the videos: given, or made from the seed
//! machine.rs  what this machine can do: bare ffmpeg               cluster.rs   a lab as a child process
//! run.rs      one after the other, kept after each                cell.rs      one: a lab, a schedule of uploads, faults
//! counters.rs what the nodes counted                              stats.rs     figures of the records
//! convergence.rs, calibration.rs, validation.rs  the experiments that are no cells, or more than a cell
//! report.rs   all of it as JSON                                   paper.rs     what is known of the paper's numbers
//! tables.rs   laid out as tables                                  figures.rs   drawn as SVG;  html.rs  one page of both
//! ```
//!
//! Every policy gets the same files, the same seeds and the same arrival times, on links shaped as the paper's zones are.

mod calibration;
mod cell;
mod clips;
mod cluster;
mod convergence;
mod counters;
mod error;
mod figures;
mod html;
mod machine;
mod output;
mod paper;
mod plan;
mod report;
mod run;
mod stats;
mod tables;
mod validation;

pub use error::BenchError;
pub use plan::{Experiment, Options, Setting};
pub use report::Report;
pub use run::{Progress, run};
pub use tables::{Table, tables};
