use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderValue;
use sap_comm_core::{Context, header, telemetry};
use tracing::{Instrument, Span, field::Empty};

use super::log::Line;

/// Gives the request its context, span and log line.
pub(super) async fn establish(State(service): State<Arc<str>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Within a larger service, such as behind the gateway's own routes, the context stands already.
    let context = Context::try_current().unwrap_or_else(|| Context::from_headers(headers));
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
        { telemetry::SERVICE_NAME } = service,
        { telemetry::TRACE_ID } = %context.trace().display_trace_id(),
        { telemetry::SPAN_ID } = %context.trace().display_span_id(),
        { telemetry::REQUEST_ID } = context.request_id(),
        { telemetry::CORRELATION_ID } = context.correlation_id(),
        { telemetry::HTTP_REQUEST_METHOD } = %request.method(),
        { telemetry::HTTP_ROUTE } = route,
        { telemetry::URL_PATH } = request.uri().path(),
        { telemetry::USER_ID } = Empty,
    )
}
