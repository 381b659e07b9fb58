//! Checks of single values: each says what would be right.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use starling_placement::policy::ScoreWeights;

use super::List;
use super::error::{ConfigError, Faults, invalid};

/// Longest that any request may take, whatever the node was told.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
const DEADLINE_MAX_DEFAULT: Duration = Duration::from_secs(3600);

/// A given text parsed, or the default if there is none.
pub(super) fn parse<T>(option: &'static str, text: Option<String>, default: T) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: ToString,
{
    text.map_or(Ok(default), |text| text.parse().map_err(|error: T::Err| invalid(option, error.to_string())))
}

/// What is made of a list, or of an empty one if none was given.
pub(super) fn items<T, E: ToString>(
    option: &'static str,
    given: Option<List>,
    read: impl Fn(&[String]) -> Result<T, E>,
) -> Result<T, ConfigError> {
    read(&given.unwrap_or_default().into_values()).map_err(|error| invalid(option, error.to_string()))
}

pub(super) fn in_range<T>(
    option: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(invalid(option, format!("{value} is out of range: give {} to {}", range.start(), range.end())))
    }
}

pub(super) fn duration(
    option: &'static str,
    text: Option<String>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    match humantime::parse_duration(&text) {
        Ok(value) if (Duration::from_millis(1)..=DEADLINE_MAX).contains(&value) => Ok(value),
        Ok(_) => Err(invalid(option, format!("{text} is out of range: give 1ms to 24h, as in 40s or 2m"))),
        Err(_) => Err(invalid(option, format!("{text:?} is not a time: give one such as 40s or 2m"))),
    }
}

pub(super) fn bytes(
    option: &'static str,
    text: Option<String>,
    default: ByteSize,
) -> Result<u64, ConfigError> {
    let value = match text {
        None => default.as_u64(),
        Some(text) => text
            .parse::<ByteSize>()
            .map_err(|_| {
                invalid(option, format!("{text:?} is not a size: give bytes, or as in 500MB or 10GiB"))
            })?
            .as_u64(),
    };
    in_range(option, value, 1..=u64::MAX / 2)
}

/// A size that has no default, if it is given.
pub(super) fn bytes_if_given(option: &'static str, text: Option<String>) -> Result<Option<u64>, ConfigError> {
    text.map(|text| bytes(option, Some(text), ByteSize::b(0))).transpose()
}

/// The default deadline and the greatest one.
pub(super) fn deadlines(
    found: &mut Faults,
    default: Option<String>,
    max: Option<String>,
) -> Option<(Duration, Duration)> {
    let deadline = found.keep(duration("deadline", default, Duration::from_secs(40)));
    let usual = DEADLINE_MAX_DEFAULT.max(deadline.unwrap_or_default());
    let (max, deadline) = (found.keep(duration("deadline-max", max, usual))?, deadline?);
    let fits = if max < deadline {
        let (max, deadline) = (humantime::format_duration(max), humantime::format_duration(deadline));
        let why = format!("{max} is less than --deadline, {deadline}: give at least that");
        Err(invalid("deadline-max", why))
    } else {
        Ok((deadline, max))
    };
    found.keep(fits)
}

pub(super) fn seeds(given: Option<List>) -> Result<Vec<String>, ConfigError> {
    let seeds = given.unwrap_or_default().into_values();
    for seed in &seeds {
        let port =
            seed.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(invalid(
                "join",
                format!("{seed:?} is not HOST:PORT, as in node2:5000 or [fd00::2]:5000"),
            ));
        }
    }
    Ok(seeds)
}

/// One of the score policy's weights.
fn weight(option: &'static str, given: Option<f64>, default: f64) -> Result<f64, ConfigError> {
    match given.unwrap_or(default) {
        weight if weight.is_finite() && weight >= 0.0 => Ok(weight),
        weight => Err(invalid(option, format!("{weight} is no weight: give a number from 0 on, as in 0.3"))),
    }
}

/// Those of the score policy.
pub(super) fn weights(found: &mut Faults, load: Option<f64>, rtt: Option<f64>) -> Option<ScoreWeights> {
    let defaults = ScoreWeights::PAPER;
    let load = found.keep(weight("load-weight", load, defaults.load()));
    let rtt = found.keep(weight("rtt-weight", rtt, defaults.rtt()));
    found.keep(ScoreWeights::new(load?, rtt?).map_err(|error| invalid("load-weight", error)))
}
