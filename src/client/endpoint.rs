//! Where a node's HTTP port is: `http://host:port`, `https://host:port`, `host:port` or just `host`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use hyper::Uri;

/// The port of a node that names none: the gossip and HTTP port of DESIGN's command line.
const PORT_DEFAULT: u16 = 5000;

/// One node's HTTP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    secure: bool,
    authority: String,
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Not an address at all.
    #[error("{0:?} is not a node's address: expected http://HOST:PORT or HOST:PORT")]
    Malformed(String),
    /// ftp and so on.
    #[error("{0:?}: nodes speak http and https, not {1}")]
    Scheme(String, String),
    /// Something after the port.
    #[error("{0:?}: give only the node's address, without a path")]
    Path(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let malformed = || EndpointError::Malformed(text.to_owned());
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| malformed())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            other => {
                return Err(EndpointError::Scheme(text.to_owned(), other.unwrap_or("nothing").to_owned()));
            }
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(EndpointError::Path(text.to_owned()));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(malformed());
        }
        // `host:` and `host:99999` parse as a URI without a port; neither is what was meant.
        let port = match uri.port() {
            Some(port) => port.as_u16(),
            None if uri.authority().is_some_and(|authority| authority.as_str() != host) => {
                return Err(malformed());
            }
            None => PORT_DEFAULT,
        };
        Ok(Self { secure, authority: format!("{host}:{port}") })
    }
}

impl Endpoint {
    /// The URI of a path (with its query) on this node. The path must begin with `/`.
    pub fn uri(&self, path_and_query: &str) -> Uri {
        Uri::builder()
            .scheme(self.scheme())
            .authority(self.authority.as_str())
            .path_and_query(path_and_query)
            .build()
            .unwrap_or_else(|_| Uri::from_static("/"))
    }
}

impl Endpoint {
    /// Another node, which speaks what this one does.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { secure: self.secure, authority: address.to_string() }
    }

    const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { secure: false, authority: address.to_string() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, EndpointError> {
        text.parse::<Endpoint>().map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn accepts_what_people_type() {
        for text in ["http://127.0.0.1:5001", "http://127.0.0.1:5001/", "127.0.0.1:5001"] {
            assert_eq!(parse(text).as_deref(), Ok("http://127.0.0.1:5001"), "{text}");
        }
        assert_eq!(parse("node1").as_deref(), Ok("http://node1:5000"));
        assert_eq!(parse("https://node1").as_deref(), Ok("https://node1:5000"));
        let secure: Endpoint = "https://node1".parse().unwrap();
        assert_eq!(secure.at("[::1]:7".parse().unwrap()).uri("/x").to_string(), "https://[::1]:7/x");
        assert_eq!(parse("http://[::1]:5001").as_deref(), Ok("http://[::1]:5001"));
        assert_eq!(parse("[::1]").as_deref(), Ok("http://[::1]:5000"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse("ftp://a:1"), Err(EndpointError::Scheme("ftp://a:1".into(), "ftp".into())));
        assert_eq!(parse("a:1/upload"), Err(EndpointError::Path("a:1/upload".into())));
        for text in ["", ":5001", "a b", "a:", "a:99999", "user@a:1"] {
            assert_eq!(parse(text), Err(EndpointError::Malformed(text.into())), "{text}");
        }
    }
}
