//! Uploads in parts at work: they become jobs, and are forgotten in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use starling_overlay::{Identity, NodeName};
use starling_placement::journey::PeerError;
use tokio::task::JoinSet;

use super::Node;
use super::start::StartError;
use crate::api::{UploadQuestion, UploadsJson};
use crate::body::Body;
use crate::jobs::JobId;
use crate::offload::Relayed;
use crate::store::Limits;
use crate::uploads::{UploadError, UploadId, Uploads};

/// How often it is looked what is to be forgotten, and what could not be made a job before.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

impl Node {
    /// The uploads in parts that lie here.
    pub const fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Bounds of an upload in parts.
    pub fn part_limits(&self) -> Limits {
        Limits { bytes_max: self.config.upload_bytes_max, ..Limits::default() }
    }

    /// The biggest upload that is taken here, and that there can be room for.
    pub fn upload_bytes_max(&self) -> u64 {
        self.config.upload_bytes_max.min(self.incoming.upload_bytes_max())
    }

    /// Makes a job of an upload that is whole. None: it is not.
    pub async fn finish_upload(self: &Arc<Self>, id: &UploadId) -> Result<Option<JobId>, UploadError> {
        let node = Arc::clone(self);
        let accept = move |client, ask, upload| async move {
            node.accept_job(client, ask, upload).await.map(|accepted| accepted.record.id())
        };
        self.uploads.finish(id, accept).await
    }

    /// Asks all other nodes, at once, which uploads in parts lie there.
    pub fn ask_uploads<'a>(
        &'a self,
        question: &'a UploadQuestion,
    ) -> Vec<impl Future<Output = (NodeName, Result<UploadsJson, PeerError>)> + Send + 'a> {
        let view = self.view();
        let others = view.peers.iter().filter(|peer| peer.state.is_live() && !peer.identity.is_observer());
        let ask = |identity: Arc<Identity>| async move {
            let answer = self.peers.ask_uploads(&identity, question).await;
            (identity.name.clone(), answer)
        };
        others.map(|peer| ask(Arc::clone(&peer.identity))).collect()
    }

    /// Passes a client's request on to the node where its upload lies.
    pub async fn pass_upload(
        &self,
        peer: &Identity,
        id: &UploadId,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Relayed, PeerError> {
        self.peers.pass_upload(peer, &id.to_string(), headers, body).await
    }
}

/// Takes up what an earlier process has left, and looks after it.
pub(super) async fn begin(node: &Arc<Node>, tasks: &mut JoinSet<()>) -> Result<(), StartError> {
    node.uploads.resume().await.map_err(|error: io::Error| StartError::Uploads(error))?;
    tasks.spawn(sweep_regularly(Arc::clone(node)));
    Ok(())
}

/// For as long as the node lives; aborted when it stops.
async fn sweep_regularly(node: Arc<Node>) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tick.tick().await;
        let whole = match node.uploads.sweep().await {
            Ok(whole) => whole,
            Err(error) => {
                tracing::warn!(%error, "old uploads in parts can't be forgotten: tried again later");
                continue;
            }
        };
        for id in whole {
            if let Err(error) = node.finish_upload(&id).await {
                tracing::debug!(upload = %id, %error, "a whole upload is no job yet");
            }
        }
    }
}
