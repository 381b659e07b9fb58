//! The routing policy of a running node: `GET` and `POST /internal/policy`, with the cluster's key where it has one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use serde::{Deserialize, Serialize};
use starling_overlay::{BootEpoch, Keyring, NodeName};

use super::http::{broken, nonsense, read, refuse};
use super::{Client, ClientError, SIGN_OF_LIFE, Target};
use crate::api::AUTHENTICATION_INFO;
use crate::auth::{Authority, Signed};
use crate::content::ContentId;
use crate::printable;

const PATH: &str = "/internal/policy";
const TIMEOUT: Duration = Duration::from_secs(10);

/// By what a node decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoutingPolicy {
    /// Which node.
    #[serde(deserialize_with = "printable::word")]
    pub node: String,
    /// The policy's name.
    #[serde(deserialize_with = "printable::word")]
    pub policy: String,
    /// Weight of load in `score`.
    pub load_weight: f64,
    /// Weight of round-trip time in `score`.
    pub rtt_weight: f64,
}

/// What is to decide from now on.
#[derive(Clone, Debug, Serialize)]
pub struct RoutingChange {
    /// The policy's name.
    pub policy: &'static str,
    /// Weight of load in `score`; none: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_weight: Option<f64>,
    /// Weight of round-trip time in `score`; none: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_weight: Option<f64>,
}

/// Which node answers, and in which boot: a proof is good for that one alone.
#[derive(Deserialize)]
struct Health {
    node: NodeName,
    boot: Option<u64>,
}

impl RoutingPolicy {
    /// Asks a node, and changes what decides there if there is a change. `keys`: the cluster's, if it has any.
    pub async fn exchange(
        client: &Client,
        target: &Target,
        keys: Option<&Keyring>,
        change: Option<&RoutingChange>,
    ) -> Result<Self, ClientError> {
        let endpoint = &target.endpoint;
        let late = |_| ClientError::TimedOut { endpoint: endpoint.clone(), after: TIMEOUT };
        let exchange = exchange(client, target, keys, (PATH, change));
        let body = tokio::time::timeout(TIMEOUT, exchange).await.map_err(late)??;
        serde_json::from_slice(&body).map_err(|error| nonsense(endpoint, &error))
    }

    /// `score (load weight 0.3, rtt weight 0.7)`, or the name of a policy without weights.
    pub fn describe(&self) -> String {
        let Self { policy, load_weight, rtt_weight, .. } = self;
        if policy == "score" {
            format!("{policy} (load weight {load_weight}, rtt weight {rtt_weight})")
        } else {
            policy.clone()
        }
    }
}

/// Asks what an administrator may ask, or changes it. `keys`: the cluster's, if it has any.
pub(super) async fn exchange<C: Serialize>(
    client: &Client,
    target: &Target,
    keys: Option<&Keyring>,
    (path, change): (&str, Option<&C>),
) -> Result<Bytes, ClientError> {
    let endpoint = &target.endpoint;
    let json = change.map(serde_json::to_vec).transpose().map_err(|error| nonsense(endpoint, &error))?;
    let method = if json.is_some() { Method::POST } else { Method::GET };
    let (authority, signed) = sign(client, target, keys, (&method, path), json.as_deref()).await?;
    let mut request =
        Request::builder().method(method).uri(endpoint.uri(path)).header(CONTENT_TYPE, "application/json");
    if let Some(proof) = signed.header() {
        request = request.header(AUTHORIZATION, proof);
    }
    let body = Full::from(json.unwrap_or_default()).map_err(|never| match never {}).boxed();
    let request = request.body(body).map_err(|error| broken(endpoint, &error))?;
    let response = refuse(endpoint, client.send(endpoint, request).await?).await;
    let response = response.map_err(|error| with_key_file(error, keys.is_some()))?;
    let proof = response.headers().get(AUTHENTICATION_INFO).and_then(|value| value.to_str().ok());
    let checked = authority.check_answer(&signed, response.status(), proof);
    let promised = checked.map_err(|error| nonsense(endpoint, &error))?;
    let body = read(endpoint, response).await?;
    if promised.is_some_and(|promised| promised != ContentId::of(&body)) {
        return Err(nonsense(endpoint, &"its answer is not the one that it proved"));
    }
    Ok(body)
}

/// What is missing is told where a node asks for a proof and there is no key to prove it by.
fn with_key_file(error: ClientError, has_key: bool) -> ClientError {
    match error {
        ClientError::Refused { status: 401, text, retry_after } if !has_key => {
            let text = format!("{text}: give the cluster's key by --key-file; a lab says where its own is");
            ClientError::Refused { status: 401, text, retry_after }
        }
        error => error,
    }
}

/// The proof that a request comes from whoever has the cluster's key.
async fn sign(
    client: &Client,
    Target { endpoint, name }: &Target,
    keys: Option<&Keyring>,
    (method, path): (&Method, &str),
    body: Option<&[u8]>,
) -> Result<(Authority, Signed), ClientError> {
    let health = client.get(endpoint, "/health", SIGN_OF_LIFE).await?;
    let health: Health = serde_json::from_slice(&health).map_err(|error| nonsense(endpoint, &error))?;
    if let Some(expected) = name.as_ref().filter(|name| name.as_str() != health.node.as_str()) {
        let (expected, found) = (expected.clone(), health.node.to_string());
        return Err(ClientError::AnotherNode { endpoint: endpoint.clone(), expected, found });
    }
    let older = || {
        nonsense(endpoint, &"it does not say its boot, so it is of an older release, whose policy is fixed")
    };
    let boot = BootEpoch(health.boot.ok_or_else(older)?);
    // Who signs does not matter: what is proved is the key.
    let authority = Authority::new(health.node.clone(), boot, keys);
    let signed = authority.sign_for(&health.node, boot, method, path, body);
    Ok((authority, signed))
}
