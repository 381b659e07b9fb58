//! The proofs that a request and its answer carry.

use hmac::{Hmac, Mac};
use hyper::{Method, StatusCode};
use sha2::Sha256;
use starling_overlay::{BootEpoch, NodeName};

use crate::content::ContentId;

const SCHEME: &str = "Starling ";

pub(super) struct Token {
    pub(super) time_s: u64,
    pub(super) nonce: u128,
    pub(super) body: Option<ContentId>,
}

/// What a request asks, and which boot of which node.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) to: NodeName,
    pub(super) boot: BootEpoch,
    pub(super) method: Method,
    pub(super) path: String,
}

/// Each use of the cluster's key has a key of its own: what is signed here can't pass for anything else.
pub(super) fn mac_key(cluster_key: &[u8; 32]) -> [u8; 32] {
    let mut mac = keyed(cluster_key);
    mac.update(b"starling internal http 3");
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so a key of 32 bytes is never refused.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

impl Question {
    /// A line feed stands in no name, method or path, so no two questions have one text; and the first word keeps requests and
    /// answers apart.
    fn text(&self, kind: &str) -> String {
        let Self { to, boot, method, path } = self;
        format!("{kind}\n{to}\n{}\n{method}\n{path}\n", boot.0)
    }

    fn answer_mac(
        &self,
        key: &[u8; 32],
        nonce: u128,
        status: StatusCode,
        digest: &ContentId,
    ) -> Hmac<Sha256> {
        let mut mac = keyed(key);
        let text = self.text("answer");
        mac.update(format!("{text}n={nonce:032x},s={},d={digest}", status.as_u16()).as_bytes());
        mac
    }

    /// The value of Authentication-Info for an answer to this.
    pub(super) fn signed_answer(
        &self,
        key: &[u8; 32],
        nonce: u128,
        status: StatusCode,
        digest: &ContentId,
    ) -> String {
        let mac = ContentId(self.answer_mac(key, nonce, status, digest).finalize().into_bytes().into());
        format!("{SCHEME}d={digest},m={mac}")
    }

    /// Compares in constant time.
    pub(super) fn verify_answer(
        &self,
        key: &[u8; 32],
        nonce: u128,
        status: StatusCode,
        (digest, mac): &(ContentId, [u8; 32]),
    ) -> bool {
        self.answer_mac(key, nonce, status, digest).verify_slice(mac).is_ok()
    }
}

/// The digest in an Authentication-Info, and the MAC, which is still to be verified.
pub(super) fn parse_answer(value: &str) -> Option<(ContentId, [u8; 32])> {
    let (digest, mac) = value.strip_prefix(SCHEME)?.split_once(',')?;
    let mac: ContentId = mac.strip_prefix("m=")?.parse().ok()?;
    Some((digest.strip_prefix("d=")?.parse().ok()?, mac.0))
}

impl Token {
    pub(super) fn new(time_s: u64, nonce: u128, body: Option<ContentId>) -> Self {
        Self { time_s, nonce, body }
    }

    /// What is signed, and, before its last field, what is sent.
    fn text(&self) -> String {
        let body = self.body.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
        format!("t={},n={:032x},b={body}", self.time_s, self.nonce)
    }

    fn mac(&self, key: &[u8; 32], question: &Question) -> Hmac<Sha256> {
        let mut mac = keyed(key);
        mac.update(format!("{}{}", question.text("request"), self.text()).as_bytes());
        mac
    }

    /// The header's value.
    pub(super) fn signed(&self, key: &[u8; 32], question: &Question) -> String {
        let value = format!("{SCHEME}{},m=", self.text());
        value + &ContentId(self.mac(key, question).finalize().into_bytes().into()).to_string()
    }

    /// A header's token and its MAC, which is still to be verified.
    pub(super) fn parse(value: &str) -> Option<(Self, [u8; 32])> {
        let mut fields = value.strip_prefix(SCHEME)?.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name);
        let time_s = field("t=")?.parse().ok()?;
        let nonce = u128::from_str_radix(field("n=")?, 16).ok()?;
        let body = match field("b=")? {
            "-" => None,
            digest => Some(digest.parse().ok()?),
        };
        let mac: ContentId = field("m=")?.parse().ok()?;
        Some((Self { time_s, nonce, body }, mac.0))
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, key: &[u8; 32], question: &Question, mac: &[u8; 32]) -> bool {
        self.mac(key, question).verify_slice(mac).is_ok()
    }
}
