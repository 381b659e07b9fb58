//! HTTP and HTTPS to the collector.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;

/// A client that trusts the system's certificates.
pub(super) fn client(
    timeout: Duration,
) -> Result<HyperClient<hyper_rustls::HttpsConnector<HttpConnector>>, std::io::Error> {
    let provider = rustls::crypto::ring::default_provider();
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
    Ok(HyperClient::new(connector.https_or_http().enable_http1().build(), timeout, None))
}

/// The same for a collector that is asked by plain HTTP: it needs no certificates.
pub(super) fn plain(timeout: Duration) -> HyperClient<HttpConnector> {
    HyperClient::with_default_connector(timeout, None)
}
