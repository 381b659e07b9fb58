//! Ingest of a big body over loopback, on disk and hashed, beside `openssl dgst -sha256` of the same bytes.
//!
//! `cargo bench --bench ingest -- [MEGABYTES [ROUNDS [AT_ONCE]]]` prints a line of JSON: medians in seconds, their ratio,
//! and the peak memory of the receiving process. The senders are processes of their own.
//! With `AT_ONCE` over 1, so many uploads run side by side, and openssl hashes as many files one after another.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use starling::http::READ_BUFFER_BYTES;
use starling::store::{DataDir, Limits, Store};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [first, address, path] = args.as_slice()
        && first == "send"
    {
        return send(address, Path::new(path));
    }
    let megabytes: usize = args.first().map_or(Ok(1000), |arg| arg.parse())?;
    let rounds: usize = args.get(1).map_or(Ok(5), |arg| arg.parse())?;
    let at_once: usize = args.get(2).map_or(Ok(1), |arg| arg.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(megabytes, rounds, at_once))
}

async fn measure(megabytes: usize, rounds: usize, at_once: usize) -> Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let input = folder.path().join("input.mp4");
    make_input(&input, megabytes)?;
    let store = Store::open(
        DataDir::open(folder.path().join("data"))?,
        0,
        "none",
        starling::events::Events::default(),
    )?;
    let (mut openssl, mut ours) = (Vec::new(), Vec::new());
    // By turns, so that whatever else the machine does falls on both.
    for _ in 0..rounds {
        let files = vec![&input; at_once];
        openssl.push(run(Command::new("openssl").args(["dgst", "-sha256"]).args(files))?);
        ours.push(ingest(&input, &store, at_once).await?);
    }
    let (openssl, ours) = (median(&mut openssl), median(&mut ours));
    println!(
        "{{\"megabytes\":{megabytes},\"rounds\":{rounds},\"at_once\":{at_once},\"openssl_s\":{:.3},\"ingest_s\":{:.3},\"ratio\":{:.2},\
         \"peak_rss_mb\":{}}}",
        openssl.as_secs_f64(),
        ours.as_secs_f64(),
        ours.as_secs_f64() / openssl.as_secs_f64(),
        peak_rss_megabytes()?,
    );
    Ok(())
}

/// Bytes that pass for an MP4 at first sight.
fn make_input(path: &Path, megabytes: usize) -> Result<()> {
    let mut file = File::create(path)?;
    let block: Vec<u8> = (0u32..250_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    file.write_all(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41")?;
    for _ in 0..megabytes {
        file.write_all(&block)?;
    }
    Ok(())
}

/// From the senders' start to the last one's answer, which comes when its upload is on disk and hashed.
async fn ingest(input: &Path, store: &Store, at_once: usize) -> Result<Duration> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let start = Instant::now();
    let mut senders = Vec::new();
    for _ in 0..at_once {
        senders.push(Command::new(std::env::current_exe()?).args(["send", &address]).arg(input).spawn()?);
    }
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (stream, _) = listener.accept().await?;
        connections.spawn(serve(stream, store.clone()));
    }
    while let Some(served) = connections.join_next().await {
        served??;
    }
    for mut sender in senders {
        if !sender.wait()?.success() {
            return Err("a sender failed".into());
        }
    }
    Ok(start.elapsed())
}

async fn serve(stream: tokio::net::TcpStream, store: Store) -> Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let store = store.clone();
        async move {
            let limits = Limits { bytes_max: u64::MAX, ..Limits::default() };
            let upload = store.receive(request.into_body(), &limits).await;
            let text = upload.map_or_else(|error| error.to_string(), |upload| upload.content.to_string());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        }
    });
    http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn send(address: &str, path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut stream = TcpStream::connect(address)?;
    let length = file.metadata()?.len();
    write!(
        stream,
        "POST /upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )?;
    // By way of the kernel alone, where the standard library can.
    std::io::copy(&mut file, &mut stream)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let digest = answer.rsplit("\r\n").next().unwrap_or_default();
    if digest.len() == 64 { Ok(()) } else { Err(answer.into()) }
}

fn run(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(start.elapsed()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn peak_rss_megabytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}
