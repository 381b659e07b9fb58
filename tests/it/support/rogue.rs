//! A member that is not one of ours: it gossips as it should, claims to be idle, and answers the other nodes as a test has it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use starling::content::ContentId;
use starling::content::repr_digest;
use starling_overlay::{
    BootEpoch, Config, Identity, Keyring, LoadPublisher, LoadSample, Overlay, Timing, Versions,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Node, PATIENCE, eventually};

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// What it does with a request.
pub enum Play {
    Answer(Response<Body>),
    /// Takes it, and says nothing more.
    Hang,
    /// Takes its time.
    Later(BoxFuture<'static, Play>),
}

impl Play {
    pub fn json(text: &str) -> Self {
        let response = Response::builder().header("content-type", "application/json");
        Self::Answer(
            response.body(Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync()).unwrap(),
        )
    }

    /// These bytes as a result, with a digest that fits.
    pub fn result(bytes: &Bytes) -> Self {
        Self::Answer(head(bytes).body(Full::new(bytes.clone()).boxed_unsync()).unwrap())
    }

    /// The head of a result and half of its bytes, and no more.
    pub fn half(bytes: &Bytes) -> Self {
        let half = bytes.slice(..bytes.len() / 2);
        let frames = futures_util::stream::unfold(Some(half), |half| async {
            match half {
                Some(half) => Some((Ok(Frame::data(half)), None)),
                None => std::future::pending().await,
            }
        });
        Self::Answer(head(bytes).body(StreamBody::new(frames).boxed_unsync()).unwrap())
    }

    /// Work that ended without a result, as such an answer says it.
    pub fn ended(status: u16, ended: &str) -> Self {
        let problem = format!(
            r#"{{"type":"https://starling.invalid/problems/x","title":"x","status":{status},"detail":"x","ended":{ended}}}"#
        );
        let response = Response::builder().status(status).header("content-type", "application/problem+json");
        Self::Answer(response.body(Full::new(Bytes::from(problem)).boxed_unsync()).unwrap())
    }

    pub fn nothing() -> Self {
        Self::Answer(Response::builder().status(404).body(Full::default().boxed_unsync()).unwrap())
    }
}

fn head(bytes: &Bytes) -> hyper::http::response::Builder {
    Response::builder()
        .header("content-type", "video/mp4")
        .header("content-length", bytes.len())
        .header("repr-digest", repr_digest(&ContentId::of(bytes)))
}

/// Such a member; it dies when it is dropped. It lives on a thread of its own: a test that is busy with a clip must not make it
/// look dead.
pub struct Rogue {
    pub name: String,
    jobs: Arc<Mutex<usize>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Rogue {
    /// Joins the cluster of `node`, whose view then has it with its load. `plays` gets each request's path and body; offers are
    /// accepted and leases given unless it has something else to say.
    pub async fn join(
        node: &Node,
        name: &str,
        keys: Option<Keyring>,
        plays: impl Fn(&str) -> Option<Play> + Send + Sync + 'static,
    ) -> Self {
        let jobs = Arc::new(Mutex::new(0));
        let (stop, stopped) = oneshot::channel();
        let (seed, own_name, counted) = (node.gossip.clone(), name.to_owned(), Arc::clone(&jobs));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(live(&own_name, seed, keys, counted, Arc::new(plays), stopped));
        });
        let rogue = Self { name: name.to_owned(), jobs, stop: Some(stop), thread: Some(thread) };
        eventually("it is a member with a load", async || {
            let members = node.http.json("/members").await;
            let known = |member: &&serde_json::Value| {
                member["name"] == name && member["state"] == "alive" && !member["load"].is_null()
            };
            members["members"].as_array().unwrap().iter().filter(known).count() == 1
        })
        .await;
        rogue
    }

    /// How many jobs it was sent.
    pub fn jobs(&self) -> usize {
        *self.jobs.lock()
    }

    /// It leaves, and `node` knows that.
    pub async fn leave(mut self, node: &Node) {
        let told = self.stop.take().map(|stop| stop.send(()));
        assert_eq!(told, Some(Ok(())), "{} has ended by itself", self.name);
        eventually("it has left", async || {
            let members = node.http.json("/members").await;
            let mut members = members["members"].as_array().unwrap().iter();
            !members.any(|member| member["name"] == self.name.as_str() && member["state"] != "left")
        })
        .await;
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        assert!(ended.is_ok() || std::thread::panicking(), "{} has panicked", self.name);
    }
}

/// Gossips and answers until it is told to leave, or dropped.
async fn live(
    name: &str,
    seed: String,
    keys: Option<Keyring>,
    jobs: Arc<Mutex<usize>>,
    plays: Plays,
    stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = Overlay::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let boot = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut config = Config::new(Identity {
        name: name.parse().unwrap(),
        boot: BootEpoch(boot),
        gossip: socket.local_addr().unwrap(),
        http_port: listener.local_addr().unwrap().port(),
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 64,
        versions: Versions::SPOKEN,
    });
    config.timing = Timing::Local;
    config.seeds = vec![seed];
    config.keys = keys;
    let overlay = Overlay::start(config, socket).unwrap();
    let load = overlay.load_publisher();
    let leaves = tokio::select! {
        told = stopped => told.is_ok(),
        () = seem_idle(&load) => false,
        () = serve(listener, jobs, plays) => false,
    };
    if leaves {
        overlay.leave(PATIENCE).await;
    }
}

/// Says again and again that there is nothing to do.
async fn seem_idle(load: &LoadPublisher) {
    for seq in 0.. {
        let room = LoadSample { seq, queue_capacity_jobs: 1000, workers: 64, ..LoadSample::default() };
        load.publish(LoadSample { service_ms: 1, kilopixels_per_s: 4_000_000, ..room });
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

type Plays = Arc<dyn Fn(&str) -> Option<Play> + Send + Sync>;

async fn serve(listener: TcpListener, jobs: Arc<Mutex<usize>>, plays: Plays) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (jobs, plays) = (Arc::clone(&jobs), Arc::clone(&plays));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (jobs, plays) = (Arc::clone(&jobs), Arc::clone(&plays));
            async move {
                let path = request.uri().path().to_owned();
                // A client that goes away in the middle is no concern of it.
                drop(request.into_body().collect().await);
                if path.starts_with("/internal/jobs/") {
                    *jobs.lock() += 1;
                }
                let mut play = plays(&path).unwrap_or_else(|| as_usual(&path));
                loop {
                    match play {
                        Play::Answer(response) => return Ok::<_, std::convert::Infallible>(response),
                        Play::Hang => std::future::pending().await,
                        Play::Later(later) => play = later.await,
                    }
                }
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn as_usual(path: &str) -> Play {
    match path {
        "/internal/offers" => Play::json(&format!("{{\"offer\":\"{:032x}\"}}", rand::random::<u128>())),
        "/internal/leases" => Play::json("{\"verdict\":\"yours\"}"),
        path if path.starts_with("/internal/results/") => Play::nothing(),
        _ => Play::json("null"),
    }
}
