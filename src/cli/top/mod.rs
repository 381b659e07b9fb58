//! `starling top`: the dashboard in a terminal.

mod model;
mod nodes;
mod screen;
#[cfg(test)]
mod tests;
mod work;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use starling::client::{Client, ClientError, Endpoint, States};
use starling::dashboard::State;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use model::{Link, Model, Next};

use super::out;

/// How long after a lost connection the node is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often the terminal is asked whether it is still there, and the thread that reads keys whether it is still needed.
const KEYS_POLL: Duration = Duration::from_millis(200);
/// States and keys on their way to the screen.
const WAITING_MAX: usize = 8;

/// Watch a cluster in the terminal: nodes, links, events and jobs, as a node or a monitor sees them
#[derive(Debug, clap::Args)]
#[command(after_help = KEYS)]
pub struct Args {
    /// The node or monitor to ask: http://HOST:PORT or HOST:PORT
    #[arg(long, env = "STARLING_NODE", default_value = "http://127.0.0.1:5001", value_name = "URL")]
    node: Endpoint,

    #[command(flatten)]
    reach: super::reach::Reach,
}

const KEYS: &str = "Keys: Tab or 1-5 choose what is shown (overview, nodes, links, events, jobs), arrows, PgUp, PgDn, Home \
    and End move, s sorts the nodes by another column, u shows only what is not well, p pauses, ? shows the keys, q ends. \
    NO_COLOR is honoured.";

/// What comes to the screen.
enum Incoming {
    State(Box<State>),
    Lost(String),
    Terminal(Event),
}

/// Runs it, until q or a signal.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        out::complain(
            "starling top: it needs a terminal for its picture and its keys; scripts ask with `starling members --json`, \
             `starling events --json` or GET /dashboard/state",
        );
        return Ok(ExitCode::from(super::node::EXIT_USAGE));
    }
    let client = args.reach.client()?;
    // A node that can't be reached at first is a mistake of whoever asks; later it is what happens to nodes.
    let states = States::open(&client, &args.node).await?;
    let (send, receive) = mpsc::channel(WAITING_MAX);
    let follower = tokio::spawn(follow(client, args.node.clone(), states, send.clone()));
    // Restores the terminal after a panic, too.
    let mut terminal = ratatui::try_init()?;
    // Ends soon after the receiver is gone.
    let keys = tokio::task::spawn_blocking(move || read_keys(&send));
    let shown = show(&mut terminal, Model::new(args.node.to_string()), receive).await;
    let restored = ratatui::try_restore();
    follower.abort();
    keys.await?;
    shown?;
    restored?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what comes until it is enough.
async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut model: Model,
    mut incoming: mpsc::Receiver<Incoming>,
) -> anyhow::Result<()> {
    let mut stop = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [interrupt, terminate, hangup] = &mut stop;
    let (interrupt, terminate, hangup) = (sure(interrupt)?, sure(terminate)?, sure(hangup)?);
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    loop {
        terminal.draw(|frame| screen::draw(frame, &mut model, colours))?;
        let next = tokio::select! {
            incoming = incoming.recv() => incoming,
            // What is old comes to look old.
            () = tokio::time::sleep(Duration::from_secs(1)) => continue,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        };
        match next {
            None => return Ok(()),
            Some(Incoming::State(state)) => model.take(*state, Instant::now()),
            Some(Incoming::Lost(why)) => model.link = Link::Lost(why),
            Some(Incoming::Terminal(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                if model.key(key) == Next::End {
                    return Ok(());
                }
            }
            // A new size is drawn at once.
            Some(Incoming::Terminal(_)) => {}
        }
    }
}

fn sure<T>(made: &mut io::Result<T>) -> io::Result<&mut T> {
    made.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Has the states sent to the screen, and asks again where the connection is lost. Aborted at the end.
async fn follow(client: Client, node: Endpoint, states: States, send: mpsc::Sender<Incoming>) {
    let mut states: Result<States, ClientError> = Ok(states);
    loop {
        let why = match &mut states {
            Ok(states) => match take(states, &send).await {
                Ok(()) => format!("{node} has ended the stream"),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if send.send(Incoming::Lost(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY_DELAY).await;
        states = States::open(&client, &node).await;
    }
}

async fn take(states: &mut States, send: &mpsc::Sender<Incoming>) -> Result<(), ClientError> {
    while let Some(state) = states.next().await? {
        if send.send(Incoming::State(Box::new(state))).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads keys until nobody wants them, or the terminal is gone.
fn read_keys(send: &mpsc::Sender<Incoming>) {
    while !send.is_closed() {
        match event::poll(KEYS_POLL).and_then(|any| any.then(event::read).transpose()) {
            Ok(None) => {}
            Ok(Some(event)) => {
                if send.blocking_send(Incoming::Terminal(event)).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
