//! Tokens themselves: 256 random bits, of which nodes keep the SHA-256 alone.
//!
//! A slow hash is for passwords, which people choose; nothing can be guessed of these, so SHA-256 is as good, and costs nothing on
//! each request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::content::ContentId;

/// Each token begins so, for whoever looks for such in what should have none.
const PREFIX: &str = "starling_";
/// Longest credential that is looked at.
const CREDENTIAL_BYTES_MAX: usize = 512;

/// A token's SHA-256: what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(ContentId);

impl TokenHash {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        Self(ContentId::of(token.as_bytes()))
    }

    /// As 64 hexadecimal digits.
    pub fn to_text(self) -> String {
        self.0.to_string()
    }

    /// Whether both are the same. Takes as long for those that differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// A new token, which is shown once.
pub fn new_token() -> String {
    let bytes: [u8; 32] = rand::random();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The token that a request carries: `Authorization: Bearer TOKEN`, or as the password of `Basic`, which is what browsers can send.
pub fn presented(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, another) = (given.next()?.to_str().ok()?, given.next());
    if another.is_some() || first.len() > CREDENTIAL_BYTES_MAX {
        return None;
    }
    let (scheme, credential) = first.split_once(' ')?;
    let credential = credential.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credential.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = base64::engine::general_purpose::STANDARD.decode(credential).ok()?;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        presented(&headers)
    }

    #[test]
    fn a_token_is_never_the_same_and_has_a_hash_of_its_own() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 43);
        let hash = TokenHash::of(&one);
        assert!(hash.is(&TokenHash::of(&one)) && !hash.is(&TokenHash::of(&other)));
    }

    #[test]
    fn a_token_is_a_bearers_or_a_password() {
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        // user:starling_x and :abc, as curl -u sends them.
        assert_eq!(of("Basic dXNlcjpzdGFybGluZ194").as_deref(), Some("starling_x"));
        assert_eq!(of("basic OmFiYw==").as_deref(), Some("abc"));
        for none in ["Bearer", "Basic ???", "Basic YWJj", "Starling t=1,n=2", "Digest x"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("Bearer {}", "x".repeat(600))), None);
        let mut two = HeaderMap::new();
        two.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        two.append(AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(presented(&two), None, "of two, neither is believed");
    }
}
