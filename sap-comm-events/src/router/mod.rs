//! Handlers by payload type.

mod batch;
mod handler;
mod outcome;
mod request;
mod version;

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use sap_comm_core::{DecodeError, Event, EventKind, EventPayload, Name, RawEvent};

pub use batch::Batching;
use batch::{BatchHandler, TypedBatch};
pub(crate) use batch::{BatchRoute, Outcomes};
pub(crate) use handler::{Answer, Begun, Handled};
use handler::{Handler, Raw, Typed};
pub(crate) use outcome::code_of;
pub use outcome::{HandlerError, Outcome};

use request::Answering;
pub(crate) use request::Reply;

use self::version::{Upcasts, major};
use crate::{Request, message::Message, topology::Interest};

/// Which handler takes which events of a subscription.
///
/// The group's queue is bound for exactly the types that have a handler, or for every type if there is
/// [`otherwise`](Self::otherwise). A handler for a command payload consumes the command's own queue.
///
/// An event of a type without a handler, which another version of the service may have asked for, becomes a dead letter
/// with the code `EVENT_TYPE_UNKNOWN`, unless the router is to [ignore](Self::ignore_unknown) it.
///
/// ```
/// use sap_comm_core::{Event, EventPayload, Name, RawEvent};
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
    typed: BTreeMap<&'static str, Entry>,
    otherwise: Option<Arc<dyn Handler>>,
    upcasts: Upcasts,
    ignores_unknown: bool,
    lenient_versions: bool,
}

/// What handles one type.
#[derive(Clone)]
struct Entry {
    kind: EventKind,
    /// The major version that it reads.
    version: u32,
    handler: Takes,
}

#[derive(Clone)]
enum Takes {
    One(Arc<dyn Handler>),
    Batch(Batching, Arc<dyn BatchHandler>),
}

/// Where an event goes.
pub(crate) enum Route {
    /// To a handler, whose answer is yet to be awaited.
    Handler(Result<Answer, DecodeError>),
    /// To nobody, as the router is told.
    Ignored,
    /// To nobody: its type has no handler.
    Unknown(Name),
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
    pub fn on_outcome<T, H, F>(self, handler: H) -> Self
    where
        T: EventPayload,
        H: Fn(Event<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.add::<T>(Takes::One(Arc::new(Typed::new(handler))))
    }

    /// Handles commands that are answered: see [`Broker::request`](crate::Broker::request).
    ///
    /// Either answer ends the command, an error too; the requester gets it as
    /// [`RequestError::Failed`](crate::RequestError::Failed). A panic and a timeout are failed attempts, which are made again as
    /// long as the deadline allows; after the last the command is a dead letter, and the requester learns why. The handler's
    /// [`Context`](sap_comm_core::Context) has the requester's deadline. A command that was published, and expects no answer,
    /// is settled as by [`EventRouter::on`].
    ///
    /// A command may come again after a crash, as any event: what it does should do no harm twice.
    pub fn on_request<C, H, F>(self, handler: H) -> Self
    where
        C: Request,
        H: Fn(Event<C>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<C::Reply, sap_comm_core::ApiError>> + Send + 'static,
    {
        const { assert!(matches!(C::KIND, EventKind::Command), "a request is a command: add kind = \"command\"") };
        self.add::<C>(Takes::One(Arc::new(Answering::new(handler))))
    }

    /// Handles events with payload `T` in batches, each in the order of its delivery.
    ///
    /// An error is that of every event in the batch. Each is settled by itself, and its next attempt comes in a batch of its
    /// own, so that one bad event does not fail the others again. The handler runs in a new [`Context`](sap_comm_core::Context):
    /// take correlation ids from the events.
    ///
    /// A batch counts as one handler against the subscription's concurrency; a prefetch that does not fill a batch is raised.
    ///
    /// ```
    /// # use sap_comm_core::{Event, EventPayload};
    /// # use sap_comm_events::{Batching, EventRouter};
    /// # #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// # #[event(type = "page.viewed")]
    /// # struct PageViewed { path: String }
    /// # async fn insert_all(_: impl Iterator<Item = &PageViewed>) -> std::io::Result<()> { Ok(()) }
    /// let router = EventRouter::new().on_batch(Batching::of(500), |events: Vec<Event<PageViewed>>| async move {
    ///     Ok(insert_all(events.iter().map(|event| &event.data)).await?)
    /// });
    /// # drop(router);
    /// ```
    pub fn on_batch<T, H, F>(self, batching: Batching, handler: H) -> Self
    where
        T: EventPayload,
        H: Fn(Vec<Event<T>>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = TypedBatch::new(move |events| {
            let handled = handler(events);
            async move { Outcomes::All(handled.await.into()) }
        });
        self.add::<T>(Takes::Batch(batching, Arc::new(handler)))
    }

    /// Like [`EventRouter::on_batch`], for a handler that says what becomes of each event, in their order.
    ///
    /// Another number of outcomes than of events is a failed attempt of all.
    pub fn on_batch_outcomes<T, H, F>(self, batching: Batching, handler: H) -> Self
    where
        T: EventPayload,
        H: Fn(Vec<Event<T>>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<Outcome>> + Send + 'static,
    {
        let handler = TypedBatch::new(move |events| {
            let handled = handler(events);
            async move { Outcomes::Each(handled.await) }
        });
        self.add::<T>(Takes::Batch(batching, Arc::new(handler)))
    }

    /// Turns events of an older version into those of a later one, on their way to a handler of the latter.
    ///
    /// `metadata.version` decides. Steps follow each other: a handler of version 3 takes events of version 1 through a step
    /// from 1 to 2 and one from 2 to 3. That both are of the same type, and the later has a higher major version, is checked
    /// when the program is compiled.
    ///
    /// ```
    /// # use sap_comm_core::{Event, EventPayload};
    /// # use sap_comm_events::EventRouter;
    /// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// #[event(type = "user.created", version = "1.0")]
    /// struct UserCreatedV1 { name: String }
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// #[event(type = "user.created", version = "2.0")]
    /// struct UserCreated { first_name: String, last_name: String }
    ///
    /// let router = EventRouter::new()
    ///     .upcast(|old: UserCreatedV1| {
    ///         let (first_name, last_name) = old.name.split_once(' ').unwrap_or((&old.name, ""));
    ///         UserCreated { first_name: first_name.to_owned(), last_name: last_name.to_owned() }
    ///     })
    ///     .on(|event: Event<UserCreated>| async move { Ok(()) });
    /// # drop(router);
    /// ```
    ///
    /// A step to another type does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use sap_comm_core::EventPayload;
    /// # use sap_comm_events::EventRouter;
    /// # #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// # #[event(type = "user.created", version = "1.0")]
    /// # struct UserCreated {}
    /// # #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// # #[event(type = "user.deleted", version = "2.0")]
    /// # struct UserDeleted {}
    /// let router = EventRouter::new().upcast(|_: UserCreated| UserDeleted {});
    /// ```
    pub fn upcast<Old, New>(mut self, upcast: impl Fn(Old) -> New + Send + Sync + 'static) -> Self
    where
        Old: EventPayload,
        New: EventPayload,
    {
        self.upcasts.add(upcast);
        self
    }

    fn add<T: EventPayload>(mut self, handler: Takes) -> Self {
        self.typed.insert(T::TYPE, Entry { kind: T::KIND, version: major(T::VERSION), handler });
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

    /// Hands events of a version that no handler knows to the handler all the same, as far as their `data` can be read.
    /// Otherwise they are dead letters with the code `EVENT_VERSION_UNSUPPORTED`.
    pub fn lenient_versions(mut self) -> Self {
        self.lenient_versions = true;
        self
    }

    /// Whether any type is handled in batches.
    pub(crate) fn has_batches(&self) -> bool {
        self.batches().next().is_some()
    }

    /// The batches of every type that is handled in them.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Batching> {
        self.typed.values().filter_map(|entry| match entry.handler {
            Takes::Batch(batching, _) => Some(batching),
            Takes::One(_) => None,
        })
    }

    /// How events of a type are batched, if they are.
    pub(crate) fn batching(&self, event_type: &str) -> Option<Batching> {
        match self.typed.get(event_type)?.handler {
            Takes::Batch(batching, _) => Some(batching),
            Takes::One(_) => None,
        }
    }

    /// What the queues must be bound for.
    pub(crate) fn interest(&self) -> Interest {
        let of = |wanted: bool| {
            let mut types: Vec<_> = self
                .typed
                .iter()
                .filter(|(_, entry)| (entry.kind == EventKind::Command) == wanted)
                .map(|(event_type, _)| *event_type)
                .collect();
            types.sort_unstable();
            types
        };
        Interest { events: of(false), commands: of(true), everything: self.otherwise.is_some() }
    }

    /// Reads the message for the handler of its type, if it is of just that type and version.
    pub(crate) fn begin(&self, message: &Arc<Message>) -> Option<Begun> {
        match &self.typed.get(message.event_type.as_str())?.handler {
            Takes::One(handler) => Arc::clone(handler).begin(message),
            Takes::Batch(..) => None,
        }
    }

    /// Starts the handler that takes the event.
    pub(crate) fn route(&self, event: RawEvent) -> Route {
        match self.typed.get_key_value(event.event_type.as_str()) {
            Some((event_type, Entry { version, handler: Takes::One(handler), .. })) => {
                let event = self.upcasts.apply(event, event_type, *version);
                Route::Handler(event.and_then(|event| handler.call(event, self.lenient_versions)))
            }
            _ => match &self.otherwise {
                Some(handler) => Route::Handler(handler.call(event, true)),
                None if self.ignores_unknown => Route::Ignored,
                None => Route::Unknown(event.event_type),
            },
        }
    }

    /// Starts the handler that takes these events, which are of one type.
    pub(crate) fn route_batch(&self, events: Vec<RawEvent>) -> BatchRoute {
        let entry = events.first().and_then(|first| self.typed.get_key_value(first.event_type.as_str()));
        match entry {
            Some((event_type, Entry { version, handler: Takes::Batch(_, handler), .. })) => {
                let upcast = |event| self.upcasts.apply(event, event_type, *version);
                handler.call(events.into_iter().map(upcast).collect(), self.lenient_versions)
            }
            _ => BatchRoute { fits: Vec::new(), answer: None },
        }
    }
}

impl fmt::Debug for EventRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRouter").field("interest", &self.interest()).finish()
    }
}
