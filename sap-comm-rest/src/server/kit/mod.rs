//! The layers that give every path of a service the same behaviour.

mod body;
#[cfg(feature = "compression")]
mod coded_tag;
#[cfg(feature = "compression")]
mod compression;
mod config;
mod context;
mod cors;
mod cors_layer;
mod log;
mod panic;
mod render;
mod security;
mod timeout;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::conditional;

pub(crate) use body::BodyStalled;
pub use config::KitConfig;
pub use cors::CorsConfig;
pub(crate) use cors_layer::is_preflight;
pub use cors_layer::{Cors, CorsLayer};
pub use render::Verbatim;
pub(crate) use render::{accepts_problem, as_problem};
pub(crate) use security::{HARMLESS_SECURITY_HEADERS, set_harmless_security_headers, set_security_headers};

/// Wraps a router so that every path answers like a service of the system.
///
/// Each request gets a [`Context`](sap_comm_core::Context) with its id, echoed as `x-request-id`, a tracing span and one
/// line in the log. Every error is the envelope, or `application/problem+json` when `Accept` asks for it: unknown paths
/// and methods, panics, timeouts, bodies over the limit, and whatever a handler or extractor refuses. Security headers
/// are set unless the handler set them.
///
/// Routes must be added before.
pub fn kit(router: Router, config: KitConfig) -> Router {
    let KitConfig { max_body, body_pause, handler_timeout, .. } = config;
    let service: Arc<str> = config.service.into();
    // Read from the last to the first: the last layer sees a request first.
    let router = router
        // The limit below counts in every case, also where a handler takes the body as a stream.
        .layer(DefaultBodyLimit::disable())
        // Inside the timeout, so that a body which never ends is over at the handler's time too.
        .layer(from_fn(move |request, next| body::bound(max_body, body_pause, request, next)));
    #[cfg(feature = "compression")]
    let router = compression::read(router, max_body, body_pause);
    #[cfg(not(feature = "compression"))]
    let router = router.layer(from_fn(body::refuse_encoded));
    let router = router
        .layer(from_fn(move |request, next| timeout::bound(handler_timeout, request, next)))
        // Outside everything that may panic, inside what must see the answer.
        .layer(CatchPanicLayer::custom(panic::answer))
        // Sees what handlers answer with, before its errors are rendered.
        .layer(from_fn(conditional::evaluate))
        .layer(from_fn(render::unify))
        .layer(from_fn(security::harden));
    #[cfg(feature = "compression")]
    let router = if config.compress_responses { compression::write(router) } else { router };
    // Around every answer, refusals too: a page must be able to read why.
    let router = match &config.cors {
        Some(cors) => router.layer(cors.layer()),
        None => router,
    };
    // Outermost: whatever happens within belongs to the request's context, span and log line.
    router.layer(from_fn_with_state(service, context::establish))
}
