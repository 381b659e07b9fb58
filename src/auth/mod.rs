//! What nodes prove to each other on `/internal/*`: that they know the cluster's key.
//!
//! Each request carries `Authorization: Starling t=…,n=…,b=…,m=…`: the time, a nonce, the SHA-256 of a small body (`-`
//! for a streamed one, whose digest its accepted offer has fixed, and where there is none), and an HMAC-SHA256 over them, the
//! method, the path, and name and boot of the node that is asked. A replay is refused, there by the nonce, after a restart by the
//! boot, and elsewhere by the name: the time bounds how long a nonce has to be remembered.
//!
//! Each answer carries `Authentication-Info: Starling d=…,m=…` (RFC 9110, section 11.6.3): the SHA-256 of its body, and an HMAC over
//! it, the status, the request's nonce, method and path, and the answering node's name and boot. So whoever can take the place
//! of a node on the network can't answer for it.

mod results;
mod seen;
mod token;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::{Method, StatusCode};
use parking_lot::{Mutex, RwLock};
use starling_overlay::{BootEpoch, Identity, Keyring, NodeName};

pub use self::results::ResultTokens;
use self::seen::Seen;
use self::token::{Question, Token, mac_key, parse_answer};
use crate::content::ContentId;

/// Seconds by which the clocks of two nodes may differ, way included.
pub const CLOCK_SKEW_S_MAX: u64 = 60;

/// Clocks that differ are told of again after so long.
const SKEW_TOLD_INTERVAL_S: u64 = 600;

/// Signs this node's requests to peers and its answers to theirs, and checks what comes.
#[derive(Debug)]
pub struct Authority {
    /// This node's own: a proof for another one, or for another boot, is none here.
    name: NodeName,
    boot: BootEpoch,
    /// One derived key for each of the keyring's, the one that signs first; none if the cluster has no key.
    keys: RwLock<Vec<[u8; 32]>>,
    seen: Mutex<Seen>,
    /// When it was last told, by this node's clock, that clocks differ.
    skew_told_s: AtomicU64,
}

/// A request's proof, and what its answer has to prove. Without a key there is none of either.
#[derive(Debug)]
pub struct Signed {
    proof: Option<(String, u128)>,
    question: Question,
}

impl Signed {
    /// The value of the Authorization header.
    pub fn header(&self) -> Option<&str> {
        self.proof.as_ref().map(|(header, _)| header.as_str())
    }
}

/// A request that was let in, and how its answer is proved.
#[derive(Debug)]
pub struct Admission {
    body: Option<ContentId>,
    answer: Option<(Question, [u8; 32], u128)>,
}

impl Admission {
    /// The SHA-256 that the request's small body must have, if it promised one.
    pub const fn body(&self) -> Option<ContentId> {
        self.body
    }

    /// The value of Authentication-Info for an answer of this status, with a body of this SHA-256; none without a key.
    pub fn prove(&self, status: StatusCode, digest: &ContentId) -> Option<String> {
        let (question, key, nonce) = self.answer.as_ref()?;
        Some(question.signed_answer(key, *nonce, status, digest))
    }
}

/// Why a request is not taken for a member's. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No proof at all.
    #[error("this route is for the cluster's own nodes: the request carries no proof that it comes from one")]
    Missing,
    /// The proof is none of this cluster.
    #[error(
        "the proof does not fit: the nodes have different keys, the request was changed on its way, or this node was started \
         again meanwhile"
    )]
    Wrong,
    /// Made at another time.
    #[error(
        "the proof is of another time: the asking node's clock is {} s {} this node's, and {CLOCK_SKEW_S_MAX} s are \
         allowed; set the clocks right",
        ahead_s.unsigned_abs(), if *ahead_s > 0 { "ahead of" } else { "behind" }
    )]
    Stale {
        /// By how many seconds the asking node's clock is ahead of this node's; negative if it is behind.
        ahead_s: i64,
    },
    /// There is no key that could prove anything, and the request comes from another machine.
    #[error(
        "the cluster has no key, so this is answered on the node's own machine alone: ask at 127.0.0.1 there, or give the \
         cluster a --key-file"
    )]
    Remote,
    /// Seen before.
    #[error("the request was sent before: replays are refused")]
    Replayed,
}

/// Why an answer is not taken for a member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No proof at all.
    #[error("no proof that the answer comes from a member")]
    Missing,
    /// The proof is not of this answer to this request.
    #[error("the answer's proof does not fit: another key, or it was changed on its way")]
    Wrong,
}

impl Authority {
    /// Of this boot of the node of this name, with the cluster's keys or with none: then nothing is signed, and everything is let
    /// in.
    pub fn new(name: NodeName, boot: BootEpoch, keys: Option<&Keyring>) -> Self {
        let authority = Self {
            name,
            boot,
            keys: RwLock::default(),
            seen: Mutex::default(),
            skew_told_s: AtomicU64::new(0),
        };
        if let Some(keys) = keys {
            authority.set_keys(keys);
        }
        authority
    }

    /// Changes the keys.
    pub fn set_keys(&self, keys: &Keyring) {
        *self.keys.write() = keys.keys().iter().map(mac_key).collect();
    }

    /// Whether there is no key: everything is let in.
    pub fn is_open(&self) -> bool {
        self.keys.read().is_empty()
    }

    /// Signs a request to a peer; `body` is none for a streamed one, and where there is none.
    pub fn sign(&self, to: &Identity, method: &Method, path: &str, body: Option<&[u8]>) -> Signed {
        self.sign_for(&to.name, to.boot, method, path, body)
    }

    /// The same to a node of which only name and boot are known.
    pub fn sign_for(
        &self,
        to: &NodeName,
        boot: BootEpoch,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Signed {
        let (method, path) = (method.clone(), path.to_owned());
        let question = Question { to: to.clone(), boot, method, path };
        let keys = self.keys.read();
        let proof = keys.first().map(|key| {
            let token = Token::new(now_s(), rand::random(), body.map(ContentId::of));
            (token.signed(key, &question), token.nonce)
        });
        Signed { proof, question }
    }

    /// Checks the head of an answer. What comes back is the SHA-256 that its body must have; none without a key.
    pub fn check_answer(
        &self,
        signed: &Signed,
        status: StatusCode,
        header: Option<&str>,
    ) -> Result<Option<ContentId>, AnswerError> {
        let Some((_, nonce)) = &signed.proof else { return Ok(None) };
        let told = header.and_then(parse_answer).ok_or(AnswerError::Missing)?;
        let keys = self.keys.read();
        if keys.iter().any(|key| signed.question.verify_answer(key, *nonce, status, &told)) {
            Ok(Some(told.0))
        } else {
            Err(AnswerError::Wrong)
        }
    }

    /// Checks a request's head.
    pub fn check(&self, method: &Method, path: &str, header: Option<&str>) -> Result<Admission, AuthError> {
        self.check_at(now_s(), method, path, header)
    }

    fn check_at(
        &self,
        now_s: u64,
        method: &Method,
        path: &str,
        header: Option<&str>,
    ) -> Result<Admission, AuthError> {
        let keys = self.keys.read();
        if keys.is_empty() {
            return Ok(Admission { body: None, answer: None });
        }
        let (token, mac) = Token::parse(header.ok_or(AuthError::Missing)?).ok_or(AuthError::Missing)?;
        let (method, path) = (method.clone(), path.to_owned());
        let question = Question { to: self.name.clone(), boot: self.boot, method, path };
        // Answered with the key that was asked with: while keys change, that one is known on both sides.
        let key = *keys.iter().find(|key| token.verify(key, &question, &mac)).ok_or(AuthError::Wrong)?;
        if token.time_s.abs_diff(now_s) > CLOCK_SKEW_S_MAX {
            return Err(self.stale(now_s, token.time_s));
        }
        // Only after the proof: a stranger can't fill the memory of nonces.
        let mut seen = self.seen.lock();
        if !seen.insert(token.nonce, token.time_s, now_s) {
            return Err(AuthError::Replayed);
        }
        Ok(Admission { body: token.body, answer: Some((question, key, token.nonce)) })
    }

    /// Only whoever has the key gets this far, so that no stranger fills the log. One line for many requests is enough: as long
    /// as the clocks are so, every one between the two fails.
    fn stale(&self, now_s: u64, said_s: u64) -> AuthError {
        let signed = |time_s| i64::try_from(time_s).unwrap_or(i64::MAX);
        let ahead_s = signed(said_s).saturating_sub(signed(now_s));
        let told_s = self.skew_told_s.load(Ordering::Relaxed);
        if told_s == 0 || now_s.abs_diff(told_s) >= SKEW_TOLD_INTERVAL_S {
            self.skew_told_s.store(now_s, Ordering::Relaxed);
            tracing::warn!(
                offset_s = ahead_s,
                "clocks differ: a member's is so many seconds ahead of this node's (behind, if negative), and no job goes \
                 between them; set the clocks right, with NTP"
            );
        }
        AuthError::Stale { ahead_s }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
