use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use sap_comm_core::{Context, Principal};
use socketioxide::extract::SocketRef;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gauge, Hub};

/// What belongs to one socket once its token was verified.
pub(super) struct Session {
    context: Context,
    user_id: String,
    /// Events that may be under way at once.
    pub(super) in_flight: Arc<Semaphore>,
    /// Cancelled when the socket disconnects.
    pub(super) gone: CancellationToken,
    recent: Mutex<VecDeque<(String, Context)>>,
    /// Bytes of notifications that the device has yet to acknowledge.
    unacknowledged: AtomicUsize,
    _connected: Gauge,
}

impl Session {
    /// Notifications whose trace is kept for when they are read.
    const RECENT: usize = 32;

    pub(super) fn new(hub: &Hub, context: &Context, principal: Principal) -> Self {
        Self {
            user_id: principal.id.clone(),
            context: context.with_principal(principal),
            in_flight: Arc::new(Semaphore::new(hub.options.max_in_flight)),
            gone: CancellationToken::new(),
            recent: Mutex::new(VecDeque::new()),
            unacknowledged: AtomicUsize::new(0),
            _connected: hub.counters.socket(),
        }
    }

    pub(super) fn of(socket: &SocketRef) -> Option<Arc<Self>> {
        socket.extensions.get::<Arc<Self>>()
    }

    pub(super) fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The context of the handshake, with the principal.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// A context for one event: a new request within the connection's trace.
    pub(super) fn event_context(&self) -> Context {
        self.context.child().with_request_id(&sap_comm_core::id::request())
    }

    /// A context for what the user does with a notification: in the notification's trace while that is remembered.
    pub(super) fn notification_context(&self, id: &str) -> Context {
        let own = self.event_context();
        let recent = self.recent.lock();
        match recent.iter().find(|(known, _)| known == id) {
            Some((_, push)) => own.with_trace(push.trace().child()).with_correlation_id(push.correlation_id()),
            None => own,
        }
    }
}

/// Keeps the trace of a notification that is pushed to the socket; what is cancelled once the socket is gone.
pub(crate) fn remember(socket: &SocketRef, id: &str, context: &Context) -> Option<CancellationToken> {
    let session = Session::of(socket)?;
    let mut recent = session.recent.lock();
    if recent.len() == Session::RECENT {
        recent.pop_front();
    }
    recent.push_back((id.to_owned(), context.clone()));
    drop(recent);
    Some(session.gone.clone())
}

/// Room for a notification of `bytes` among those that the device has yet to acknowledge; `None` when there is none.
pub(crate) fn reserve(socket: &SocketRef, bytes: usize, max: usize) -> Option<Unacknowledged> {
    let session = Session::of(socket)?;
    let add = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= max);
    session.unacknowledged.fetch_update(Relaxed, Relaxed, add).ok()?;
    Some(Unacknowledged { session, bytes })
}

/// A notification that waits for its acknowledgement.
pub(crate) struct Unacknowledged {
    session: Arc<Session>,
    bytes: usize,
}

impl Drop for Unacknowledged {
    fn drop(&mut self) {
        self.session.unacknowledged.fetch_sub(self.bytes, Relaxed);
    }
}
