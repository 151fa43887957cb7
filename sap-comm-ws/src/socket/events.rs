use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use sap_comm_core::{ApiError, Context, ErrorCode};
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use tokio::time::timeout;
use tracing::Instrument;

use super::{arguments::Arguments, read, session::Session};
use crate::gateway::Hub;

/// Handles one event of clients. Any `async fn(Vec<Value>) -> Result<Value, ApiError>` does.
///
/// Runs in a [`Context`] whose [`principal`](Context::principal) is the socket's user. What it returns is acknowledged:
/// the value, or the error's envelope.
#[async_trait]
pub trait SocketHandler: Send + Sync + 'static {
    /// Handles the event with its arguments.
    ///
    /// # Errors
    /// What the client is told.
    async fn handle(&self, arguments: Vec<Value>) -> Result<Value, ApiError>;
}

#[async_trait]
impl<F, Fut> SocketHandler for F
where
    F: Fn(Vec<Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, ApiError>> + Send + 'static,
{
    async fn handle(&self, arguments: Vec<Value>) -> Result<Value, ApiError> {
        self(arguments).await
    }
}

/// Takes every event of the socket.
pub(super) fn listen(hub: &Arc<Hub>, socket: &SocketRef) {
    let hub = Arc::clone(hub);
    socket.on_fallback(
        move |socket: SocketRef, Event(name), TryData(arguments): TryData<Arguments>, ack: AckSender| {
            let hub = Arc::clone(&hub);
            async move {
                let Some(session) = Session::of(&socket) else { return };
                let arguments = arguments.map(|Arguments(values)| values).map_err(|error| {
                    ApiError::new(ErrorCode::BAD_REQUEST, "The arguments cannot be read").caused_by(error)
                });
                let answer = hub.work.track_future(answer(&hub, &session, &name, arguments)).await;
                if let Err(error) = ack.send(&answer) {
                    tracing::debug!(socket.id = %socket.id, %error, "the acknowledgement could not be sent");
                }
            }
        },
    );
}

/// What the client's acknowledgement callback gets: the handler's value, or an error envelope.
async fn answer(hub: &Hub, session: &Session, name: &str, arguments: Result<Vec<Value>, ApiError>) -> Value {
    let context = match &arguments {
        Ok(arguments) => read::context(session, name, arguments),
        Err(_) => session.event_context(),
    };
    let span = tracing::info_span!(
        "socket.event",
        trace_id = %context.trace().trace_id(),
        request_id = %context.request_id(),
        correlation_id = %context.correlation_id(),
        user.id = %session.user_id(),
        event = %name,
    );
    let limit = hub.options.handler_timeout;
    let scoped = context.with_timeout(limit);
    let handled = async {
        let _place = session
            .in_flight
            .try_acquire()
            .map_err(|_| ApiError::new(ErrorCode::OVERLOADED, "Too many events are under way"))?;
        let outcome = timeout(limit, handle(hub, session, name, arguments?)).await;
        outcome.unwrap_or_else(|_| Err(ApiError::new(ErrorCode::DEADLINE_EXCEEDED, "The event took too long")))
    };
    let report = async {
        handled.await.unwrap_or_else(|error: ApiError| {
            hub.counters.failed.add_one();
            if error.status().is_server_error() {
                tracing::error!(?error, "the event failed");
            } else {
                tracing::info!(%error, "the event was refused");
            }
            // An envelope has nothing that JSON cannot write.
            serde_json::to_value(error.envelope(&Context::current())).unwrap_or_else(|_| json!({}))
        })
    };
    scoped.scope(report.instrument(span)).await
}

async fn handle(hub: &Hub, session: &Session, name: &str, arguments: Vec<Value>) -> Result<Value, ApiError> {
    if name == read::READ_NOTIFICATION {
        return read::handle(hub, session, &arguments).await;
    }
    match hub.handlers.get(name) {
        Some(handler) => handler.handle(arguments).await,
        None => Err(ApiError::new(ErrorCode::NOT_FOUND.of("event"), "There is no such event")),
    }
}
