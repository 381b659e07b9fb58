//! Where spans go.

use hyper::Uri;

/// What the specification of OTLP adds to the base of a collector's URL.
const PATH: &str = "/v1/traces";

/// Spans can't go there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OtlpError {
    /// This program can send none.
    #[error(
        "this starling was built without OTLP: leave the option away, or build it with `cargo build --release --features otlp`"
    )]
    NotBuilt,
    /// It is no such URL.
    #[error(
        "give the base of a collector's URL, as http://127.0.0.1:4318: http or https, without a user's name, ? and #"
    )]
    NoUrl,
}

/// The URL that spans are sent to; `built`: whether this program can send any.
pub(super) fn endpoint(given: Option<&str>, built: bool) -> Result<Option<Uri>, OtlpError> {
    let Some(given) = given else { return Ok(None) };
    if !built {
        return Err(OtlpError::NotBuilt);
    }
    let base = given.trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    let uri: Uri = format!("{base}{PATH}").parse().map_err(|_| OtlpError::NoUrl)?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || authority.is_empty() || authority.contains('@') || given.contains(['?', '#']) {
        return Err(OtlpError::NoUrl);
    }
    Ok(Some(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_the_base_of_its_url() {
        let url = |given: &str| endpoint(Some(given), true).map(|uri| uri.unwrap().to_string());
        for given in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"] {
            assert_eq!(url(given).unwrap(), "http://127.0.0.1:4318/v1/traces");
        }
        assert_eq!(url("https://otlp.example/eu").unwrap(), "https://otlp.example/eu/v1/traces");
        for bad in
            ["", "127.0.0.1:4318", "ftp://a:1", "http://", "http://u:p@a", "http://a?b=c", "http://a b", "#"]
        {
            assert_eq!(url(bad), Err(OtlpError::NoUrl), "{bad}");
        }
        assert_eq!(endpoint(None, false), Ok(None));
    }

    #[test]
    fn a_build_without_the_feature_says_so() {
        let error = endpoint(Some("http://127.0.0.1:4318"), false).unwrap_err().to_string();
        assert!(error.contains("--features otlp"), "{error}");
    }
}
