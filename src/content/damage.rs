use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What of an input could not be read, though the rest gave a result. As text it is the value of `X-Input-Damage`: a dictionary
/// of RFC 8941.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// How long the result plays, in milliseconds.
    pub read_ms: u64,
    /// How long the input says that it plays, in milliseconds, where that is longer.
    pub expected_ms: Option<u64>,
    /// Complaints of the decoder, as many as were counted.
    pub errors: u32,
}

/// The text is no damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a damage: give it as in read=2.400, expected=4.000, errors=3")]
pub struct ParseDamageError;

impl Damage {
    /// How long the result plays.
    pub const fn read(&self) -> Duration {
        Duration::from_millis(self.read_ms)
    }

    /// The same for people.
    pub fn in_words(&self) -> String {
        let read = self.read();
        match self.expected_ms.map(Duration::from_millis) {
            Some(expected) => format!("{read:.1?} of {expected:.1?} could be read"),
            None => format!("{read:.1?} could be read, with errors"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        write!(f, "read={}", seconds(self.read_ms))?;
        if let Some(expected) = self.expected_ms {
            write!(f, ", expected={}", seconds(expected))?;
        }
        write!(f, ", errors={}", self.errors)
    }
}

impl FromStr for Damage {
    type Err = ParseDamageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut read, mut expected, mut errors) = (None, None, 0);
        for member in text.split(',') {
            let (name, value) = member.trim().split_once('=').ok_or(ParseDamageError)?;
            let ms = || {
                let seconds =
                    value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                seconds
                    .and_then(|time| u64::try_from((time + Duration::from_micros(500)).as_millis()).ok())
                    .ok_or(ParseDamageError)
            };
            match name {
                "read" => read = Some(ms()?),
                "expected" => expected = Some(ms()?),
                "errors" => errors = value.parse().map_err(|_| ParseDamageError)?,
                _ => {}
            }
        }
        Ok(Self { read_ms: read.ok_or(ParseDamageError)?, expected_ms: expected, errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_read_as_it_is_written(read_ms in 0u64..1 << 40, expected_ms in prop::option::of(0u64..1 << 40), errors: u32) {
            let damage = Damage { read_ms, expected_ms, errors };
            prop_assert_eq!(damage.to_string().parse(), Ok(damage));
        }

        #[test]
        fn any_text_is_borne(text in "[ -~]{0,40}|(read|expected|errors|=|,|1|e9| |-){0,12}") {
            if let Ok(damage) = text.parse::<Damage>() {
                drop(damage.to_string());
            }
        }
    }

    #[test]
    fn it_reads_as_the_interface_says() {
        let damage = Damage { read_ms: 2_400, expected_ms: Some(4_000), errors: 3 };
        assert_eq!(damage.to_string(), "read=2.400, expected=4.000, errors=3");
        assert_eq!(damage.in_words(), "2.4s of 4.0s could be read");
        assert_eq!("errors=1".parse::<Damage>(), Err(ParseDamageError));
    }
}
