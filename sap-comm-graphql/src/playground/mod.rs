//! A page to try queries on. It loads nothing from elsewhere and talks to its own endpoint only.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use sap_comm_core::id;

const PAGE: &str = include_str!("index.html");

/// The page, with a policy that lets it run its own script and style and nothing else.
pub(crate) fn page() -> Response {
    let nonce = id::prefixed("n");
    let mut response = Html(PAGE.replace("NONCE", &nonce)).into_response();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
