//! A simulation that is played on the dashboard, until it is enough.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::dashboard::{self, Source};
use crate::gate::{Gate, Hosts, Origins};
use crate::http::{Server, ServerLimits, SimulationPage};
use crate::node::bind_hint;
use crate::simulated::{self, Play};
use crate::tls::Acceptor;

/// Connections at once: it serves people.
const LIMITS: ServerLimits = ServerLimits { connections_max: 64, connections_per_client: 64 };
/// Time that answers under way have at the end.
const DRAIN: Duration = Duration::from_millis(500);

/// Plays a run at this address until `stop` ends; `ready` is told where its page is.
pub async fn run_simulation(
    play: Play,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|source| {
        let hint = bind_hint(&source);
        io::Error::new(source.kind(), format!("can't serve at {address}: {source}; {hint}"))
    })?;
    let address = listener.local_addr()?;
    let stage = simulated::play(play).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&stage).sample_regularly());
    tasks.spawn(dashboard::publish_regularly(Arc::clone(&stage) as _));
    let page =
        SimulationPage { stage: Arc::clone(&stage), gate: Gate::new(Hosts::default(), Origins::default()) };
    let server = Server::start(&Arc::new(page), vec![listener], LIMITS, &Acceptor::default());
    ready(address);
    stop.await;
    stage.board().close();
    if !server.shutdown(DRAIN).await {
        tracing::debug!("stopped with answers under way");
    }
    tasks.shutdown().await;
    Ok(())
}
