use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use sap_comm_core::{Event, EventPayload, RawEvent, config::ConfigError};

use super::{
    FaultCounts, Faults,
    recorder::{Entry, Recorder, What},
};
use crate::{Broker, BrokerConfig, memory::MemoryBackend};

/// An in-memory [`Broker`] for tests: it tells what was published and handled, knows when all is done, and fails on purpose.
///
/// It is the broker of `memory://` otherwise, and derefs to it. Works on paused time: retries then take none.
///
/// ```
/// use std::time::Duration;
///
/// use sap_comm_core::{Event, EventPayload};
/// use sap_comm_events::{EventRouter, test_util::MemoryBroker};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, EventPayload)]
/// #[event(type = "user.created")]
/// struct UserCreated {
///     email: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new("user-service")?;
/// let router = EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
/// let _subscription = broker.subscribe("user.events", router).await?;
///
/// broker.publish("user.events", UserCreated { email: "a@example.com".into() }).await?;
///
/// broker.wait_until_idle(Duration::from_secs(5)).await?;
/// assert_eq!(broker.one_handled::<UserCreated>().data.email, "a@example.com");
/// broker.assert_no_dead_letters();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    broker: Broker,
    backend: Arc<MemoryBackend>,
    recorder: Arc<Recorder>,
}

/// Options of a [`MemoryBroker`].
#[derive(Debug, Clone)]
#[must_use]
pub struct MemoryBrokerBuilder {
    config: BrokerConfig,
    faults: Option<Faults>,
    recorded: usize,
}

/// An event that could not be handled, as a [`MemoryBroker`] saw it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeadLettered<T> {
    /// The event.
    pub event: Event<T>,
    /// The queue that it came from.
    pub queue: String,
    /// Why.
    pub reason: String,
    /// The code of that failure.
    pub code: String,
    /// How often it was handled.
    pub attempts: u32,
}

/// The broker was still busy when the limit was over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker is not idle after {waited:?}: {busy}")]
pub struct NotIdle {
    /// The limit.
    pub waited: Duration,
    /// Which queues hold what.
    pub busy: String,
}

/// Enough for a test, little enough for memory.
const RECORDED: usize = 10_000;

impl MemoryBrokerBuilder {
    /// What goes wrong on purpose. Nothing by default.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// How many things that happened are remembered; the oldest is forgotten first. 10,000.
    pub fn recorded(mut self, capacity: usize) -> Self {
        self.recorded = capacity;
        self
    }

    /// Makes the broker.
    ///
    /// # Errors
    /// When an option or a rate of the faults is invalid.
    pub fn build(self) -> Result<MemoryBroker, ConfigError> {
        let Self { config, faults, recorded } = self;
        config.validate()?;
        if recorded == 0 {
            return Err(ConfigError::new("recorded", "must be greater than zero"));
        }
        if let Some(faults) = &faults {
            faults.validate()?;
            tracing::info!(seed = faults.seed(), "faults are made on purpose");
        }
        let backend = Arc::new(MemoryBackend::new(&config).with_faults(faults));
        let recorder = Arc::new(Recorder::new(recorded));
        let broker = Broker::recorded(backend.clone(), config, Arc::clone(&recorder));
        Ok(MemoryBroker { broker, backend, recorder })
    }
}

impl MemoryBroker {
    /// A broker of this service with the default options.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn new(service: &str) -> Result<Self, ConfigError> {
        Self::builder(BrokerConfig::new(service)).build()
    }

    /// A broker with these options.
    pub fn builder(config: BrokerConfig) -> MemoryBrokerBuilder {
        MemoryBrokerBuilder { config, faults: None, recorded: RECORDED }
    }

    /// The broker, for code that wants one.
    #[must_use]
    pub fn broker(&self) -> Broker {
        self.broker.clone()
    }

    /// The events of payload `T` that were published and confirmed, in that order.
    #[must_use]
    pub fn published<T: EventPayload>(&self) -> Vec<Event<T>> {
        self.events(&What::Published)
    }

    /// The events that were published to `exchange` and confirmed, of whatever type, in that order.
    #[must_use]
    pub fn published_to(&self, exchange: &str) -> Vec<RawEvent> {
        let entries = self.recorder.entries();
        let published = entries.iter().filter(|entry| entry.what == What::Published && entry.place == exchange);
        published.filter_map(Entry::raw).collect()
    }

    /// The events of payload `T` that a handler took without an error, once for each group, in that order.
    #[must_use]
    pub fn handled<T: EventPayload>(&self) -> Vec<Event<T>> {
        self.events(&What::Handled)
    }

    /// The events of payload `T` that became dead letters, or were given up where there are none, in that order.
    #[must_use]
    pub fn dead_lettered<T: EventPayload>(&self) -> Vec<DeadLettered<T>> {
        let letter = |entry: Entry| {
            let event = entry.event()?;
            let attempts = entry.attempts();
            match entry.what {
                What::DeadLettered { reason, code } => {
                    Some(DeadLettered { event, queue: entry.place, reason, code, attempts })
                }
                What::Published | What::Handled => None,
            }
        };
        self.recorder.entries().into_iter().filter_map(letter).collect()
    }

    /// The one event of payload `T` that was published.
    ///
    /// # Panics
    /// When there is none or more than one; the message lists what happened instead.
    #[must_use]
    #[track_caller]
    pub fn one_published<T: EventPayload>(&self) -> Event<T> {
        self.one(&What::Published, "published")
    }

    /// The one event of payload `T` that was handled.
    ///
    /// # Panics
    /// When there is none or more than one; the message lists what happened instead.
    #[must_use]
    #[track_caller]
    pub fn one_handled<T: EventPayload>(&self) -> Event<T> {
        self.one(&What::Handled, "handled")
    }

    /// Asserts that no event of payload `T` was published.
    ///
    /// # Panics
    /// When one was; the message lists what happened.
    #[track_caller]
    pub fn assert_none_published<T: EventPayload>(&self) {
        let count = self.published::<T>().len();
        assert!(count == 0, "{count} events of type {:?} were published{}", T::TYPE, self.story());
    }

    /// Asserts that no event became a dead letter.
    ///
    /// # Panics
    /// When one did; the message lists what happened.
    #[track_caller]
    pub fn assert_no_dead_letters(&self) {
        let is_dead = |entry: &Entry| matches!(entry.what, What::DeadLettered { .. });
        let count = self.recorder.entries().iter().filter(|entry| is_dead(entry)).count();
        assert!(count == 0, "{count} events became dead letters{}", self.story());
    }

    /// Waits until nothing is being published, no handler runs, no retry waits, and every queue with a consumer is empty.
    ///
    /// Dead letters are done with, and so is what waits for a consumer that does not exist, or for its time to be published.
    /// Cancel safe.
    ///
    /// # Errors
    /// When that is not so within `limit`; the error says what is where.
    pub async fn wait_until_idle(&self, limit: Duration) -> Result<(), NotIdle> {
        match tokio::time::timeout(limit, self.backend.idle()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(NotIdle { waited: limit, busy: self.backend.busy().unwrap_or_default() }),
        }
    }

    /// Forgets what happened so far.
    pub fn forget(&self) {
        self.recorder.clear();
    }

    /// How many faults there were.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        self.backend.fault_counts()
    }

    fn events<T: EventPayload>(&self, what: &What) -> Vec<Event<T>> {
        self.recorder.entries().iter().filter(|entry| entry.what == *what).filter_map(Entry::event).collect()
    }

    #[track_caller]
    fn one<T: EventPayload>(&self, what: &What, done: &str) -> Event<T> {
        let mut events = self.events(what);
        let count = events.len();
        match events.pop() {
            Some(event) if count == 1 => event,
            _ => panic!("{count} events of type {:?} were {done} instead of one{}", T::TYPE, self.story()),
        }
    }

    /// What happened, for the message of a failure.
    fn story(&self) -> String {
        let lines: Vec<_> = self.recorder.entries().iter().map(|entry| format!("\n  {}", entry.line())).collect();
        if lines.is_empty() { "; nothing happened".to_owned() } else { format!("; what happened:{}", lines.concat()) }
    }
}

impl Deref for MemoryBroker {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unavailable, nacked, blocked, unknown, duplicated, delayed, connections } = self;
        write!(
            f,
            "{unavailable} unavailable, {nacked} nacked, {blocked} blocked, {unknown} unknown, {duplicated} duplicated, {delayed} delayed, {connections} connections lost"
        )
    }
}
