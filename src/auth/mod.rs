//! What nodes prove to each other on `/internal/*`: that they know the cluster's key.
//!
//! Each request carries `Authorization: Starling t=…,n=…,b=…,m=…`: the time, a nonce, the SHA-256 of a small body (`-`
//! for a streamed one, whose digest its accepted offer has fixed), and an HMAC-SHA256 over them, the method, the path and
//! the name of the node that is asked. A replay is refused, there by the nonce and elsewhere by the name: the time bounds
//! how long a nonce has to be remembered.

mod results;
mod seen;
mod token;

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Method;
use starling_overlay::{Keyring, NodeName};

pub use self::results::ResultTokens;
use self::seen::Seen;
use self::token::{Token, mac_key};
use crate::content::ContentId;

/// Seconds by which the clocks of two nodes may differ, way included.
pub const CLOCK_SKEW_S_MAX: u64 = 60;

/// Signs this node's requests to peers and checks theirs.
#[derive(Debug)]
pub struct Authority {
    /// This node's own: a proof for another one is none here.
    name: NodeName,
    /// One derived key for each of the keyring's, the one that signs first; none if the cluster has no key.
    keys: RwLock<Vec<[u8; 32]>>,
    seen: Mutex<Seen>,
}

/// Why a request is not taken for a member's. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No proof at all.
    #[error("this route is for the cluster's own nodes: the request carries no proof that it comes from one")]
    Missing,
    /// The proof is none of this cluster.
    #[error("the proof does not fit: the nodes have different keys, or the request was changed on its way")]
    Wrong,
    /// Made at another time.
    #[error("the proof is of another time: the nodes' clocks differ by more than {CLOCK_SKEW_S_MAX} s")]
    Stale,
    /// Seen before.
    #[error("the request was sent before: replays are refused")]
    Replayed,
}

impl Authority {
    /// Of the node of this name, with the cluster's keys or with none: then nothing is signed, and everything is let in.
    pub fn new(name: NodeName, keys: Option<&Keyring>) -> Self {
        let authority = Self { name, keys: RwLock::default(), seen: Mutex::default() };
        if let Some(keys) = keys {
            authority.set_keys(keys);
        }
        authority
    }

    /// Changes the keys.
    pub fn set_keys(&self, keys: &Keyring) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) =
            keys.keys().iter().map(mac_key).collect();
    }

    /// The Authorization header's value for a request to the peer of this name; `body` is none for a streamed one.
    pub fn sign(&self, to: &NodeName, method: &Method, path: &str, body: Option<&[u8]>) -> Option<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.first()?;
        Some(Token::new(now_s(), rand::random(), body.map(ContentId::of)).signed(key, to, method, path))
    }

    /// Checks a request's head. What comes back is the SHA-256 that its small body must have, if it promised one.
    pub fn check(
        &self,
        method: &Method,
        path: &str,
        header: Option<&str>,
    ) -> Result<Option<ContentId>, AuthError> {
        self.check_at(now_s(), method, path, header)
    }

    fn check_at(
        &self,
        now_s: u64,
        method: &Method,
        path: &str,
        header: Option<&str>,
    ) -> Result<Option<ContentId>, AuthError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() {
            return Ok(None);
        }
        let (token, mac) = Token::parse(header.ok_or(AuthError::Missing)?).ok_or(AuthError::Missing)?;
        if !keys.iter().any(|key| token.verify(key, &self.name, method, path, &mac)) {
            return Err(AuthError::Wrong);
        }
        if token.time_s.abs_diff(now_s) > CLOCK_SKEW_S_MAX {
            return Err(AuthError::Stale);
        }
        // Only after the proof: a stranger can't fill the memory of nonces.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(token.nonce, token.time_s, now_s) { Ok(token.body) } else { Err(AuthError::Replayed) }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn authority(key: u8) -> Authority {
        Authority::new(name("b"), Some(&Keyring::new([key; 32])))
    }

    /// A proof for `b`.
    fn sign(by: &Authority, method: &Method, path: &str, body: Option<&[u8]>) -> String {
        by.sign(&name("b"), method, path, body).unwrap()
    }

    const PATH: &str = "/internal/offers";

    #[test]
    fn a_member_is_let_in_once() {
        let (a, b) = (authority(1), authority(1));
        let header = sign(&a, &Method::POST, PATH, Some(b"{}"));
        assert_eq!(b.check(&Method::POST, PATH, Some(&header)), Ok(Some(ContentId::of(b"{}"))));
        assert_eq!(b.check(&Method::POST, PATH, Some(&header)), Err(AuthError::Replayed));
        let streamed = sign(&a, &Method::POST, PATH, None);
        assert_eq!(b.check(&Method::POST, PATH, Some(&streamed)), Ok(None));
    }

    #[test]
    fn nobody_else_is() {
        let b = authority(1);
        assert_eq!(b.check(&Method::POST, PATH, None), Err(AuthError::Missing));
        for garbage in ["", "Basic x", "Starling", "Starling t=1,n=2,b=-", "Starling t=1,n=2,b=-,m=zz"] {
            assert_eq!(b.check(&Method::POST, PATH, Some(garbage)), Err(AuthError::Missing), "{garbage}");
        }
        let stranger = sign(&authority(2), &Method::POST, PATH, None);
        assert_eq!(b.check(&Method::POST, PATH, Some(&stranger)), Err(AuthError::Wrong));
        let elsewhere = sign(&b, &Method::POST, "/internal/jobs/1", None);
        assert_eq!(b.check(&Method::POST, PATH, Some(&elsewhere)), Err(AuthError::Wrong));
        let other_method = sign(&b, &Method::GET, PATH, None);
        assert_eq!(b.check(&Method::POST, PATH, Some(&other_method)), Err(AuthError::Wrong));
    }

    #[test]
    fn a_proof_for_one_node_is_none_for_another() {
        let (b, c) = (authority(1), Authority::new(name("c"), Some(&Keyring::new([1; 32]))));
        let header = sign(&c, &Method::POST, PATH, None);
        assert_eq!(c.check(&Method::POST, PATH, Some(&header)), Err(AuthError::Wrong));
        assert_eq!(b.check(&Method::POST, PATH, Some(&header)), Ok(None));
    }

    #[test]
    fn a_proof_has_its_time() {
        let b = authority(1);
        let header = sign(&b, &Method::POST, PATH, None);
        for off in [CLOCK_SKEW_S_MAX + 5, CLOCK_SKEW_S_MAX + 3600] {
            assert_eq!(b.check_at(now_s() + off, &Method::POST, PATH, Some(&header)), Err(AuthError::Stale));
            assert_eq!(b.check_at(now_s() - off, &Method::POST, PATH, Some(&header)), Err(AuthError::Stale));
        }
    }

    #[test]
    fn keys_rotate_without_a_refusal() {
        let [old, new] = [[1; 32], [2; 32]].map(|key| Keyring::line(&key));
        let ring = |lines: &[&String]| {
            Keyring::parse(&lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")).unwrap()
        };
        let steps = [ring(&[&old]), ring(&[&old, &new]), ring(&[&new, &old]), ring(&[&new])];
        // At any time, a node of one step speaks with nodes of the steps beside it.
        for pair in steps.windows(2) {
            let (a, b) =
                (Authority::new(name("b"), Some(&pair[0])), Authority::new(name("b"), Some(&pair[1])));
            for (from, to) in [(&a, &b), (&b, &a)] {
                let header = sign(from, &Method::POST, PATH, None);
                assert_eq!(to.check(&Method::POST, PATH, Some(&header)), Ok(None));
            }
        }
    }

    #[test]
    fn without_a_key_everything_is_let_in_and_nothing_signed() {
        let open = Authority::new(name("b"), None);
        assert_eq!(open.sign(&name("b"), &Method::POST, PATH, None), None);
        assert_eq!(open.check(&Method::POST, PATH, None), Ok(None));
    }
}
