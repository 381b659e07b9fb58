//! Tokens for results (`--private-results`): whoever has one was given that result before, or was told by who was.
//!
//! A token is an HMAC-SHA256 of content and profile by a key derived from the cluster's: every member knows it, nobody
//! keeps it, and it holds as long as that key does.

use hmac::{Hmac, Mac};
use parking_lot::RwLock;
use sha2::Sha256;
use starling_overlay::Keyring;

use crate::content::ContentId;
use crate::profile::ProfileName;

/// Makes tokens for results, and checks them.
#[derive(Debug)]
pub struct ResultTokens {
    /// One derived key for each of the keyring's, the one that makes tokens first.
    keys: RwLock<Vec<[u8; 32]>>,
}

impl ResultTokens {
    /// By the cluster's keys.
    pub fn new(keys: &Keyring) -> Self {
        let tokens = Self { keys: RwLock::default() };
        tokens.set_keys(keys);
        tokens
    }

    /// Changes the keys: tokens by one that is gone hold no more.
    pub fn set_keys(&self, keys: &Keyring) {
        let derived = keys.keys().iter().map(|key| keyed(key, b"starling result token 1"));
        *self.keys.write() = derived.map(|mac| mac.finalize().into_bytes().into()).collect();
    }

    /// The token for a result, as 64 hex digits.
    pub fn token(&self, content: &ContentId, profile: &ProfileName) -> Option<String> {
        let keys = self.keys.read();
        let mac = of_result(keys.first()?, content, profile);
        Some(ContentId(mac.finalize().into_bytes().into()).to_string())
    }

    /// Whether this is the token for a result. Takes as long for a wrong one.
    pub fn admits(&self, content: &ContentId, profile: &ProfileName, token: &str) -> bool {
        let Ok(token) = token.parse::<ContentId>() else { return false };
        let keys = self.keys.read();
        keys.iter().any(|key| of_result(key, content, profile).verify_slice(token.as_bytes()).is_ok())
    }
}

fn of_result(key: &[u8; 32], content: &ContentId, profile: &ProfileName) -> Hmac<Sha256> {
    // The content's digest has one length, so no two results have one text.
    keyed(key, &[content.as_bytes(), profile.as_str().as_bytes()].concat())
}

fn keyed(key: &[u8; 32], text: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so a key of 32 bytes is never refused.
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> Keyring {
        let lines: String = keys.iter().map(|key| Keyring::line(&[*key; 32]) + "\n").collect();
        Keyring::parse(&lines).unwrap()
    }

    #[test]
    fn a_token_is_of_one_result_and_one_cluster() {
        let tokens = ResultTokens::new(&ring(&[1]));
        let (a, b) = (ContentId::of(b"a"), ContentId::of(b"b"));
        let profile = |name: &str| name.parse::<ProfileName>().unwrap();
        let token = tokens.token(&a, &profile("360p")).unwrap();
        assert!(tokens.admits(&a, &profile("360p"), &token));
        assert!(tokens.admits(&a, &profile("360p"), &token.to_uppercase()));
        assert!(!tokens.admits(&b, &profile("360p"), &token));
        assert!(!tokens.admits(&a, &profile("720p"), &token));
        for bad in ["", "0", &token[1..], &a.to_string(), &"0".repeat(64)] {
            assert!(!tokens.admits(&a, &profile("360p"), bad), "{bad}");
        }
        let another = ResultTokens::new(&ring(&[2]));
        assert!(!another.admits(&a, &profile("360p"), &token));
        // The key changes: what was given out holds until the old one is gone.
        for (keys, holds) in [(&[1, 2][..], true), (&[2, 1], true), (&[2], false)] {
            tokens.set_keys(&ring(keys));
            assert_eq!(tokens.admits(&a, &profile("360p"), &token), holds, "{keys:?}");
        }
    }
}
