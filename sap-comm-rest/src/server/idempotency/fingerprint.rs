use aws_lc_rs::digest::{Context as Digest, SHA256};
use axum::extract::OriginalUri;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::request::Parts;

/// What a key stands for: SHA-256 over method, path with query, body and caller.
pub(super) fn fingerprint(request: &Parts, caller: &str, body: &[u8]) -> String {
    // Of the URI as it came: nested routers see only the rest of it.
    let uri = request.extensions.get().map_or(&request.uri, |OriginalUri(uri)| uri);
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let mut digest = Digest::new(&SHA256);
    for part in [request.method.as_str().as_bytes(), target.as_bytes(), caller.as_bytes(), body] {
        // With its length, so that no two requests run together to the same bytes.
        digest.update(&part.len().to_be_bytes());
        digest.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(digest.finish())
}
