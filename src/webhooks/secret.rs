//! The secrets by which messages are signed.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a secret as text begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the scheme.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets in a file, at the most: an old and a new one, mostly.
const SECRETS_MAX: usize = 8;

/// The secrets of a cluster: each message is signed by all of them, so that receivers may change from one to the next.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

/// A file of secrets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in it is none.
    #[error(
        "line {line}: no secret of a webhook: give whsec_ and 24 to 64 bytes as Base64, as `echo whsec_$(openssl rand -base64 32)` makes it"
    )]
    Bad {
        /// Which line.
        line: usize,
    },
    /// There are none, or too many.
    #[error("it has {found} secrets: give 1 to {SECRETS_MAX}, one a line")]
    Count {
        /// How many.
        found: usize,
    },
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those in a file, one a line; empty lines and such that begin with `#` are none.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path);
        Self::of(&text.map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?)
    }

    /// The same of a text.
    pub fn of(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().map(str::trim).enumerate();
        let given = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let secrets = given.map(|(at, line)| {
            let bytes = line.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
            let bytes = bytes.filter(|bytes| BYTES.contains(&bytes.len()));
            bytes.ok_or(SecretError::Bad { line: at + 1 })
        });
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        match secrets.len() {
            1..=SECRETS_MAX => Ok(Self(secrets)),
            found => Err(SecretError::Count { found }),
        }
    }

    /// The header `webhook-signature` of a message.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
            mac.update(format!("{id}.{timestamp_s}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own libraries.
    #[test]
    fn a_message_is_signed_as_the_scheme_says() {
        let secrets = Secrets::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_has_a_signature_by_each_secret() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let secrets = Secrets::of(&format!("# the new one\n{two}\n\n{one}")).unwrap();
        let by_one = Secrets::of(one).unwrap().sign("a", 1, b"x");
        let signature = secrets.sign("a", 1, b"x");
        assert_eq!(signature.split(' ').nth(1), Some(by_one.as_str()));
        assert_eq!(format!("{secrets:?}"), "Secrets(2)", "nothing of them is told");
    }

    #[test]
    fn what_is_no_secret_is_told_by_its_line() {
        for (text, told) in [
            ("", "it has 0 secrets"),
            ("whsec_AAAA", "line 1: no secret"),
            ("\nMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "line 2: no secret"),
            ("whsec_not base64", "line 1: no secret"),
        ] {
            let error = Secrets::of(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
