//! What a job is called.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

/// Bits of a number that are random; the others are the time.
const RANDOM_BITS: u32 = 80;

/// A job's number: 48 bits of milliseconds since 1970, 80 random bits, as in a UUID of version 7 (RFC 9562) without its version.
/// Later ones are greater, and nobody guesses one: whoever knows it may ask for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobNumber(pub u128);

starling_placement::hex_id!(JobNumber(u128), 32, JobNumberError, "a job's number is 32 hexadecimal digits");

/// A job's name: its number, and the node that took it, which is asked for it. As text `NUMBER-NODE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    /// Its number.
    pub number: JobNumber,
    /// The node that took it.
    pub node: NodeName,
}

/// A text is no job's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no job's name: give it as it came with the answer 202, 32 hexadecimal digits, a dash and a node's name"
)]
pub struct JobIdError(String);

impl JobNumber {
    /// A new one, of this moment.
    pub fn of_now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let random = rand::random::<u128>() >> (128 - RANDOM_BITS);
        Self(since.as_millis() << RANDOM_BITS | random)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.node)
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let parts = text
            .split_once('-')
            .and_then(|(number, node)| Some(Self { number: number.parse().ok()?, node: node.parse().ok()? }));
        parts.ok_or_else(|| JobIdError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for JobId {
    type Error = JobIdError;

    fn try_from(text: String) -> Result<Self, JobIdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        let id = JobId { number: JobNumber::of_now(), node: "eu-west-1".parse().unwrap() };
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<JobId>(&json).unwrap(), id);
        let short = "0123-node1";
        let signed = "+0000000000000000000000000000000-node1";
        let nameless = "00000000000000000000000000000000-";
        for bad in ["", "node1", short, signed, nameless, "00000000000000000000000000000000"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn later_numbers_are_greater_and_no_two_are_alike() {
        let (first, second) = (JobNumber::of_now(), JobNumber::of_now());
        assert_ne!(first, second);
        let ms = |number: JobNumber| number.0 >> RANDOM_BITS;
        assert!(ms(first) <= ms(second));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(now - ms(first) < 60_000, "it is of this moment");
    }
}
