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

    /// The handler's answer to an event, yet to be awaited; `None` if no handler wants it.
    pub(crate) fn route(&self, event: RawEvent) -> Option<Result<Answer, DecodeError>> {
        let typed = self.typed.get(event.event_type.as_str()).map(|(_, handler)| handler);
        typed.or(self.otherwise.as_ref()).map(|handler| handler.call(event))
    }
}

impl fmt::Debug for EventRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRouter").field("interest", &self.interest()).finish()
    }
}
