//! The proof that a request carries.

use hmac::{Hmac, Mac};
use hyper::Method;
use sha2::Sha256;
use starling_overlay::NodeName;

use crate::content::ContentId;

const SCHEME: &str = "Starling ";

pub(super) struct Token {
    pub(super) time_s: u64,
    pub(super) nonce: u128,
    pub(super) body: Option<ContentId>,
}

/// Each use of the cluster's key has a key of its own: what is signed here can't pass for anything else.
pub(super) fn mac_key(cluster_key: &[u8; 32]) -> [u8; 32] {
    let mut mac = keyed(cluster_key);
    mac.update(b"starling internal http 2");
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so a key of 32 bytes is never refused.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
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

    fn mac(&self, key: &[u8; 32], to: &NodeName, method: &Method, path: &str) -> Hmac<Sha256> {
        let mut mac = keyed(key);
        // A line feed stands in no name, method or path, so no two requests have one text.
        mac.update(format!("{to}\n{method}\n{path}\n{}", self.text()).as_bytes());
        mac
    }

    /// The header's value.
    pub(super) fn signed(&self, key: &[u8; 32], to: &NodeName, method: &Method, path: &str) -> String {
        let value = format!("{SCHEME}{},m=", self.text());
        value + &ContentId(self.mac(key, to, method, path).finalize().into_bytes().into()).to_string()
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
    pub(super) fn verify(
        &self,
        key: &[u8; 32],
        to: &NodeName,
        method: &Method,
        path: &str,
        mac: &[u8; 32],
    ) -> bool {
        self.mac(key, to, method, path).verify_slice(mac).is_ok()
    }
}
