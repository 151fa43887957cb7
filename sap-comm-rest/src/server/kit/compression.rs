//! Compressed bodies, with gzip and brotli.

use std::time::Duration;

use axum::{Router, middleware::from_fn};
use http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate},
    },
    decompression::RequestDecompressionLayer,
};

use super::body;

/// Reads compressed requests. What arrives is bounded outside, what it becomes inside.
pub(super) fn read(router: Router, max_body: usize, pause: Duration) -> Router {
    router
        .layer(RequestDecompressionLayer::new())
        // A stream may become nothing for ever, so that the limit inside would never be reached.
        .layer(from_fn(move |request, next| body::bound(max_body, pause, request, next)))
}

/// Compresses responses for those who take that.
pub(super) fn write(router: Router) -> Router {
    router.layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(may_change)))
}

/// An ETag names the very bytes, and `no-transform` asks to leave them.
fn may_change(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kept = headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-transform")))
    });
    !kept && !headers.contains_key(header::ETAG)
}
