//! What to consume, and the consumer that does.

mod error;
mod handle;

use std::time::Duration;

pub use error::SubscribeError;
pub use handle::SubscriptionHandle;

use sap_comm_core::id;

use crate::{
    Broker, EventRouter,
    backend::Limits,
    consumer::{Settings, Worker},
    topology::{QueueKind, Topology, check_name},
};

/// An exchange to consume from, on behalf of a consumer group. A `&str` is one with the defaults.
///
/// Every group gets each event once; the consumers of one group share its queue.
#[derive(Debug, Clone)]
#[must_use]
pub struct Subscription {
    exchange: String,
    group: Option<String>,
    prefetch: Option<u16>,
    concurrency: usize,
    timeout: Option<Duration>,
    kind: QueueKind,
}

impl Subscription {
    /// A subscription of the service's own group, one event at a time.
    pub fn new(exchange: impl Into<String>) -> Self {
        let (exchange, concurrency) = (exchange.into(), 1);
        Self { exchange, group: None, prefetch: None, concurrency, timeout: None, kind: QueueKind::default() }
    }

    /// The consumer group; the broker's service by default.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// How many deliveries are held ahead of the handlers; the broker's by default.
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = Some(prefetch);
        self
    }

    /// How many handlers run at once. 1 by default, which keeps the order of the queue.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How long a handler may take; longer is a failed attempt. Without it a handler takes as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Consumes on behalf of this process alone, through a queue of its own that is gone soon after the process: for what
    /// every process must see, such as whoever holds sockets. A loss of connection of under a minute loses nothing. A failed
    /// event is not attempted again: it is logged, and reported on `error.events`.
    pub fn ephemeral(mut self) -> Self {
        self.kind = QueueKind::Ephemeral;
        self
    }

    /// Consumes a replicated quorum queue instead of a classic one. An existing queue keeps its kind: it is reported as
    /// a [`TopologyError`](crate::TopologyError). No difference in memory.
    pub fn quorum(mut self) -> Self {
        self.kind = QueueKind::Quorum;
        self
    }
}

impl From<&str> for Subscription {
    fn from(exchange: &str) -> Self {
        Self::new(exchange)
    }
}

impl From<String> for Subscription {
    fn from(exchange: String) -> Self {
        Self::new(exchange)
    }
}

impl Broker {
    /// Consumes an exchange: declares the group's queues, binds them for the router's types and runs its handlers.
    ///
    /// Returns once events flow; from then on the consumer outlives every loss of connection until it is stopped.
    ///
    /// # Errors
    /// When a name is invalid, the router has no handler, the broker is away, or a queue exists with other arguments.
    pub async fn subscribe(
        &self,
        subscription: impl Into<Subscription>,
        router: EventRouter,
    ) -> Result<SubscriptionHandle, SubscribeError> {
        let Subscription { exchange, group, prefetch, concurrency, timeout, kind } = subscription.into();
        let mut group = group.unwrap_or_else(|| self.service().to_owned());
        check_name("exchange", &exchange)?;
        check_name("group", &group)?;
        if kind == QueueKind::Ephemeral {
            // The longest names leave room for it within the 255 bytes of a queue's name.
            group = id::prefixed(&format!("{group}.only"));
        }
        let prefetch = prefetch.unwrap_or(self.config().prefetch);
        for (option, valid) in [("prefetch", prefetch > 0), ("concurrency", concurrency > 0)] {
            if !valid {
                return Err(SubscribeError::Option { option, reason: "must be greater than zero" });
            }
        }
        let interest = router.interest();
        if interest.is_empty() {
            return Err(SubscribeError::NoHandlers { exchange });
        }
        if kind == QueueKind::Ephemeral && !interest.commands.is_empty() {
            let reason = "commands have one queue that all consumers share";
            return Err(SubscribeError::Option { option: "ephemeral", reason });
        }
        let config = self.config();
        let topology = Topology::of(&exchange, &group, &interest, &config.retry_delays, kind);
        topology.check()?;
        // A prefetch below the concurrency would leave handlers idle.
        let prefetch = prefetch.max(u16::try_from(concurrency).unwrap_or(u16::MAX));
        let source = self.backend().consume(topology.clone(), Limits { prefetch, concurrency }).await?;
        let ephemeral = kind == QueueKind::Ephemeral;
        let settings = Settings { exchange, group, concurrency, timeout, ephemeral, topology };
        let worker = Worker::new(self, settings, router, source);
        Ok(SubscriptionHandle::start(self, worker))
    }
}
