//! A small HTTP client that sees every header and status.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::clips::probe_video;
use super::{PATIENCE, eventually};

/// Speaks to one node.
#[derive(Clone)]
pub struct Http {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, all of it.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub fn new(address: &str) -> Self {
        Self { base: format!("http://{address}"), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }

    /// An upload just as the paper's client sends it.
    /// A job, given by its path, once it is in this state.
    pub async fn job_in_state(&self, job: &str, state: &str) -> Value {
        let mut found = Value::Null;
        eventually(&format!("{job} is {state}"), async || {
            found = self.json(job).await;
            found["state"] == state
        })
        .await;
        found
    }

    pub async fn upload(&self, video: Bytes) -> Answer {
        self.upload_with("/upload", &[], video).await
    }

    pub async fn upload_with(&self, path: &str, headers: &[(&str, &str)], video: Bytes) -> Answer {
        let mut all = vec![("content-type", "video/mp4"), ("x-filename", "clip.mp4")];
        all.extend_from_slice(headers);
        self.send(Method::POST, path, &all, video).await.unwrap()
    }

    /// What one node asks another, without a proof.
    pub async fn ask_node(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let kind =
            if path.starts_with("/internal/jobs") { "application/octet-stream" } else { "application/json" };
        self.send(Method::POST, path, &[("content-type", kind)], body.into()).await.unwrap()
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let exchange = async {
            let response = self.client.request(request.body(Full::new(body))?).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a whole, playable H.264 video of the default profile.
    #[track_caller]
    pub fn assert_video(&self) {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        let (codec, width, height) = probe_video(&self.body);
        assert_eq!(codec, "h264");
        assert!(width.min(height) <= 360 && width % 2 == 0 && height % 2 == 0, "{width}x{height}");
        assert_eq!(self.header("content-type"), "video/mp4");
        assert_eq!(self.header("content-length"), self.body.len().to_string());
        assert!(self.header("x-processing-latency").parse::<f64>().is_ok(), "{:?}", self.headers);
    }

    /// Asserts that the body has this SHA-256.
    #[track_caller]
    pub fn assert_body_is(&self, sha256: &Value) {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(starling::content::ContentId::of(&self.body).to_string(), sha256.as_str().unwrap());
    }

    /// Asserts that who is refused for want of time is told how to ask for a job.
    #[track_caller]
    pub fn assert_tells_of_jobs(&self) {
        let problem = self.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("POST /jobs, or Prefer: respond-async"), "{detail}");
    }

    /// Asserts a problem document of this status and type.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert!(problem["type"].as_str().unwrap().ends_with(&format!("/{slug}")), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    }
}
