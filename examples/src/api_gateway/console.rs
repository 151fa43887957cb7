use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    routing::get,
};

/// The console is one page of our own; it runs no script but its own and talks to this gateway only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The admin console, at the root.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", include_str!("console/index.html"))))
        .route("/console.css", get(|| asset("text/css; charset=utf-8", include_str!("console/console.css"))))
        .route("/console.js", get(|| asset("text/javascript; charset=utf-8", include_str!("console/console.js"))))
}

async fn asset(content_type: &'static str, body: &'static str) -> impl axum::response::IntoResponse {
    ([(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")], body)
}
