//! Which requests a node answers at all, by the name that it is asked under and by the page that asks.
//!
//! A web page can make its visitor's browser send requests to whatever the browser reaches, a node on localhost or in
//! the local network among it. Two headers tell: `Host` has the name in the page's URL, which is a stranger's where a
//! name was rebound to the node's address (DNS rebinding), and `Origin` (or `Sec-Fetch-Site` alone) has the site whose
//! page asks. Programs that are no browsers send neither `Origin` nor `Sec-Fetch-Site`, and any name that they were given.

mod host;
mod origin;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Version};

pub use host::{HostPatternError, Hosts};
pub use origin::{OriginError, Origins};

/// What of a name or an origin is told back.
const TOLD_CHARS_MAX: usize = 120;

/// The names and the pages that a node answers.
#[derive(Debug)]
pub struct Gate {
    hosts: Hosts,
    origins: Origins,
}

/// Why a request is not answered. Nothing of it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// None, two, or no name and no address (RFC 9112, section 3.2).
    #[error("an HTTP/1.1 request has one Host header with a name or an address: {0}")]
    BadHost(&'static str),
    /// Another name than the node's.
    #[error(
        "this node does not know itself by the name {0:?}: ask it by its IP address or its own name, or start it with \
         --allow-host {0} (STARLING_ALLOW_HOST)"
    )]
    UnknownHost(String),
    /// A page of another site, by Origin.
    #[error(
        "pages of {0} may not ask this node: if they are yours, start it with --allow-origin {0} (STARLING_ALLOW_ORIGIN)"
    )]
    ForeignOrigin(String),
    /// A page of another site, by Sec-Fetch-Site alone: it gives no origin that could be allowed.
    #[error(
        "pages of other sites may not ask this node: if the page is yours, start the node with --allow-origin and the \
         page's origin (STARLING_ALLOW_ORIGIN), and have the page ask with CORS (crossorigin=\"anonymous\")"
    )]
    CrossSite,
    /// A page of any site, on a route between nodes.
    #[error("the routes between nodes are for no page in a browser")]
    Browser,
}

/// What a page that was let in is told with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The value of Access-Control-Allow-Origin, for a page of another origin that is allowed.
    pub allow_origin: Option<HeaderValue>,
    /// Whether another Origin might get another answer: Vary.
    pub varies: bool,
    /// Whether pages of all sites are allowed.
    pub any_origin: bool,
}

impl Gate {
    /// A gate that knows these names and lets these pages in, beside those of the node itself.
    pub fn new(hosts: Hosts, origins: Origins) -> Self {
        Self { hosts, origins }
    }

    /// Looks at a request's head. `is_member` says whether a name is that of a member of the cluster.
    pub fn check<B>(
        &self,
        request: &Request<B>,
        is_member: impl Fn(&str) -> bool,
    ) -> Result<Passed, GateError> {
        let authority = authority(request)?;
        if let Some(authority) = &authority
            && !self.hosts.knows(authority.host(), is_member)
        {
            return Err(GateError::UnknownHost(told(authority.host())));
        }
        self.check_origin(request, authority.as_ref())
    }

    /// For the routes between nodes: nothing that a browser sends by itself.
    pub fn check_no_browser(headers: &HeaderMap) -> Result<(), GateError> {
        let is_browser = headers.contains_key(ORIGIN) || headers.contains_key(origin::SEC_FETCH_SITE);
        if is_browser { Err(GateError::Browser) } else { Ok(()) }
    }

    fn check_origin<B>(
        &self,
        request: &Request<B>,
        authority: Option<&Authority>,
    ) -> Result<Passed, GateError> {
        let headers = request.headers();
        let passed = |allow_origin| Passed {
            allow_origin,
            varies: self.origins.vary(),
            any_origin: self.origins.is_any(),
        };
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if is_same(origin, authority) => Ok(passed(None)),
            (Some(origin), None) => match self.origins.allow(origin) {
                Some(allow_origin) => Ok(passed(Some(allow_origin))),
                None => Err(GateError::ForeignOrigin(told(&String::from_utf8_lossy(origin.as_bytes())))),
            },
            (None, _) if self.origins.is_any() || !origin::is_cross_site(headers) => Ok(passed(None)),
            // A link to this node is none of the other site's business any more.
            (None, _) if is_read(request.method()) && origin::is_navigation(headers) => Ok(passed(None)),
            // With two origins, neither is believed.
            (None, _) | (Some(_), Some(_)) => Err(GateError::CrossSite),
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The host and port that a request is for; none of an HTTP/1.0 request that doesn't say.
fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, GateError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(GateError::BadHost("this one has several"));
    }
    let Some(host) = host else {
        return if request.version() < Version::HTTP_11 {
            Ok(None)
        } else {
            Err(GateError::BadHost("this one has none"))
        };
    };
    let unreadable = GateError::BadHost("this one's is neither");
    let host: Authority = host.as_bytes().try_into().map_err(|_| unreadable.clone())?;
    if !is_host_and_port(&host) {
        return Err(unreadable);
    }
    // In a request's absolute form the target counts (RFC 9112, section 3.2.2).
    Ok(Some(request.uri().authority().cloned().unwrap_or(host)))
}

/// A name or an address, and perhaps a port: the parser lets through more.
fn is_host_and_port(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    !authority.host().is_empty() && (authority.as_str() == authority.host() || rest.is_some_and(is_port))
}

/// Whether a page was loaded from where it asks now. The scheme is left aside: what ends TLS before the node keeps Host.
fn is_same(origin: &HeaderValue, authority: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, authority), (Some((_, origin)), Some(authority)) if origin.eq_ignore_ascii_case(authority.as_str()))
}

fn told(text: &str) -> String {
    text.chars().take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
