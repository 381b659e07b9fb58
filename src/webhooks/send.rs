//! One try to deliver a message.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{SecretError, Secrets, Target, TargetError};

/// Longest that one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer is read before the connection is closed; nothing is done with it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const AGENT: &str = concat!("starling/", env!("CARGO_PKG_VERSION"));

/// How one try went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver has it: it answered with a 2xx.
    Delivered,
    /// It has not, and may have it later.
    Failed(String),
    /// It does not want it, or nothing is sent there: it is not tried again.
    Hopeless(String),
}

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Sender {
    secrets: Secrets,
    allow_private: bool,
    /// Where the secrets are.
    file: PathBuf,
}

/// The system's certificates, read when the first message goes to an https address.
static TLS: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(format!("the system's certificates can't be used: {why}; install ca-certificates"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
});

impl Sender {
    /// Signs by the secrets in this file. `allow_private`: also to addresses that are not public.
    pub fn read(file: PathBuf, allow_private: bool) -> Result<Self, SecretError> {
        Ok(Self { secrets: Secrets::read(&file)?, allow_private, file })
    }

    /// Where its secrets are.
    pub fn secret_file(&self) -> &Path {
        &self.file
    }

    /// Whether messages would be sent there, as far as that can be seen without looking up a name.
    pub fn check(&self, target: &Target) -> Result<(), TargetError> {
        target.check(self.allow_private)
    }

    /// Tries once. `id` is the same in each try of one message.
    pub async fn send(&self, target: &Target, id: &str, timestamp_s: u64, body: Bytes) -> Attempt {
        match tokio::time::timeout(TRY_TIMEOUT, self.sent(target, id, timestamp_s, body)).await {
            Ok(Ok(status)) if status.is_success() => Attempt::Delivered,
            Ok(Ok(StatusCode::GONE)) => Attempt::Hopeless("the receiver answered 410 Gone".to_owned()),
            // Another address would have to be checked anew; whoever has moved names the new one.
            Ok(Ok(status)) => Attempt::Failed(format!("the receiver answered {status}")),
            Ok(Err(attempt)) => attempt,
            Err(_) => Attempt::Failed(format!("no answer within {} s", TRY_TIMEOUT.as_secs())),
        }
    }

    async fn sent(
        &self,
        target: &Target,
        id: &str,
        timestamp_s: u64,
        body: Bytes,
    ) -> Result<StatusCode, Attempt> {
        let addresses = target.resolve(self.allow_private).await.map_err(|error| match error {
            TargetError::Unresolved { .. } => failed(&error),
            error => Attempt::Hopeless(error.to_string()),
        })?;
        let signature = self.secrets.sign(id, timestamp_s, &body);
        let request = Request::post(target.path())
            .header(HOST, target.authority())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", signature)
            .body(Full::new(body))
            .map_err(|error| Attempt::Hopeless(error.to_string()))?;
        // To an address that was checked, and not to what the name stands for by then.
        let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| failed(&error))?;
        if !target.is_secure() {
            return exchange(stream, request).await;
        }
        let config = TLS.as_ref().map_err(|why| Attempt::Failed(why.clone()))?;
        let name = ServerName::try_from(target.host().to_owned());
        let name = name.map_err(|error| Attempt::Hopeless(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        exchange(stream.map_err(|error| failed(&error))?, request).await
    }
}

fn failed(error: &dyn std::error::Error) -> Attempt {
    Attempt::Failed(error.to_string())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Attempt>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connection = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connection.map_err(|error| failed(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        // What it says beside that is read, so that it need not notice that nobody is interested.
        drop(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await);
        drop(sender);
        Ok(status)
    };
    let (answer, _closed) = tokio::join!(answer, connection);
    answer
}
