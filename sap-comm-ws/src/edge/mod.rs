//! What is checked on HTTP, for polling and for the WebSocket upgrade alike, before Socket.IO sees a request.

mod admission;
mod handshake;
mod origin;

use std::sync::Arc;

use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sap_comm_core::{ApiError, Context, ErrorCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

pub(crate) use self::{
    admission::Admission,
    handshake::{asks_for_websocket, parameter},
    origin::Origins,
};
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
    let context = Context::from_headers(headers);
    let admitted = edge
        .origins
        .check(headers)
        .and_then(|()| handshake::check(&request))
        .and_then(|()| if opens_session(&request) { edge.admission().map(Some) } else { Ok(None) });
    match admitted {
        Ok(admission) => {
            if let Some(admission) = admission {
                request.extensions_mut().insert(admission);
            }
            let response = next.run(request).await;
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                refused(response, &context).await
            } else {
                response
            }
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
    parameter(request.uri(), "sid").is_none()
}

/// What Engine.IO says of its own refusals; its official server writes the code as a number.
#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
}

/// A refusal of Engine.IO, with an envelope where it says nothing.
async fn refused(response: Response, context: &Context) -> Response {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let said = serde_json::from_slice(&body).ok();
    match said.and_then(|Said { code, message }| Some((code.parse::<u8>().ok()?, message))) {
        Some((code, message)) => (status, Json(json!({ "code": code, "message": message }))).into_response(),
        None => refuse(&ApiError::from_status(status), context),
    }
}

fn refuse(error: &ApiError, context: &Context) -> Response {
    let mut response = (error.status(), Json(error.envelope(context))).into_response();
    if let Some(after) = error.retry_after_hint() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if *error.code() == ErrorCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(handshake::VERSION));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    response
}
