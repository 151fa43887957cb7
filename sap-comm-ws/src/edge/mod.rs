//! What is checked on HTTP, for polling and for the WebSocket upgrade alike, before Socket.IO sees a request.

mod admission;
mod origin;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sap_comm_core::{ApiError, Context, ErrorCode};
use tokio::sync::Semaphore;

pub(crate) use self::{admission::Admission, origin::Origins};
use crate::gateway::Hub;

/// What the check needs.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) hub: Arc<Hub>,
    pub(crate) origins: Origins,
    pub(crate) capacity: Arc<Semaphore>,
}

/// Lets a request through, or answers with an error envelope.
pub(crate) async fn check(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let context = Context::extract(|name| headers.get(name)?.to_str().ok());
    let admitted = edge
        .origins
        .check(headers)
        .and_then(|()| if opens_session(&request) { edge.admission().map(Some) } else { Ok(None) });
    match admitted {
        Ok(admission) => {
            if let Some(admission) = admission {
                request.extensions_mut().insert(admission);
            }
            next.run(request).await
        }
        Err(error) => {
            edge.hub.counters.refused.add_one();
            tracing::info!(
                trace_id = %context.trace().trace_id(),
                request_id = %context.request_id(),
                code = %error.code(),
                "connection refused"
            );
            refuse(&error, &context)
        }
    }
}

impl Edge {
    fn admission(&self) -> Result<Admission, ApiError> {
        if self.hub.draining.is_cancelled() {
            return Err(ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "This node takes no more connections")
                .retry_after(std::time::Duration::from_secs(1)));
        }
        match Arc::clone(&self.capacity).try_acquire_owned() {
            Ok(permit) => Ok(Admission::new(permit)),
            Err(_) => Err(ApiError::new(ErrorCode::OVERLOADED, "Too many connections")
                .retry_after(std::time::Duration::from_secs(5))),
        }
    }
}

/// Whether the request opens a session: it names none.
fn opens_session(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    !query.split('&').any(|pair| pair.starts_with("sid="))
}

fn refuse(error: &ApiError, context: &Context) -> Response {
    let mut response = (error.status(), Json(error.envelope(context))).into_response();
    if let Some(after) = error.retry_after_hint() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}
