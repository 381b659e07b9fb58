//! A connection that does not wait for ever until its client takes what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::nameless::{self, HEAD_TOO_LONG};
use crate::store::Rate;

/// Longest that a client may take nothing.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Fewest bytes a second that it takes while it is waited for, over the last minute of that: a byte now and then keeps no
/// connection.
const BYTES_PER_S_MIN: u64 = 1024;
/// It is waited for so long before that is asked.
const LITTLE_GRACE: Duration = Duration::from_secs(50);

/// A stream that names the answers which are made below it (`nameless.rs`), whose reads are counted, and whose writes fail when the other side has stopped taking them.
pub(super) struct WriteStall<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Since when the other side takes nothing, and when that has been long enough.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    /// What it took while it was waited for.
    rate: Rate,
    /// What is written in the place of such an answer, and how much of it is.
    named: Option<(Vec<u8>, usize)>,
}

impl<S> WriteStall<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, stalled: None, rate: Rate::default(), named: None }
    }

    /// Judges what became of a write.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match wrote {
            Poll::Pending => {
                let (_, end) = self
                    .stalled
                    .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(WRITE_STALL_TIMEOUT))));
                end.as_mut().poll(context).map(|()| Err(too_slow()))
            }
            Poll::Ready(Ok(done)) => {
                // No more than it may last, also where this machine stood still meanwhile.
                let waited = self.stalled.take().map(|(since, _)| since.elapsed().min(WRITE_STALL_TIMEOUT));
                self.rate.add(waited.unwrap_or_default(), bytes(&done) as u64);
                Poll::Ready(match self.rate.is_below(BYTES_PER_S_MIN, LITTLE_GRACE) {
                    Some(_) => Err(too_slow()),
                    None => Ok(done),
                })
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl<S: AsyncWrite + Unpin> WriteStall<S> {
    /// Writes an answer that was made below the service as one that has a name; none: this is another one. All of it is written before
    /// any of it counts, since it is longer than what it stands for.
    fn poll_named(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Option<Poll<io::Result<usize>>> {
        // While the service is at a request, what is written is its answer.
        if self.named.is_none() && self.activity.reads_a_head() {
            self.named = nameless::named(buffer).map(|answer| (answer, 0));
        }
        let (answer, written) = self.named.as_mut()?;
        while *written < answer.len() {
            match Pin::new(&mut self.stream).poll_write(context, &answer[*written..]) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Ok(0))),
                Poll::Ready(Ok(bytes)) => *written += bytes,
                other => return Some(other),
            }
        }
        self.named = None;
        Some(Poll::Ready(Ok(buffer.len())))
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WriteStall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.activity.has_read(buffer.filled().len() - before) {
            return read;
        }
        buffer.set_filled(before);
        // What it says after this is not read, so it may not come to read this either.
        let told = nameless::named(HEAD_TOO_LONG).unwrap_or_else(|| HEAD_TOO_LONG.to_vec());
        drop(Pin::new(&mut self.stream).poll_write(context, &told));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a request's head is too long")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = match self.poll_named(context, buffer) {
            Some(wrote) => wrote,
            None => Pin::new(&mut self.stream).poll_write(context, buffer),
        };
        self.judge(context, wrote, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = buffers.iter().filter(|buffer| !buffer.is_empty());
        let named = match (full.next(), full.next()) {
            (Some(only), None) => self.poll_named(context, only),
            _ => None,
        };
        let wrote = match named {
            Some(wrote) => wrote,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, buffers),
        };
        self.judge(context, wrote, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Writes a megabyte to a client that takes `bytes` every `pause`, on a clock of the test's own.
    async fn write_to(bytes: usize, pause: Duration) -> io::Result<()> {
        let (server, mut client) = duplex(4096);
        let client = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(pause).await;
            }
        });
        let result = WriteStall::new(server, Arc::new(Activity::new())).write_all(&vec![0; 1 << 20]).await;
        client.abort();
        result
    }

    #[tokio::test]
    async fn what_is_told_of_a_broken_head_has_a_name_also_where_it_goes_in_pieces() {
        let activity = Arc::new(Activity::new());
        let (server, mut client) = duplex(7);
        let mut stream = WriteStall::new(server, Arc::clone(&activity));
        let told = async |stream: &mut WriteStall<_>, client: &mut tokio::io::DuplexStream, answer: &[u8]| {
            let mut got = Vec::new();
            let (written, ()) = tokio::join!(stream.write_all(answer), async {
                let mut buffer = [0; 5];
                while !got.ends_with(b"\r\n\r\n") {
                    let read = client.read(&mut buffer).await.unwrap();
                    got.extend_from_slice(&buffer[..read]);
                }
            });
            written.unwrap();
            String::from_utf8(got).unwrap()
        };
        // Nothing of a request has come: it is no answer to a broken one.
        assert_eq!(told(&mut stream, &mut client, HEAD_TOO_LONG).await.as_bytes(), HEAD_TOO_LONG);
        assert!(activity.has_read(10));
        let named = told(&mut stream, &mut client, HEAD_TOO_LONG).await;
        assert!(named.starts_with("HTTP/1.1 431 ") && named.contains("x-request-id: "), "{named}");
        let _busy = activity.begin(|| ());
        assert_eq!(told(&mut stream, &mut client, HEAD_TOO_LONG).await.as_bytes(), HEAD_TOO_LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_it_gets_it_all() {
        write_to(4096, Duration::ZERO).await.unwrap();
        // Four kilobytes a second take their time.
        write_to(4096, Duration::from_secs(1)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_or_next_to_nothing_is_left() {
        for (bytes, pause) in [(4096, 3600), (1, 1), (100, 10), (4096, 59)] {
            let begun = Instant::now();
            let error = write_to(bytes, Duration::from_secs(pause)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{bytes} bytes every {pause} s");
            assert!(
                begun.elapsed() < 3 * WRITE_STALL_TIMEOUT,
                "{bytes} bytes every {pause} s: {:?}",
                begun.elapsed()
            );
        }
    }
}
