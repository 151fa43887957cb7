use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use sap_comm_core::{
    ApiError, ErrorCode,
    config::ConfigError,
    header::{CORRELATION_ID, REQUEST_ID, TRACEPARENT, TRACESTATE},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Origins whose pages may connect. Requests without an origin do not come from pages and pass.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    allowed: Arc<[String]>,
    same: bool,
    any: bool,
}

impl Origins {
    pub(crate) fn new(origins: &[String], same: bool, any: bool) -> Result<Self, ConfigError> {
        let allowed = origins.iter().map(|origin| normalise(origin)).collect::<Result<_, _>>()?;
        Ok(Self { allowed, same, any })
    }

    /// # Errors
    /// `FORBIDDEN` for a page of another origin.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.allows(origin, headers) => {
                Err(ApiError::new(ErrorCode::FORBIDDEN, "Pages of this origin may not connect")
                    .detail("origin", String::from_utf8_lossy(origin.as_bytes())))
            }
            _ => Ok(()),
        }
    }

    /// CORS for the same origins, so that a browser lets an allowed page read what polling answers.
    pub(crate) fn cors(&self) -> CorsLayer {
        let origins = self.clone();
        let allow = AllowOrigin::predicate(move |origin, parts: &Parts| origins.allows(origin, &parts.headers));
        let tracing = [REQUEST_ID, CORRELATION_ID, TRACEPARENT, TRACESTATE].map(HeaderName::from_static);
        CorsLayer::new()
            .allow_origin(allow)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE].into_iter().chain(tracing).collect::<Vec<_>>())
    }

    fn allows(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        if self.any {
            return true;
        }
        let Ok(origin) = origin.to_str() else { return false };
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
            || (self.same && is_same(origin, headers))
    }
}

/// Whether the page was served by the host and port that it now asks.
fn is_same(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    matches!((authority, host), (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host))
}

/// An origin as browsers write it: scheme, host and port, no slash at the end.
fn normalise(origin: &str) -> Result<String, ConfigError> {
    let invalid = || ConfigError::new("origins", format_args!("must look like https://example.com, got {origin:?}"));
    let uri: Uri = origin.parse().map_err(|_| invalid())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority))
            if uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@') =>
        {
            Ok(format!("{scheme}://{authority}").to_ascii_lowercase())
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_listed_origins_pass() {
        let origins = Origins::new(&["https://Admin.example.com/".into()], false, false).unwrap();
        let passes = |origin| origins.check(&headers(&[(header::ORIGIN, origin)])).is_ok();
        assert!(passes("https://admin.example.com"));
        for other in [
            "http://admin.example.com",
            "https://admin.example.com:8443",
            "https://admin.example.com.evil.example",
            "https://evil.example",
            "null",
        ] {
            assert!(!passes(other), "{other}");
        }
        assert!(origins.check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_same_origin_is_the_host_that_is_asked() {
        let origins = Origins::new(&[], true, false).unwrap();
        let check = |origin, host| origins.check(&headers(&[(header::ORIGIN, origin), (header::HOST, host)])).is_ok();
        assert!(check("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!check("http://127.0.0.1:8081", "127.0.0.1:8080"));
    }

    #[test]
    fn what_is_not_an_origin_is_refused_by_name() {
        for origin in ["", "*", "example.com", "ftp://example.com", "https://example.com/path", "https://a@example.com"]
        {
            let error = Origins::new(&[origin.into()], false, false).unwrap_err().to_string();
            assert!(error.contains("origins"), "{error}");
        }
    }
}
