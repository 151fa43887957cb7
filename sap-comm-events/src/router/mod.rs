//! Handlers by payload type.

mod handler;
mod outcome;

use std::{collections::HashMap, fmt, future::Future, sync::Arc};

use sap_comm_core::{DecodeError, Event, EventKind, EventPayload, RawEvent};

use handler::{Answer, Handler, Raw, Typed};
pub(crate) use outcome::code_of;
pub use outcome::{HandlerError, Outcome};

use crate::topology::Interest;

/// Which handler takes which events of a subscription.
///
/// The group's queue is bound for exactly the types that have a handler, or for every type if there is
/// [`otherwise`](Self::otherwise). A handler for a command payload consumes the command's own queue.
///
/// An event of a type without a handler, which another version of the service may have asked for, becomes a dead letter
/// with the code `EVENT_TYPE_UNKNOWN`, unless the router is to [ignore](Self::ignore_unknown) it.
///
/// ```
/// use sap_comm_core::{Event, EventPayload, RawEvent};
/// use sap_comm_events::{EventRouter, HandlerError};
///
/// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
/// #[event(type = "user.created")]
/// struct UserCreated {
///     email: String,
/// }
///
/// let router = EventRouter::new()
///     .on(|event: Event<UserCreated>| async move {
///         if event.data.email.is_empty() {
///             return Err(HandlerError::permanent("a user without an address"));
///         }
///         Ok(())
///     })
///     .otherwise(|event: RawEvent| async move {
///         println!("{} by {}", event.event_type, event.source);
///         Ok(())
///     });
/// # drop(router);
/// ```
#[derive(Default, Clone)]
#[must_use]
pub struct EventRouter {
    typed: HashMap<&'static str, (EventKind, Arc<dyn Handler>)>,
    otherwise: Option<Arc<dyn Handler>>,
    ignores_unknown: bool,
}

/// Where an event goes.
pub(crate) enum Route {
    /// To a handler, whose answer is yet to be awaited.
    Handler(Result<Answer, DecodeError>),
    /// To nobody, as the router is told.
    Ignored,
    /// To nobody: its type has no handler.
    Unknown(String),
}

impl EventRouter {
    /// A router without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles events with payload `T`; a second handler of the same type takes the first one's place.
    ///
    /// An error is a retry, unless it says otherwise: see [`HandlerError`]. A panic is caught and is a retry too.
    pub fn on<T, H, F>(self, handler: H) -> Self
    where
        T: EventPayload,
        H: Fn(Event<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.on_outcome(move |event| {
            let handled = handler(event);
            async move { Outcome::from(handled.await) }
        })
    }

    /// Like [`EventRouter::on`], for a handler that says itself what becomes of the event.
    pub fn on_outcome<T, H, F>(mut self, handler: H) -> Self
    where
        T: EventPayload,
        H: Fn(Event<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.typed.insert(T::TYPE, (T::KIND, Arc::new(Typed::new(handler))));
        self
    }

    /// Handles events of every other type, without looking into their payload. Commands need a handler of their own.
    pub fn otherwise<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(RawEvent) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.otherwise = Some(Arc::new(Raw::new(handler)));
        self
    }

    /// Acknowledges events of a type without a handler, instead of making dead letters of them: they are lost to the
    /// group.
    pub fn ignore_unknown(mut self) -> Self {
        self.ignores_unknown = true;
        self
    }

    /// What the queues must be bound for.
    pub(crate) fn interest(&self) -> Interest {
        let of = |wanted: bool| {
            let mut types: Vec<_> = self
                .typed
                .iter()
                .filter(|(_, (kind, _))| (*kind == EventKind::Command) == wanted)
                .map(|(event_type, _)| *event_type)
                .collect();
            types.sort_unstable();
            types
        };
        Interest { events: of(false), commands: of(true), everything: self.otherwise.is_some() }
    }

    /// Starts the handler that takes the event.
    pub(crate) fn route(&self, event: RawEvent) -> Route {
        let typed = self.typed.get(event.event_type.as_str()).map(|(_, handler)| handler);
        match typed.or(self.otherwise.as_ref()) {
            Some(handler) => Route::Handler(handler.call(event)),
            None if self.ignores_unknown => Route::Ignored,
            None => Route::Unknown(event.event_type),
        }
    }
}

impl fmt::Debug for EventRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRouter").field("interest", &self.interest()).finish()
    }
}
