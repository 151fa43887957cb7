use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What any answer may say about itself: caches and forms go on to work, and pages within pages of their own site.
const HARMLESS: [(HeaderName, &str); HARMLESS_SECURITY_HEADERS] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
];
/// How many [`set_harmless_security_headers`] sets.
pub(crate) const HARMLESS_SECURITY_HEADERS: usize = 3;

/// What an API's answer says, unless the handler said otherwise.
const OF_AN_API: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Sets the security headers.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    set_security_headers(response.headers_mut());
    response
}

/// Sets those that are not there.
pub(crate) fn set_security_headers(headers: &mut HeaderMap) {
    set(headers, OF_AN_API);
}

/// Sets those that are not there on an answer of which nobody knows what it is.
pub(crate) fn set_harmless_security_headers(headers: &mut HeaderMap) {
    set(headers, HARMLESS);
}

fn set<const N: usize>(headers: &mut HeaderMap, lines: [(HeaderName, &'static str); N]) {
    for (name, value) in lines {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
