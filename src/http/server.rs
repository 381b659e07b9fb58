//! The listeners: a place for each connection, a bound on every wait, and an end that lets answers finish.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::activity::{Busy, HEAD_BYTES_MAX, HEAD_TIMEOUT};
use super::caller::ByMember;
use super::places::{Entered, Place, Places};
use super::respond::set_header;
use super::write_stall::WriteStall;
use super::{ApiError, Body, full_body, span};
use crate::api::HEADER;
use crate::body::keep;
use crate::tls::{AcceptError, Acceptor, Arrived, Stream};
use crate::trace::{self, Scope, TraceContext};

/// Read buffer of a connection, in bytes: bodies come in pieces of this. An upload has one, and up to one more than its share in
/// each of its two batches: where all come at full speed, this is most of a node's memory.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Time that a connection which is turned away has to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);
/// Connections that are told so at once; further ones are closed without a word.
pub const TOLD_AT_ONCE_MAX: usize = 16;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the service.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once, over all listeners; for a further one the idlest is closed.
    pub connections_max: u32,
    /// Of these, as many may be one client's; further ones are turned away.
    pub connections_per_client: u32,
}

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    /// Whether this is the address of a member of the cluster, for which there is a place when there is none for others.
    fn is_member(&self, address: IpAddr) -> bool;

    /// Answers one request of the client at this address; never fails, since a failure is an answer, too.
    fn answer(
        self: Arc<Self>,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The running service.
#[derive(Debug)]
pub struct Server {
    stop: CancellationToken,
    accepting: Vec<tokio::task::JoinHandle<GracefulShutdown>>,
}

impl Server {
    /// Serves `service` on all `listeners`. The accept tasks end with [`Self::shutdown`]; each connection's task ends
    /// with its connection, and a request whose client is gone is dropped there, which cancels its work.
    /// `acceptor` says what connections may speak.
    pub fn start<S: Service>(
        service: &Arc<S>,
        listeners: Vec<TcpListener>,
        limits: ServerLimits,
        acceptor: &Acceptor,
    ) -> Self {
        let stop = CancellationToken::new();
        let (places, told) = (Places::new(limits), Arc::new(Semaphore::new(TOLD_AT_ONCE_MAX)));
        let accepting = listeners
            .into_iter()
            .map(|listener| {
                let (places, told) = (places.clone(), Arc::clone(&told));
                let door = Door { acceptor: acceptor.clone(), stop: stop.clone(), told };
                tokio::spawn(accept(Arc::clone(service), listener, places, door))
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

async fn accept<S: Service>(
    service: Arc<S>,
    listener: TcpListener,
    places: Places,
    door: Door,
) -> GracefulShutdown {
    let (connections, mut late) = (GracefulShutdown::new(), JoinSet::new());
    loop {
        tokio::select! {
            () = door.stop.cancelled() => return connections,
            Some(found) = late.join_next() => match found {
                Ok((stream, client, Some(place))) => serve(&service, (stream, client), place, &connections, &door),
                Ok((stream, _, None)) => door.turn_away(stream, ApiError::ConnectionsFull),
                Err(error) => tracing::error!(%error, "a connection that waited for a place is lost"),
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    let client = client.ip();
                    match places.enter(client, || service.is_member(client)) {
                        Entered::Placed(place) => serve(&service, (stream, client), place, &connections, &door),
                        // Ends within a second; there are a few at once.
                        Entered::Wait(waiting) => drop(late.spawn(async move { (stream, client, waiting.place().await) })),
                        Entered::TooMany => {
                            let max = places.limits().connections_per_client;
                            door.turn_away(stream, ApiError::TooManyConnections { max });
                        }
                        Entered::Full => door.turn_away(stream, ApiError::ConnectionsFull),
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

/// Says to a request whether the service ends.
#[derive(Clone, Debug)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// What each new connection meets.
#[derive(Clone)]
struct Door {
    acceptor: Acceptor,
    stop: CancellationToken,
    /// Places for those that are told why there is none for them.
    told: Arc<Semaphore>,
}

fn serve<S: Service>(
    service: &Arc<S>,
    (stream, client): (TcpStream, IpAddr),
    place: Place,
    connections: &GracefulShutdown,
    door: &Door,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let (answering, begin) = (Arc::clone(service), place.beginner());
    let (watcher, door) = (connections.watcher(), door.clone());
    // Ends with its connection, which ends with its place or with the service.
    tokio::spawn(async move {
        let Some((stream, arrived)) = door.open(stream, &place).await else { return };
        let stop = door.stop.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (answering, busy) = (Arc::clone(&answering), begin());
            if arrived == Arrived::Member {
                request.extensions_mut().insert(ByMember);
            }
            request.extensions_mut().insert(Stopping(stop.clone()));
            async move { Ok::<_, std::convert::Infallible>(answer(answering, client, request, busy).await) }
        });
        let stream = WriteStall::new(stream, Arc::clone(&place.activity));
        // The time that a head may take is in `activity`: hyper's own does not tell a head from a rest.
        let connection = http1::Builder::new()
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        finish(watcher.watch(connection), place).await;
    });
}

impl Door {
    /// Agrees with the other end on what is spoken; none: it is closed.
    async fn open(&self, stream: TcpStream, place: &Place) -> Option<(Stream, Arrived)> {
        let agreed = tokio::select! {
            // First: what has come before the end is answered.
            biased;
            agreed = tokio::time::timeout(HEAD_TIMEOUT, self.acceptor.accept(stream)) => agreed,
            () = place.close.cancelled() => return None,
            () = self.stop.cancelled() => return None,
        };
        match agreed {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(AcceptError::Plain(stream))) => tell(stream, &ApiError::PlainHttp).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection is not served"),
            Err(_) => tracing::debug!("a connection says nothing: closed"),
        }
        None
    }

    /// Closes a connection for which there is no place; and tells it why, unless too many are being told, or it speaks TLS.
    fn turn_away(&self, stream: TcpStream, error: ApiError) {
        let permit = Arc::clone(&self.told).try_acquire_owned();
        let permit = permit.ok().filter(|_| !self.acceptor.is_tls_only());
        tracing::debug!(%error, told = permit.is_some(), "a connection is turned away");
        if let Some(permit) = permit {
            // Ends by itself, soon.
            tokio::spawn(async move {
                tell(stream, &error).await;
                drop(permit);
            });
        }
    }
}

/// Answers one request; it is under way until all of the answer is taken. What is said meanwhile is said of its trace, which the
/// answer names.
async fn answer<S: Service>(
    service: Arc<S>,
    client: IpAddr,
    mut request: Request<Incoming>,
    busy: Busy,
) -> Response<Body> {
    let scope = Scope::new(TraceContext::of_request(request.headers()));
    let underway = span::begin(&scope, &request);
    let mut response = if head_bytes(&request) > HEAD_BYTES_MAX {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let mut response = Response::new(full_body(""));
        *response.status_mut() = status;
        response
    } else {
        // For whoever reads on after the answer.
        request.extensions_mut().insert(busy.clone());
        trace::within(scope.clone(), service.answer(client, request)).await
    };
    set_header(&mut response, HEADER::REQUEST_ID, &scope.trace_id().to_string());
    span::answered(underway, response).map(|body| keep(body, busy))
}

/// About what the head took on the wire.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    line + headers.sum::<usize>()
}

async fn finish(connection: impl Future<Output = hyper::Result<()>>, place: Place) {
    let mut connection = std::pin::pin!(connection);
    let mut overdue = std::pin::pin!(sleep_until(place.activity.overdue_at()));
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = place.close.cancelled() => return,
            () = &mut overdue => {
                let at = place.activity.overdue_at();
                if at <= Instant::now() {
                    tracing::debug!("a connection says nothing, or too slowly: closed");
                    return;
                }
                overdue.as_mut().reset(at);
            }
        }
    }
}

/// Tells a client why its connection is not served, whatever it was going to ask. Ends by itself, soon.
async fn tell(mut stream: TcpStream, error: &ApiError) {
    let again = error.retry_after().map_or_else(String::new, |_| "retry-after: 1\r\n".to_owned());
    let problem = serde_json::to_string(&error.problem()).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {}\r\n{again}connection: close\r\n\r\n{problem}",
        error.status(),
        problem.len(),
        TraceContext::new().trace
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
}
