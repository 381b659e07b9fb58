//! The listeners: a permit before the accept, a bound on every wait, and an end that lets answers finish.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::router;
use crate::node::Node;

/// Time a connection may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Read buffer of a connection, and so the longest request head, in bytes.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the service.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once, over all listeners; further ones wait in the kernel's backlog.
    pub connections_max: u32,
}

/// The running service.
#[derive(Debug)]
pub struct Server {
    stop: CancellationToken,
    accepting: Vec<tokio::task::JoinHandle<GracefulShutdown>>,
}

impl Server {
    /// Serves `node` on all `listeners`. The accept tasks end with [`Self::shutdown`]; each connection's task ends
    /// with its connection, and a request whose client is gone is dropped there, which cancels its work.
    pub fn start(node: &Arc<Node>, listeners: Vec<TcpListener>, limits: ServerLimits) -> Self {
        let stop = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(limits.connections_max as usize));
        let accepting = listeners
            .into_iter()
            .map(|listener| {
                tokio::spawn(accept(Arc::clone(node), listener, Arc::clone(&permits), stop.clone()))
            })
            .collect();
        Self { stop, accepting }
    }

    /// Stops accepting, lets the requests under way finish for at most `bound`, and says whether all did.
    pub async fn shutdown(self, bound: Duration) -> bool {
        self.stop.cancel();
        let finish = async {
            for task in self.accepting {
                match task.await {
                    Ok(connections) => connections.shutdown().await,
                    Err(error) => tracing::error!(%error, "a listener's task failed"),
                }
            }
        };
        tokio::time::timeout(bound, finish).await.is_ok()
    }
}

async fn accept(
    node: Arc<Node>,
    listener: TcpListener,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    loop {
        let next = async {
            // The semaphore is never closed, so the only failures here are the accept's.
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, client) = listener.accept().await?;
            io::Result::Ok((permit, stream, client.ip()))
        };
        tokio::select! {
            () = stop.cancelled() => return connections,
            accepted = next => match accepted {
                Ok((permit, stream, client)) => serve(&node, stream, client, permit, &connections),
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn serve(
    node: &Arc<Node>,
    stream: TcpStream,
    client: IpAddr,
    permit: OwnedSemaphorePermit,
    connections: &GracefulShutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let node = Arc::clone(node);
    let service = service_fn(move |request| {
        let node = Arc::clone(&node);
        async move { Ok::<_, std::convert::Infallible>(router::answer(&node, client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(finish(connection, permit));
}

async fn finish(connection: impl Future<Output = hyper::Result<()>>, permit: OwnedSemaphorePermit) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(permit);
}
