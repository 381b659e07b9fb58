//! HTTP towards a node: one pooled client, errors that say what to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpInfo;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::{Endpoint, problem};
use crate::printable;
use crate::tls::{Connector, PeerTls, Roots};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers to questions (membership, readiness, errors); results of uploads are streamed and have no such limit.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) type RequestBody = BoxBody<Bytes, std::io::Error>;

/// Asks nodes. Cheap to clone; connections are kept and used again.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<Connector, RequestBody>,
    /// Goes with each request that proves nothing else.
    authorization: Option<HeaderValue>,
}

/// The text can't be a token: none that a node makes has such characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--token (STARLING_TOKEN): that is no token: give what `starling token create` printed")]
pub struct TokenError;

/// A node that has said who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its name in its cluster.
    pub name: String,
    /// Where it answered.
    pub address: SocketAddr,
}

/// What of `GET /health` tells that a node answers, and which.
#[derive(Deserialize)]
struct Health {
    #[serde(deserialize_with = "printable::word")]
    node: String,
}

/// Why a node gave no good answer. Nothing changed on the node unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or not in time.
    #[error("cannot reach {endpoint}: {reason}; {}", what_to_try(.reason))]
    Unreachable {
        /// Who was asked.
        endpoint: Endpoint,
        /// What the system said.
        reason: String,
    },
    /// The connection broke in the middle of the exchange; the node may have done the work.
    #[error("lost the connection to {endpoint}: {reason}")]
    Broken {
        /// Who was asked.
        endpoint: Endpoint,
        /// What the system said.
        reason: String,
    },
    /// No whole answer in the time given.
    #[error("{endpoint} did not answer within {}", humantime::format_duration(*.after))]
    TimedOut {
        /// Who was asked.
        endpoint: Endpoint,
        /// The time given.
        after: Duration,
    },
    /// The node answered with an error status.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem in one line, status included.
        text: String,
        /// When it may be asked again, where the node says so.
        retry_after: Option<Duration>,
    },
    /// Another node is where this one should be.
    #[error("{endpoint} is {found:?}, and not {expected:?}: nothing is sent there")]
    AnotherNode {
        /// Who was asked.
        endpoint: Endpoint,
        /// Who should answer.
        expected: String,
        /// Who did.
        found: String,
    },
    /// The answer is not what a node answers.
    #[error("{endpoint} answered something that is no node's answer: {reason}")]
    Nonsense {
        /// Who was asked.
        endpoint: Endpoint,
        /// What was wrong with it.
        reason: String,
    },
}

/// What to do about a node that can't be reached for this reason.
fn what_to_try(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") {
        "give the root that signed the node's certificate by --ca FILE"
    } else if reason.contains("HandshakeFailure") || reason.contains("InvalidContentType") {
        "does the node speak TLS with clients (--tls-cert)? If not, ask it by http://"
    } else {
        "is the node running, and is --node right?"
    }
}

impl ClientError {
    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When the same may be asked again, where it was refused for want of room alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { status: 429 | 503, retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another node may well succeed where this one did not: this node is gone, or drowning.
    pub fn worth_another_node(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 500 | 502 | 503 | 507),
            Self::TimedOut { .. } | Self::Nonsense { .. } | Self::AnotherNode { .. } => false,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client with no connections yet.
    pub fn new() -> Self {
        Self::by(Connector::to_nodes(Roots::default(), CONNECT_TIMEOUT))
    }

    /// One that believes the certificates that lead to these roots.
    pub fn trusting(roots: Roots) -> Self {
        Self::by(Connector::to_nodes(roots, CONNECT_TIMEOUT))
    }

    /// One that asks `https` addresses as a member of the cluster.
    pub fn of_member(tls: Arc<PeerTls>) -> Self {
        Self::by(Connector::to_peers(tls, CONNECT_TIMEOUT))
    }

    fn by(connector: Connector) -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build(connector), authorization: None }
    }

    /// The same with a token.
    pub fn with_token(mut self, token: Option<&str>) -> Result<Self, TokenError> {
        self.authorization = match token {
            None => None,
            Some(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| TokenError)?;
                value.set_sensitive(true);
                Some(value)
            }
            Some(_) => return Err(TokenError),
        };
        Ok(self)
    }

    /// `GET`s a path; the body of a 2xx answer.
    pub async fn get(
        &self,
        endpoint: &Endpoint,
        path: &str,
        timeout: Duration,
    ) -> Result<Bytes, ClientError> {
        self.get_at_most(endpoint, path, timeout, ANSWER_BYTES_MAX).await
    }

    /// The same of an answer that has no more bytes than these.
    pub async fn get_at_most(
        &self,
        endpoint: &Endpoint,
        path: &str,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Bytes, ClientError> {
        self.ask(endpoint, path, (timeout, bytes_max)).await.map(|(body, _)| body)
    }

    /// Posts a JSON document, whose answer is of no interest but for its status.
    pub async fn post_json(
        &self,
        url: &Uri,
        endpoint: &Endpoint,
        json: Vec<u8>,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let ask = async {
            let body = Full::from(json).map_err(|never| match never {}).boxed();
            let request = Request::post(url)
                .header(CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(|error| broken(endpoint, &error))?;
            let response = refuse(endpoint, self.send(endpoint, request).await?).await?;
            read_at_most(endpoint, response, ANSWER_BYTES_MAX).await.map(drop)
        };
        let late = || ClientError::TimedOut { endpoint: endpoint.clone(), after: timeout };
        tokio::time::timeout(timeout, ask).await.map_err(|_| late())?
    }

    /// Asks which node answers there. A video is sent to nobody who has not been asked so.
    pub async fn identify(&self, endpoint: &Endpoint, timeout: Duration) -> Result<Reached, ClientError> {
        let (body, address) = self.ask(endpoint, "/health", (timeout, ANSWER_BYTES_MAX)).await?;
        let health: Health = serde_json::from_slice(&body).map_err(|error| nonsense(endpoint, &error))?;
        let address = address.ok_or_else(|| nonsense(endpoint, &"its address is not known"))?;
        Ok(Reached { name: health.node, address })
    }

    /// The body of a 2xx answer to a `GET`, and where it came from.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        path: &str,
        (timeout, bytes_max): (Duration, usize),
    ) -> Result<(Bytes, Option<SocketAddr>), ClientError> {
        let ask = async {
            let body = Empty::new().map_err(|never| match never {}).boxed();
            let request =
                Request::get(endpoint.uri(path)).body(body).map_err(|error| broken(endpoint, &error))?;
            let response = refuse(endpoint, self.send(endpoint, request).await?).await?;
            let address = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
            Ok((read_at_most(endpoint, response, bytes_max).await?, address))
        };
        let late = || ClientError::TimedOut { endpoint: endpoint.clone(), after: timeout };
        tokio::time::timeout(timeout, ask).await.map_err(|_| late())?
    }

    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, ClientError> {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        self.pool.request(request).await.map_err(|error| {
            if error.is_connect() {
                ClientError::Unreachable { endpoint: endpoint.clone(), reason: root_cause(&error) }
            } else {
                broken(endpoint, &error)
            }
        })
    }
}

/// Turns an answer with an error status into the error it describes.
pub(super) async fn refuse(
    endpoint: &Endpoint,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read(endpoint, response).await?;
    let text = problem::describe(status.as_u16(), retry_after.as_deref(), &body);
    // A date is possible, too; no node sends one.
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Err(ClientError::Refused { status: status.as_u16(), text, retry_after })
}

pub(super) async fn read(endpoint: &Endpoint, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    read_at_most(endpoint, response, ANSWER_BYTES_MAX).await
}

async fn read_at_most(
    endpoint: &Endpoint,
    response: Response<Incoming>,
    bytes_max: usize,
) -> Result<Bytes, ClientError> {
    match Limited::new(response.into_body(), bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(ClientError::Broken { endpoint: endpoint.clone(), reason: error.to_string() }),
    }
}

pub(super) fn broken(endpoint: &Endpoint, error: &(dyn std::error::Error + 'static)) -> ClientError {
    ClientError::Broken { endpoint: endpoint.clone(), reason: root_cause(error) }
}

/// What came is no node's answer. What is wrong with it may be told in its own words.
pub(super) fn nonsense(endpoint: &Endpoint, what: &impl ToString) -> ClientError {
    let reason = printable::line(&what.to_string()).into_owned();
    ClientError::Nonsense { endpoint: endpoint.clone(), reason }
}

/// The innermost message: "Connection refused" rather than "client error (Connect)".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
