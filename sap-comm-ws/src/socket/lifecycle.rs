use std::{future::Future, sync::Arc, time::Duration};

use sap_comm_core::{ApiError, Timestamp, auth::AuthError};
use socketioxide::{extract::SocketRef, socket::DisconnectReason};
use tokio::time::timeout;
use tracing::Instrument;

use super::session::Session;
use crate::gateway::Hub;

/// Reports the socket, and disconnects it when its token ends. Runs as the socket's own task until it disconnects.
pub(crate) async fn attend(hub: Arc<Hub>, socket: SocketRef) {
    let Some(session) = Session::of(&socket) else { return };
    let context = session.context().clone();
    let span = tracing::info_span!(
        "socket",
        trace_id = %context.trace().trace_id(),
        request_id = %context.request_id(),
        socket.id = %socket.id,
        user.id = %session.user_id(),
    );
    context.scope(stay(&hub, socket, &session).instrument(span)).await;
}

async fn stay(hub: &Hub, socket: SocketRef, session: &Session) {
    hub.counters.connected.add_one();
    tracing::info!(transport = ?socket.transport_type(), "socket connected");
    bounded(hub, hub.sink.connected(session.user_id(), &socket.id.to_string())).await;
    let expiry = session.context().principal().and_then(|principal| principal.expires_at);
    tokio::select! {
        () = session.gone.cancelled() => return,
        () = until(expiry) => {}
    }
    hub.counters.expired.add_one();
    tracing::info!("the token has expired: socket disconnected");
    let envelope = ApiError::from(AuthError::Expired).envelope(session.context());
    if let Err(error) = socket.emit("error", &envelope) {
        tracing::debug!(%error, "the client could not be told");
    }
    disconnect(socket, session).await;
}

/// Gives the sink no more time than a handler has.
async fn bounded(hub: &Hub, report: impl Future<Output = ()>) {
    if timeout(hub.options.handler_timeout, report).await.is_err() {
        tracing::error!("the sink took too long");
    }
}

/// Disconnects; while too much waits for the client to say so, tries again until it is gone.
async fn disconnect(socket: SocketRef, session: &Session) {
    while socket.clone().disconnect().is_err() {
        tokio::select! {
            () = session.gone.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Waits for a point in time. The wall clock is read once a minute, so that a clock that is set takes effect.
async fn until(expiry: Option<Timestamp>) {
    let Some(expiry) = expiry else { return std::future::pending().await };
    loop {
        let left = expiry.saturating_since(Timestamp::now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(60))).await;
    }
}

/// Reports the end of the socket.
pub(super) fn watch(hub: &Arc<Hub>, socket: &SocketRef) {
    let hub = Arc::clone(hub);
    socket.on_disconnect(move |socket: SocketRef, reason: DisconnectReason| {
        let hub = Arc::clone(&hub);
        async move {
            let Some(session) = Session::of(&socket) else { return };
            session.gone.cancel();
            hub.counters.disconnected.add_one();
            let context = session.context().clone();
            tracing::info!(
                trace_id = %context.trace().trace_id(),
                request_id = %context.request_id(),
                socket.id = %socket.id,
                user.id = %session.user_id(),
                %reason,
                "socket disconnected"
            );
            let id = socket.id.to_string();
            context.scope(bounded(&hub, hub.sink.disconnected(session.user_id(), &id))).await;
        }
    });
}
