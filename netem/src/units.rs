//! The units people write in zone files and on the command line: `90ms`, `0.5%`, `200mbit`.

use std::time::Duration;

/// A value that is not in the form that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?}: expected {expected}")]
pub struct UnitError {
    got: String,
    expected: &'static str,
}

const DELAY: &str = "a time such as \"90ms\", \"1.5s\" or \"250us\", at most 60s";
const PERCENT: &str = "a percentage from \"0%\" to \"100%\", such as \"0.5%\"";
const RATE: &str = "a rate such as \"200mbit\", \"1.5gbit\" or \"64kbit\", from 1kbit to 100gbit";

/// Longer delays than this are mistakes: no link that people route video over is slower.
const DELAY_MAX: Duration = Duration::from_secs(60);
const RATE_BITS_PER_S_MIN: f64 = 1e3;
const RATE_BITS_PER_S_MAX: f64 = 100e9;

/// `90ms`, `1.5s`, `250us`.
pub fn parse_delay(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError { got: text.to_owned(), expected: DELAY };
    let (number, unit) = split(text).ok_or_else(error)?;
    let seconds = match unit {
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ if number == 0.0 && unit.is_empty() => 0.0,
        _ => return Err(error()),
    };
    let delay = Duration::try_from_secs_f64(seconds).map_err(|_| error())?;
    // Whole microseconds: what tc prints and takes.
    let delay = Duration::from_micros(delay.as_nanos().div_ceil(1000) as u64);
    if delay > DELAY_MAX { Err(error()) } else { Ok(delay) }
}

/// `30%` is 0.3.
pub fn parse_percent(text: &str) -> Result<f64, UnitError> {
    let error = || UnitError { got: text.to_owned(), expected: PERCENT };
    match split(text) {
        Some((number, "%")) if number <= 100.0 => Ok(number / 100.0),
        _ => Err(error()),
    }
}

/// `200mbit` is 200,000,000 bits a second.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError { got: text.to_owned(), expected: RATE };
    let (number, unit) = split(text).ok_or_else(error)?;
    let scale = match unit {
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err(error()),
    };
    let rate = number * scale;
    if (RATE_BITS_PER_S_MIN..=RATE_BITS_PER_S_MAX).contains(&rate) {
        Ok(rate.round() as u64)
    } else {
        Err(error())
    }
}

/// The shortest exact form that [`parse_delay`] and tc both read.
pub fn format_delay(delay: Duration) -> String {
    let us = delay.as_micros();
    if us.is_multiple_of(1000) { format!("{}ms", us / 1000) } else { format!("{us}us") }
}

/// A probability as a percentage with at most four decimals.
pub fn format_percent(probability: f64) -> String {
    let text = format!("{:.4}", probability * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Bits a second in the largest unit that divides them.
pub fn format_rate(bits_per_s: u64) -> String {
    match bits_per_s {
        r if r.is_multiple_of(1_000_000_000) => format!("{}gbit", r / 1_000_000_000),
        r if r.is_multiple_of(1_000_000) => format!("{}mbit", r / 1_000_000),
        r if r.is_multiple_of(1_000) => format!("{}kbit", r / 1_000),
        r => format!("{r}bit"),
    }
}

/// A non-negative decimal number and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse::<f64>().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        assert_eq!(parse_delay("90ms"), Ok(Duration::from_millis(90)));
        assert_eq!(parse_delay("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_delay("0.25ms"), Ok(Duration::from_micros(250)));
        assert_eq!(parse_delay("0"), Ok(Duration::ZERO));
        for bad in ["90", "-1ms", "1m", "ms", "", "61s", "1e3ms", "nan ms", "1..2ms"] {
            assert!(parse_delay(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percents() {
        assert_eq!(parse_percent("30%"), Ok(0.3));
        assert_eq!(parse_percent(" 0.5 % "), Ok(0.005));
        for bad in ["30", "0.3", "101%", "-1%", "%"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("200mbit"), Ok(200_000_000));
        assert_eq!(parse_rate("1.5gbit"), Ok(1_500_000_000));
        for bad in ["200", "200mbps", "0mbit", "1tbit", "200gbit"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_formatted_is_read_back() {
        for delay in ["90ms", "250us", "1500ms"] {
            assert_eq!(format_delay(parse_delay(delay).unwrap()), delay);
        }
        assert_eq!(format_percent(0.3), "30%");
        assert_eq!(format_percent(0.000_5), "0.05%");
        assert_eq!(format_rate(1_500_000_000), "1500mbit");
    }

    #[test]
    fn an_error_says_what_was_expected() {
        assert_eq!(
            parse_percent("30").unwrap_err().to_string(),
            "\"30\": expected a percentage from \"0%\" to \"100%\", such as \"0.5%\""
        );
    }
}
