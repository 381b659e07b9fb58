//! A request's body that comes back when its reader is done or gives up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// The body; on drop it goes back.
pub(super) struct ReturnableBody {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
    /// Bytes of it that have come.
    received: Arc<AtomicU64>,
}

/// Where it comes back.
pub(super) struct BodyReturn(oneshot::Receiver<Incoming>);

/// `received` counts the bytes that come of it.
pub(super) fn returnable(body: Incoming, received: Arc<AtomicU64>) -> (ReturnableBody, BodyReturn) {
    let (to, from) = oneshot::channel();
    (ReturnableBody { body: Some(body), back: Some(to), received }, BodyReturn(from))
}

impl BodyReturn {
    /// The body, if it is not read any more.
    pub(super) fn take_back(mut self) -> Option<Incoming> {
        self.0.try_recv().ok()
    }
}

impl Body for ReturnableBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for ReturnableBody {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // If the request is over, so is its body.
            drop(back.send(body));
        }
    }
}
