use std::time::Duration;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use sap_comm_core::Context;

use crate::server::deadline::within;

/// Gives the handler its time.
pub(super) async fn bound(limit: Duration, request: Request, next: Next) -> Response {
    let context = Context::current().with_timeout(limit);
    within(context, next.run(request)).await.unwrap_or_else(IntoResponse::into_response)
}
