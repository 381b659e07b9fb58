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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::clients::{ClientSlot, Clients};
use super::patience::Patient;
use super::{ApiError, router};
use crate::node::Node;

/// Time a connection may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Read buffer of a connection, and so the longest request head, in bytes.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Time that a connection which is turned away has to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);
/// Connections that are told so at once; further ones are closed without a word.
pub const TOLD_AT_ONCE_MAX: usize = 16;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the service.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once, over all listeners; further ones wait in the kernel's backlog.
    pub connections_max: u32,
    /// Of these, as many may be one client's; further ones are turned away.
    pub connections_per_client: u32,
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
        let places = Places {
            permits: Arc::new(Semaphore::new(limits.connections_max as usize)),
            clients: Arc::new(Clients::new(limits.connections_per_client)),
            per_client: limits.connections_per_client,
            told: Arc::new(Semaphore::new(TOLD_AT_ONCE_MAX)),
        };
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(Arc::clone(node), listener, places.clone(), stop.clone())))
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

/// Room for connections, over all listeners.
#[derive(Clone)]
struct Places {
    permits: Arc<Semaphore>,
    clients: Arc<Clients>,
    per_client: u32,
    /// For those that are turned away.
    told: Arc<Semaphore>,
}

async fn accept(
    node: Arc<Node>,
    listener: TcpListener,
    places: Places,
    stop: CancellationToken,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    loop {
        let next = async {
            // The semaphore is never closed, so the only failures here are the accept's.
            let permit = Arc::clone(&places.permits).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, client) = listener.accept().await?;
            io::Result::Ok((permit, stream, client.ip()))
        };
        tokio::select! {
            () = stop.cancelled() => return connections,
            accepted = next => match accepted {
                Ok((permit, stream, client)) => {
                    if let Some(slot) = places.clients.enter(client) {
                        serve(&node, stream, client, (permit, slot), &connections);
                    } else {
                        // The place is for those that are served.
                        drop(permit);
                        turn_away(stream, &places);
                    }
                }
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
    place: (OwnedSemaphorePermit, ClientSlot),
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
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let connection = connections.watch(connection);
    tokio::spawn(finish(connection, place));
}

async fn finish(
    connection: impl Future<Output = hyper::Result<()>>,
    place: (OwnedSemaphorePermit, ClientSlot),
) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}

/// Closes the connection of a client that has too many; and tells it so, unless too many are being told.
fn turn_away(stream: TcpStream, places: &Places) {
    let told = Arc::clone(&places.told).try_acquire_owned();
    let max = places.per_client;
    tracing::debug!(max, told = told.is_ok(), "a client has too many connections: one more is turned away");
    if let Ok(place) = told {
        tokio::spawn(tell(stream, place, max));
    }
}

/// Tells a client that it has too many connections, whatever it was going to ask. Ends by itself, soon.
async fn tell(mut stream: TcpStream, place: OwnedSemaphorePermit, max: u32) {
    let error = ApiError::TooManyConnections { max };
    let problem = serde_json::to_string(&error.problem()).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\nretry-after: 1\r\nconnection: close\r\n\r\n{problem}",
        problem.len()
    );
    let tell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // To close with something unread would reset the connection, and the answer with it.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(TURN_AWAY_TIME, tell).await {
        tracing::debug!(%error, "a connection that was turned away ended early");
    }
    drop(place);
}
