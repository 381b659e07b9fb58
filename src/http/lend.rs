//! A request's body, lent to whoever reads it and given back when they are done or give up.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// The body; on drop it goes back.
pub(super) struct Lent {
    body: Option<Incoming>,
    home: Option<oneshot::Sender<Incoming>>,
}

/// Where it comes back to.
pub(super) struct Lender(oneshot::Receiver<Incoming>);

pub(super) fn lend(body: Incoming) -> (Lent, Lender) {
    let (home, back) = oneshot::channel();
    (Lent { body: Some(body), home: Some(home) }, Lender(back))
}

impl Lender {
    /// The body, if nobody reads it any more.
    pub(super) fn take_back(mut self) -> Option<Incoming> {
        self.0.try_recv().ok()
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(home)) = (self.body.take(), self.home.take()) {
            // If the request is over, so is its body.
            drop(home.send(body));
        }
    }
}
