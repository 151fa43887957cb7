//! What to consume, and the consumer that does.

mod error;
mod handle;
mod ordering;
mod stream;

use std::time::Duration;

pub use error::SubscribeError;
pub(crate) use handle::Control;
pub use handle::SubscriptionHandle;
pub use ordering::{OrderingKey, RetryOrder};
pub(crate) use stream::Reading;
pub use stream::{Stream, StreamOffset};

use sap_comm_core::id;

use crate::{
    Broker, BrokerConfig, EventRouter, TopologySpec,
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
    ordering: Option<OrderingKey>,
    retry_order: RetryOrder,
    single_active: bool,
}

impl Subscription {
    /// A subscription of the service's own group, one event at a time.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            group: None,
            prefetch: None,
            concurrency: 1,
            timeout: None,
            kind: QueueKind::default(),
            ordering: None,
            retry_order: RetryOrder::default(),
            single_active: false,
        }
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

    /// Handles events of the same [ordering key](crate::PublishOptions::ordering_key) one after the other, in the order of
    /// their delivery, and those of different keys at once, up to the concurrency. Events without a key wait for nobody.
    ///
    /// ```
    /// use sap_comm_events::Subscription;
    ///
    /// let subscription = Subscription::new("order.events").concurrency(16).ordered_by_key();
    /// # drop(subscription);
    /// ```
    pub fn ordered_by_key(self) -> Self {
        self.ordered_by(OrderingKey::published())
    }

    /// Like [`Subscription::ordered_by_key`], by another key.
    pub fn ordered_by(mut self, key: OrderingKey) -> Self {
        self.ordering = Some(key);
        self
    }

    /// What the later events of a key do while an earlier one waits for its retry. By default they wait for it:
    /// [`RetryOrder::HoldKey`].
    pub fn retry_order(mut self, order: RetryOrder) -> Self {
        self.retry_order = order;
        self
    }

    /// Lets one consumer of the group take events at a time; the others stand by, and the next takes over when it stops,
    /// pauses or dies. With one handler at a time, or ordered by key, order survives that.
    ///
    /// Without it a consumer that reconnects may take later events before the broker knows that its old connection, which holds
    /// earlier ones, is dead.
    ///
    /// The queue is a [quorum](Self::quorum) queue, whose count of crashes moves no event, unless crashes are not
    /// [counted](crate::BrokerConfig::count_redeliveries). A consumer that stops finishes
    /// what is in hand before the next begins; one that is cut off from the broker may still be handling its last events.
    /// No difference but that of the queue's kind in memory.
    pub fn single_active(mut self) -> Self {
        self.single_active = true;
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

    /// Reads a stream of RabbitMQ 3.9 or later instead of emptying a queue: a replicated log of what the group's types were,
    /// which every consumer of the group reads whole, from where it likes.
    ///
    /// A service that projects events into a store of its own keeps
    /// [`SubscriptionHandle::next_offset`] there, and begins at that number again. What fails is tried again in hand, in
    /// its order, after the delays of the ladder; nothing is written to the stream for it. Then it is a dead letter in
    /// `{queue}.dead`, and a redrive of it writes it to the end of the stream, for every reader. A requeue counts as a failed
    /// attempt. What kills its process is counted by nobody. Commands, batches and
    /// [`RetryOrder::ReleaseKey`] are refused. The in-memory broker has no streams.
    pub fn stream(mut self, stream: impl Into<Stream>) -> Self {
        self.kind = QueueKind::Stream(stream.into());
        self
    }
}

/// The longest that a batch may fill.
const MAX_LINGER: Duration = Duration::from_secs(3_600);

impl Subscription {
    /// What it declares, for a service with this configuration: to be exported before, or without, a broker.
    ///
    /// # Errors
    /// When a name is invalid.
    pub fn topology(&self, config: &BrokerConfig, router: &EventRouter) -> Result<TopologySpec, SubscribeError> {
        let group = self.group.as_deref().unwrap_or(&config.service);
        check_name("exchange", &self.exchange)?;
        check_name("group", group)?;
        let kind = self.queue_kind(config);
        let (interest, delays) = (router.interest(), &config.retry_delays);
        let topology = Topology::of(&self.exchange, group, &interest, delays, kind, self.single_active);
        topology.check()?;
        Ok(TopologySpec::of(&topology))
    }

    /// A classic queue would move what is counted behind the others.
    fn queue_kind(&self, config: &BrokerConfig) -> QueueKind {
        let moves_events = self.kind == QueueKind::Classic && config.count_redeliveries;
        if self.single_active && moves_events { QueueKind::Quorum } else { self.kind }
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
        let subscription = subscription.into();
        let kind = subscription.queue_kind(self.config());
        let Subscription {
            exchange,
            group,
            prefetch,
            concurrency,
            timeout,
            kind: _,
            ordering,
            retry_order,
            single_active,
        } = subscription;
        let mut group = group.unwrap_or_else(|| self.service().to_owned());
        check_name("exchange", &exchange)?;
        check_name("group", &group)?;
        let ephemeral = kind == QueueKind::Ephemeral;
        if ephemeral {
            // The longest names leave room for it within the 255 bytes of a queue's name.
            group = id::prefixed(&format!("{group}.only"));
        }
        let stream = match kind {
            QueueKind::Stream(stream) => Some(stream),
            _ => None,
        };
        if let Some(stream) = &stream {
            stream.check()?;
        }
        let prefetch = prefetch.unwrap_or(self.config().prefetch);
        let largest = router.batches().map(|batching| batching.size).max().unwrap_or(1);
        let batches_fit = router.batches().all(|batching| (1..=usize::from(u16::MAX)).contains(&batching.size));
        let batches_go = router.batches().all(|batching| batching.linger <= MAX_LINGER);
        for (option, valid, reason) in [
            ("prefetch", prefetch > 0, "must be greater than zero"),
            ("concurrency", concurrency > 0, "must be greater than zero"),
            ("single_active", !(ephemeral && single_active), "an ephemeral queue has one consumer anyway"),
            ("batch size", batches_fit, "must be between 1 and 65535"),
            ("batch linger", batches_go, "must be at most an hour"),
            ("timeout", timeout.is_none_or(|timeout| !timeout.is_zero()), "must be greater than zero"),
            ("single_active", !(stream.is_some() && single_active), "every consumer of a stream reads all of it"),
            (
                "stream",
                stream.is_none() || largest == 1,
                "the events of a stream are tried again one by one, not in batches",
            ),
            ("stream", stream.is_none() || retry_order == RetryOrder::HoldKey, "what is tried again stays in hand"),
            ("ordered_by", ordering.is_none() || largest == 1, "a batch has the order of its delivery already"),
        ] {
            if !valid {
                return Err(SubscribeError::Option { option, reason });
            }
        }
        let interest = router.interest();
        if interest.is_empty() {
            return Err(SubscribeError::NoHandlers { exchange });
        }
        if stream.is_some() && !interest.commands.is_empty() {
            let reason = "commands reach exactly one consumer, and a stream reaches all";
            return Err(SubscribeError::Option { option: "stream", reason });
        }
        if ephemeral && !interest.commands.is_empty() {
            let reason = "commands have one queue that all consumers share";
            return Err(SubscribeError::Option { option: "ephemeral", reason });
        }
        let config = self.config();
        let topology = Topology::of(&exchange, &group, &interest, &config.retry_delays, kind, single_active);
        topology.check()?;
        // A prefetch below what the handlers hold would leave them idle.
        let in_hand = concurrency.saturating_mul(largest);
        let prefetch = prefetch.max(u16::try_from(in_hand).unwrap_or(u16::MAX));
        let ordered = concurrency == 1 || ordering.is_some();
        let limits = Limits { prefetch, concurrency: in_hand, ordered, redeliveries: config.max_redeliveries };
        let source = self.backend().consume(topology.clone(), limits).await?;
        if !ephemeral {
            self.note(&topology);
        }
        // One at a time means in order, over retries too.
        let in_order = stream.is_some() && concurrency == 1;
        let ordering = ordering.or_else(|| in_order.then(OrderingKey::queue));
        let ordering = ordering.map(|key| (key, retry_order));
        let settings = Settings { exchange, group, limits, concurrency, timeout, ordering, ephemeral, topology };
        let worker = Worker::new(self, settings, router, source);
        Ok(SubscriptionHandle::start(self, worker))
    }
}
