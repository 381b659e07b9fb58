//! The cluster's keys.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Length of a key, in bytes.
pub const KEY_BYTES: usize = 32;
/// Most keys in a keyring: one in use, one to come, and a few that were forgotten there.
const KEYS_MAX: usize = 8;

/// The secrets that all members of a cluster share. The first one seals; each of them opens.
///
/// To change the key without losing a member: append the new key to every node's key file; when all have read it, move
/// it to the front in every file; when all have read that, remove the old one.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring(Arc<[[u8; KEY_BYTES]]>);

/// Why a text is not a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A line is not a key.
    #[error(
        "line {line} is not a key: expected {KEY_BYTES} bytes in base64, as `starling key new` prints them"
    )]
    Line {
        /// Which one, from 1.
        line: usize,
    },
    /// No key at all.
    #[error("there is no key: expected one a line, as `starling key new` prints them")]
    Empty,
    /// Too many keys.
    #[error("there are more than {KEYS_MAX} keys: remove those that are not in use any more")]
    TooMany,
}

impl Keyring {
    /// A keyring of one key.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self([key].into())
    }

    /// Reads a key file: a key a line in base64; empty lines and what follows a `#` don't count.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let error = KeyringError::Line { line: index + 1 };
            let bytes = BASE64_STANDARD.decode(line).map_err(|_| error.clone())?;
            keys.push(bytes.try_into().map_err(|_| error)?);
        }
        match keys.len() {
            0 => Err(KeyringError::Empty),
            1..=KEYS_MAX => Ok(Self(keys.into())),
            _ => Err(KeyringError::TooMany),
        }
    }

    /// One key as a line of a key file.
    pub fn line(key: &[u8; KEY_BYTES]) -> String {
        BASE64_STANDARD.encode(key)
    }

    /// The keys, the one in use first. For what else members have to prove to each other.
    pub fn keys(&self) -> &[[u8; KEY_BYTES]] {
        &self.0
    }
}

/// Never shows the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_has_a_key_a_line() {
        let [a, b] = [[1; KEY_BYTES], [2; KEY_BYTES]];
        let text =
            format!("# the cluster's keys\n{}\n\n  {} # the old one\n", Keyring::line(&a), Keyring::line(&b));
        assert_eq!(Keyring::parse(&text).unwrap().keys(), [a, b]);
        assert_eq!(format!("{:?}", Keyring::new(a)), "Keyring(1 keys)");
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        assert_eq!(Keyring::parse("# nothing"), Err(KeyringError::Empty));
        assert_eq!(Keyring::parse("\nsecret"), Err(KeyringError::Line { line: 2 }));
        assert_eq!(Keyring::parse("c2hvcnQ="), Err(KeyringError::Line { line: 1 }));
        let line = Keyring::line(&[3; KEY_BYTES]) + "\n";
        assert_eq!(Keyring::parse(&line.repeat(9)), Err(KeyringError::TooMany));
    }
}
