//! Digests as HTTP tells them (RFC 9530).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::HeaderName;

use super::ContentId;

/// `Repr-Digest`: of what is told of, whatever part of it is sent.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The value of Repr-Digest for these bytes.
pub fn repr_digest(sha256: &ContentId) -> String {
    format!("sha-256=:{}:", BASE64.encode(sha256.as_bytes()))
}

/// The SHA-256 in a Repr-Digest or Content-Digest, which may hold others too.
pub fn parse_digest(value: &str) -> Option<ContentId> {
    value.split(',').find_map(|member| {
        let (algorithm, digest) = member.trim().split_once('=')?;
        let digest = digest.trim().strip_prefix(':')?.strip_suffix(':')?;
        let bytes =
            algorithm.trim().eq_ignore_ascii_case("sha-256").then(|| BASE64.decode(digest).ok())??;
        Some(ContentId(bytes.try_into().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_are_written_and_read() {
        let id = ContentId::of(b"");
        let text = repr_digest(&id);
        assert_eq!(text, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(parse_digest(&text), Some(id));
        assert_eq!(parse_digest(&format!("sha-512=:AAAA:, {text}")), Some(id));
        for bad in [
            "",
            "sha-256",
            "sha-256=:AAAA:",
            "sha-256=47DEQpj8",
            "md5=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        ] {
            assert_eq!(parse_digest(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_as_a_digest_is_written_back_the_same(digest in "\\PC{0,60}") {
            if let Some(id) = parse_digest(&digest) {
                prop_assert_eq!(parse_digest(&repr_digest(&id)), Some(id));
            }
        }
    }
}
