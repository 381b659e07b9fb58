//! What travels between processes: documents and headers that server, clients and peers read and write alike.
//!
//! - for clients: [`JobJson`], [`Problem`], [`MembersJson`], [`ProfilesJson`], [`FilesJson`], [`HEADER`], and what downloads are called;
//! - between nodes: [`Offer`], [`OfferEnd`], [`Claim`], [`End`], [`JobQuestion`], [`CopyQuestion`] and their answers, [`QuotasUsed`]. A node that refuses, or whose work ended without a result, says
//!   so in [`Problem::ended`]: a code and its figures.

mod copies;
mod files;
mod headers;
mod jobs;
mod leases;
mod members;
mod naming;
mod offers;
mod policy;
mod problem;
mod profiles;
mod quotas;
mod uploads;
mod webhooks;
mod work;

pub use copies::{COMPARED_MAX, CopyAnswer, CopyQuestion, Held};
pub use files::{FileJson, FilesJson};
pub use headers::{AUTHENTICATION_INFO, HEADER};
pub use jobs::{
    JobAnswer, JobFilter, JobJson, JobPart, JobProgress, JobQuestion, JobState, JobWait, JobsJson,
    NoticeJson, NoticeState, OutputJson, PartState, Priority, WaitReason,
};
pub use leases::{Claim, End};
pub use members::{LoadJson, MemberJson, MembersJson, PeersJson};
pub use naming::{result_name, several_name};
pub use offers::{ACCEPT_TIMEOUT, Accepted, Offer, OfferEnd, OfferId, OfferIdError, ProgressQuery};
pub use policy::{PolicyChange, PolicyJson};
pub use problem::{PROBLEM_TYPE_BASE, Problem, wait_seconds};
pub use profiles::{ProfileJson, ProfilesJson};
pub use quotas::{QuotasUsed, TOKENS_TOLD_MAX, TokenUse};
pub use starling_placement::journey::Progress;
pub use starling_placement::lease::Verdict;
pub use uploads::{UploadJson, UploadQuestion, UploadsJson};
pub use webhooks::{EndedJob, EndedOutput, WebhookJson};
pub use work::{WorkChange, WorkJson, WorkMode};
