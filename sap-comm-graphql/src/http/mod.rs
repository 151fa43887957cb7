//! GraphQL over HTTP: parameters, negotiation, statuses.

mod accept;
mod params;
mod respond;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, Method, Uri};
use sap_comm_core::{ApiError, Context, ErrorCode};

use self::{accept::MediaType, respond::respond};
use crate::{
    execute::{self, Outcome, Params},
    gateway::Parts,
    playground,
};

/// Serves the endpoint.
pub(crate) async fn serve(State(parts): State<Arc<Parts>>, request: Request) -> Response {
    let headers = request.headers();
    let context = Context::try_current().unwrap_or_else(|| Context::from_headers(headers));
    if parts.options.playground && wants_page(request.method(), request.uri(), headers) {
        return playground::page();
    }
    let Some(media) = accept::negotiate(headers) else {
        let error =
            ApiError::new(ErrorCode::NOT_ACCEPTABLE, "Accept application/graphql-response+json or application/json");
        return respond(MediaType::Json, Outcome::Refused(error), &context);
    };
    let (method, headers) = (request.method().clone(), headers.clone());
    let outcome = match read(&parts, request).await {
        Ok(params) => execute::run(&parts, &method, &headers, params, context.clone()).await,
        Err(error) => Outcome::Refused(error),
    };
    if let Outcome::Refused(error) = &outcome {
        tracing::info!(
            trace_id = %context.trace().trace_id(),
            request_id = %context.request_id(),
            %error,
            "request refused"
        );
    }
    respond(media, outcome, &context)
}

async fn read(parts: &Parts, request: Request) -> Result<Params, ApiError> {
    match *request.method() {
        Method::GET => params::from_query(request.uri()),
        Method::POST => params::from_body(&parts.options, request).await,
        _ => Err(ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, "Use POST, or GET for queries")),
    }
}

/// Whether a person opened the endpoint in a browser.
fn wants_page(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let asks = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("query=")));
    *method == Method::GET && !asks && accept::prefers_html(headers)
}
