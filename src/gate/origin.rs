//! Pages that may ask a node: what browsers say of them.

use std::collections::HashSet;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Origins (RFC 6454) whose pages may ask, beside the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    origins: HashSet<String>,
}

/// Why a text is no list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Something else.
    #[error(
        "{0:?} is no origin: give SCHEME://HOST[:PORT] as in https://app.example.com, without a path, or *"
    )]
    Malformed(String),
    /// `null` is the origin of files, and of frames that any page can make.
    #[error("\"null\" is the origin of pages of any site: give * if that is what you want")]
    Null,
}

impl Origins {
    /// Reads `ORIGIN` and `*`.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for item in items {
            match item {
                "*" => origins.any = true,
                "null" => return Err(OriginError::Null),
                _ => {
                    let origin = serialized(item)
                        .ok_or_else(|| OriginError::Malformed(item.chars().take(80).collect()))?;
                    origins.origins.insert(origin);
                }
            }
        }
        Ok(origins)
    }

    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// Whether answers depend on the Origin header.
    pub(super) fn vary(&self) -> bool {
        !self.any && !self.origins.is_empty()
    }

    /// What a page of this origin is to be told, if it may ask.
    pub(super) fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let known = self.origins.contains(&origin.to_str().ok()?.to_ascii_lowercase());
        known.then(|| origin.clone())
    }
}

/// An origin as browsers write it: in lower case, without the scheme's own port.
fn serialized(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?);
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    let authority = authority.as_str().to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    (bare && !authority.is_empty()).then(|| format!("{scheme}://{authority}"))
}

fn says(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

/// Whether a browser says that a page of another site asks.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    says(headers, &SEC_FETCH_SITE, "cross-site")
}

/// Whether somebody follows a link: the answer takes the page's place, and the page sees nothing of it. In a frame it would.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    says(headers, &SEC_FETCH_MODE, "navigate") && says(headers, &SEC_FETCH_DEST, "document")
}
