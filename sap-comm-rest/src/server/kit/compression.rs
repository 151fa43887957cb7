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

use super::{body, coded_tag};

/// Reads compressed requests. What arrives is bounded outside, what it becomes inside.
pub(super) fn read(router: Router, max_body: usize, pause: Duration) -> Router {
    router
        .layer(RequestDecompressionLayer::new())
        // A stream may become nothing for ever, so that the limit inside would never be reached.
        .layer(from_fn(move |request, next| body::bound(max_body, pause, request, next)))
}

/// Compresses responses for those who take that.
pub(super) fn write(router: Router) -> Router {
    router
        .layer(from_fn(coded_tag::mark))
        .layer(coding().compress_when(DefaultPredicate::new().and(may_change)))
        .layer(from_fn(coded_tag::translate))
}

/// The codings that have tags of their own, whatever else other crates of the build turn on.
fn coding() -> CompressionLayer {
    CompressionLayer::new().no_deflate().no_zstd()
}

/// `no-transform` asks to leave a body as it is; a part of a body is one of the plain bytes, and 304 has none.
fn may_change(status: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    ![StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
        && !headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-transform")))
        })
}
