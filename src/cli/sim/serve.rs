//! `starling sim --serve`: a run that is played on the dashboard.

use std::net::SocketAddr;
use std::process::ExitCode;

use starling::simulated::Play;

use super::Args;

/// Options of a run that is played.
#[derive(clap::Args)]
pub struct ServeArgs {
    /// Play one run on the dashboard, at 127.0.0.1:8006 or at this address: with speed, pause, steps and a list of faults, to look at a
    /// seed that broke a rule, or at a large cluster. It ends with Ctrl-C
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:8006",
        conflicts_with_all = ["seeds", "experiment", "json", "workload", "replay"]
    )]
    pub serve: Option<SocketAddr>,
    /// Virtual seconds in a second
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER", requires = "serve", value_parser = speed)]
    speed: f64,
    /// Begin with a pause
    #[arg(long, requires = "serve")]
    paused: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.01..=1_000.0).contains(&speed) { Ok(speed) } else { Err("give 0.01 to 1000".to_owned()) }
}

/// Serves it until it is interrupted.
pub(super) fn run(args: &Args, address: SocketAddr) -> anyhow::Result<ExitCode> {
    let play = Play {
        scenario: (!args.mixed).then(|| args.scenario(args.seed)),
        seed: args.seed,
        speed: args.play.speed,
        paused: args.play.paused,
    };
    crate::cli::runtime::block_on(async move {
        let stop = crate::cli::node::stop_signal()?;
        let ready = |address: SocketAddr| super::tell(&format!("http://{address}/dashboard"));
        starling::run::run_simulation(play, address, ready, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}
