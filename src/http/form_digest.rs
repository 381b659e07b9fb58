//! The digest of a form as it is sent: what Content-Digest (RFC 9530) speaks of is the whole body, not the file in it.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest, Sha256};

use crate::content::ContentId;
use crate::store::IngestError;

/// Bytes that may follow the file in a form: its other fields, and what stands behind its end.
const AFTER_FILE_BYTES_MAX: usize = 64 << 10;
/// Longest that none of them may come.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// A form's body, hashed as it is read if there is a digest to check. Clones are the same body: one is read for the
/// file, and then the rest with [`Self::check`].
pub struct FormBody<B>(Arc<Mutex<Inner<B>>>);

struct Inner<B> {
    body: B,
    hash: Option<Sha256>,
    announced: Option<ContentId>,
}

impl<B> Clone for FormBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> FormBody<B> {
    /// The body, and the digest that was announced of all of it.
    pub fn new(body: B, announced: Option<ContentId>) -> Self {
        Self(Arc::new(Mutex::new(Inner { body, hash: announced.map(|_| Sha256::new()), announced })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<B>> {
        self.0.lock()
    }
}

impl<B> FormBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Reads what follows the file, and compares the digest of all with the one announced. Reads nothing if none was.
    pub async fn check(mut self) -> Result<(), IngestError> {
        let Some(announced) = self.lock().announced else { return Ok(()) };
        let mut left = AFTER_FILE_BYTES_MAX;
        loop {
            let frame = tokio::time::timeout(IDLE_MAX, self.frame())
                .await
                .map_err(|_| IngestError::TimedOut { what: "nothing came for", limit: IDLE_MAX })?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| IngestError::Body(error.into()))?;
            left = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)).ok_or_else(|| {
                IngestError::Body(
                    format!("over {AFTER_FILE_BYTES_MAX} bytes follow the file in the form").into(),
                )
            })?;
        }
        let got = self.lock().hash.take().unwrap_or_default();
        let got = ContentId(got.finalize().into());
        if got == announced { Ok(()) } else { Err(IngestError::DigestMismatch { announced, got }) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for FormBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut inner = self.lock();
        let frame = std::task::ready!(Pin::new(&mut inner.body).poll_frame(context));
        if let (Some(hash), Some(Ok(frame))) = (&mut inner.hash, &frame)
            && let Some(data) = frame.data_ref()
        {
            hash.update(data);
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::super::multipart::file_part;
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    async fn take(form: &str, announced: Option<ContentId>) -> Result<Bytes, IngestError> {
        let body = FormBody::new(Full::new(Bytes::from(form.to_owned())), announced);
        let mut part = file_part(TYPE, body.clone()).await.unwrap();
        let file = (&mut part.body).collect().await.unwrap().to_bytes();
        drop(part);
        body.check().await.map(|()| file)
    }

    #[tokio::test]
    async fn all_of_the_form_is_what_counts() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nfile\r\n--x\r\n\
                    Content-Disposition: form-data; name=\"later\"\r\n\r\nfield\r\n--x--\r\nepilogue";
        let right = ContentId::of(form.as_bytes());
        assert_eq!(take(form, Some(right)).await.unwrap(), "file");
        assert_eq!(take(form, None).await.unwrap(), "file");
        let of_the_file = ContentId::of(b"file");
        let refused = take(form, Some(of_the_file)).await.unwrap_err();
        assert!(
            matches!(refused, IngestError::DigestMismatch { announced, got } if announced == of_the_file && got == right)
        );
        let refused = take(&form.replace("field", "other"), Some(right)).await.unwrap_err();
        assert!(matches!(refused, IngestError::DigestMismatch { .. }));
    }

    #[tokio::test]
    async fn what_follows_the_file_is_bounded() {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[b'x'; 1000])))
        });
        let body = FormBody::new(http_body_util::StreamBody::new(endless), Some(ContentId::of(b"")));
        assert!(matches!(body.check().await, Err(IngestError::Body(_))));
    }
}
