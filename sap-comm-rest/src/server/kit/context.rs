use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderValue;
use sap_comm_core::{Context, header};
use tracing::{Instrument, Span, field::Empty};

use super::log::Line;

/// Gives the request its context, span and log line.
pub(super) async fn establish(State(service): State<Arc<str>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Within a larger service, such as behind the gateway's own routes, the context stands already.
    let context = Context::try_current()
        .unwrap_or_else(|| Context::extract(|name| headers.get(name).and_then(|value| value.to_str().ok())));
    let span = span(&service, &context, &request);
    let line = Line::begin(span.clone());
    let mut response = context.clone().scope(next.run(request).instrument(span)).await;
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        response.headers_mut().insert(header::REQUEST_ID, id);
    }
    line.end(&response);
    response
}

fn span(service: &str, context: &Context, request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    tracing::info_span!(
        "request",
        service.name = service,
        trace_id = context.trace().trace_id(),
        span_id = context.trace().span_id(),
        request_id = context.request_id(),
        correlation_id = context.correlation_id(),
        http.request.method = %request.method(),
        http.route = route,
        url.path = request.uri().path(),
        user.id = Empty,
    )
}
