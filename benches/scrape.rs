//! How long a monitor's round takes: each member asked for its metrics, of some hundred lines, and for its work. The endpoints answer at
//! once, on loopback, from threads of this process, so what is measured has their work in it.
//!
//! `cargo bench --bench scrape -- [MEMBERS] [ROUNDS]` prints a line of JSON: milliseconds by the clock, median and most, and CPU seconds of
//! this process for each round. Each round has connections of its own.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use starling_overlay::{BootEpoch, Identity, Versions};
use tokio::net::TcpListener;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// About what a node answers.
fn metrics() -> Bytes {
    let first =
        "starling_uploads_total{status=\"200\",cache=\"hit\",route=\"local\",policy=\"eta\"} 3\n".to_owned();
    let buckets =
        (0..400).map(|at| format!("starling_upload_duration_seconds_bucket{{le=\"{at}.0\"}} {at}\n"));
    std::iter::once(first).chain(buckets).collect::<String>().into()
}

/// Answers like any number of nodes, for as long as the runtime lives.
async fn nodes() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (metrics, work) = (metrics(), Bytes::from_static(br#"{"jobs":[],"decisions":[]}"#));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (metrics, work) = (metrics.clone(), work.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let body = if request.uri().path() == "/metrics" { metrics.clone() } else { work.clone() };
                async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

/// CPU time of this process so far: fields 14 and 15 of /proc/self/stat, ticks of a hundredth.
fn cpu_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / 100.0)
}

fn member(number: usize, http: SocketAddr) -> Result<Arc<Identity>> {
    Ok(Arc::new(Identity {
        name: format!("node{number}").parse()?,
        boot: BootEpoch(1),
        gossip: http,
        http_port: http.port(),
        zone: "FRA".parse()?,
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }))
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, or: usize| args.get(at).map_or(Ok(or), |arg| arg.parse());
    let (count, rounds) = (number(0, 500)?, number(1, 20)?);
    let address = nodes().await?;
    let members: Vec<_> = (1..=count).map(|number| member(number, address)).collect::<Result<_>>()?;
    let (mut times_ms, cpu_before) = (Vec::new(), cpu_s()?);
    for _ in 0..rounds {
        let began = Instant::now();
        let told = starling::monitor::ask_once(members.clone()).await;
        times_ms.push(began.elapsed().as_secs_f64() * 1e3);
        if told != count {
            return Err(format!("{told} of {count} have told").into());
        }
    }
    let cpu = (cpu_s()? - cpu_before) / rounds as f64;
    times_ms.sort_by(f64::total_cmp);
    let (median, most) = (times_ms[rounds / 2], times_ms[rounds - 1]);
    println!(
        "{{\"members\":{count},\"rounds\":{rounds},\"median_ms\":{median:.1},\"most_ms\":{most:.1},\"cpu_s\":{cpu:.3}}}"
    );
    Ok(())
}
