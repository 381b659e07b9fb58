//! The words of `netem fault`, `partition` and `heal`, on the command line and in timelines.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::control::Request;
use crate::units::{UnitError, parse_delay, parse_percent, parse_rate};
use crate::{Distribution, LinkChange, Shift};

/// What can be done to links at run time.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Change links: netem fault FRA-BOM --loss 30% --delay +100ms --for 20s
    Fault(FaultArgs),
    /// Cut links: netem partition FRA,IAD / BOM, or: netem partition node3
    Partition(PartitionArgs),
    /// End faults: all of them, or the one with this number
    Heal {
        /// Number of a fault, as `netem show` lists it
        id: Option<u32>,
    },
}

/// `netem fault`.
#[derive(Debug, Clone, Args)]
pub struct FaultArgs {
    /// FRA-BOM, node1-FRA, FRA,IAD/BOM, node3 (all its links), FRA-FRA (within a zone) or all
    pub links: String,
    /// One-way delay: +100ms on top of the link's, 100ms instead of it
    #[arg(long, value_parser = Shift::parse, allow_hyphen_values = true)]
    pub delay: Option<Shift>,
    /// Round trip: half of it each way
    #[arg(long, value_parser = Shift::parse, conflicts_with_all = ["delay", "one_way"])]
    pub rtt: Option<Shift>,
    /// Spread of the delay
    #[arg(long, value_parser = parse_delay)]
    pub jitter: Option<Duration>,
    /// Shape of the jitter: uniform, normal or pareto
    #[arg(long, value_parser = parse_distribution)]
    pub distribution: Option<Distribution>,
    /// Share of the packets that are lost, each way
    #[arg(long, value_parser = parse_percent)]
    pub loss: Option<f64>,
    /// Mean number of packets lost in a row
    #[arg(long)]
    pub burst: Option<f64>,
    /// Share of the packets that arrive twice
    #[arg(long, value_parser = parse_percent)]
    pub duplicate: Option<f64>,
    /// Share of the packets that overtake
    #[arg(long, value_parser = parse_percent)]
    pub reorder: Option<f64>,
    /// Bits a second: 20mbit
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<u64>,
    /// Only from the first to the second
    #[arg(long)]
    pub one_way: bool,
    /// How long
    #[command(flatten)]
    pub lasting: Lasting,
}

/// `netem partition`.
#[derive(Debug, Clone, Args)]
pub struct PartitionArgs {
    /// Groups of zones and nodes that lose each other; one group alone loses everyone else
    #[arg(required = true)]
    pub groups: Vec<String>,
    /// How long
    #[command(flatten)]
    pub lasting: Lasting,
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, Args)]
pub struct Lasting {
    /// End it after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_lasting)]
    pub span: Option<Duration>,
    /// Stay, and end it when this command ends
    #[arg(long)]
    pub hold: bool,
}

impl Lasting {
    fn for_ms(self) -> Option<u64> {
        self.span.map(|span| span.as_millis() as u64)
    }
}

impl Action {
    /// The order that it stands for. `lease`: the fault ends with the connection whatever the arguments say.
    pub fn request(&self, lease: bool) -> Request {
        match self {
            Self::Fault(fault) => Request::Fault {
                links: fault.links.clone(),
                change: fault.change(),
                one_way: fault.one_way,
                for_ms: fault.lasting.for_ms(),
                lease: lease || fault.lasting.hold,
            },
            Self::Partition(partition) => Request::Partition {
                groups: partition.groups.join(" "),
                for_ms: partition.lasting.for_ms(),
                lease: lease || partition.lasting.hold,
            },
            Self::Heal { id } => Request::Heal { id: *id },
        }
    }

    /// Whether the command stays until it is ended.
    pub fn holds(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.lasting.hold,
            Self::Partition(partition) => partition.lasting.hold,
            Self::Heal { .. } => false,
        }
    }
}

impl FaultArgs {
    fn change(&self) -> LinkChange {
        LinkChange {
            delay: self.delay.or(self.rtt.map(Shift::half)),
            jitter: self.jitter,
            distribution: self.distribution,
            loss: self.loss,
            loss_burst: self.burst,
            duplicate: self.duplicate,
            reorder: self.reorder,
            rate: self.rate,
            cut: false,
        }
    }
}

fn parse_distribution(text: &str) -> Result<Distribution, String> {
    [Distribution::Uniform, Distribution::Normal, Distribution::Pareto]
        .into_iter()
        .find(|distribution| distribution.name() == text)
        .ok_or_else(|| "expected uniform, normal or pareto".to_owned())
}

/// A time as in `--for 20s`: a fault that lasts no time is none.
fn parse_lasting(text: &str) -> Result<Duration, String> {
    match parse_span(text) {
        Ok(span) if span.is_zero() => Err("a fault has to last some time, such as 20s".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// A time in a timeline: minutes and hours too.
pub(crate) fn parse_span(text: &str) -> Result<Duration, UnitError> {
    const HOURS_MAX: f64 = 24.0;
    let minutes = |number: &str, minutes: f64| {
        let number: f64 = number.parse().ok()?;
        let minutes = number * minutes;
        (0.0..=HOURS_MAX * 60.0).contains(&minutes).then(|| Duration::from_secs_f64(minutes * 60.0))
    };
    let long = text
        .strip_suffix('h')
        .and_then(|hours| minutes(hours, 60.0))
        .or_else(|| text.strip_suffix('m').and_then(|number| minutes(number, 1.0)))
        .or_else(|| text.strip_suffix('s').and_then(|number| minutes(number, 1.0 / 60.0)));
    long.map_or_else(|| parse_delay(text), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_longer_than_delays() {
        assert_eq!(parse_span("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_span("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_lasting("0s").is_err() && parse_lasting("0").is_err() && parse_lasting("1s").is_ok());
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["25h", "20", "-1s", "s"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
