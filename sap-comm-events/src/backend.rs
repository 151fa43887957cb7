//! What a broker must do; everything above it is the same for all of them.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use sap_comm_core::Name;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::{Instant, timeout_at},
};

use crate::{
    BrokerHealth, DeadLetterError, PublishError, SubscribeError,
    message::Message,
    topology::{ExchangeKind, Target, Topology, TopologyDifference, TopologySpec},
};

/// Stands for a time beyond any patience, and within what clocks can tell.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 86_400);

/// A broker, or a connection to one.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync {
    /// Whether messages leave the process in no wise, so that an envelope need not be written.
    fn stays_inside(&self) -> bool {
        false
    }

    /// Hands a message over if there is nothing to wait for.
    fn publish_now(&self, _target: &Target, message: Arc<Message>) -> Handed {
        Handed::Back(message)
    }

    /// Hands messages over as [`publish_now`](Self::publish_now) each, in their order.
    fn publish_all_now(&self, target: &Target, messages: Vec<Arc<Message>>) -> Vec<Handed> {
        messages.into_iter().map(|message| self.publish_now(target, message)).collect()
    }

    /// What it means that the answer to message `id` did not come, which was sent or not.
    fn late(&self, id: Name, sent: bool) -> PublishError {
        if sent { PublishError::Unknown { id } } else { PublishError::Closed }
    }

    /// Hands a message over; returns once the broker has it, or by `deadline`. Waits until then for a broker that is away, blocked
    /// or full, whatever the policies for events of [`publish_now`](Self::publish_now) and
    /// [`publish_later`](Self::publish_later) say.
    async fn publish(&self, target: Target, message: Message, deadline: Instant) -> Result<(), PublishError>;

    /// Writes what should become of a delivery in hand to a queue; returns once the broker has it, however long that takes. It
    /// takes no room from events, since there are no more of these than deliveries in hand.
    async fn settle(&self, queue: String, message: Message) -> Result<(), PublishError> {
        self.publish(Target::Queue(queue), message, Instant::now() + FAR).await
    }

    /// Hands messages over as [`publish`](Self::publish) each, all of them at once.
    async fn publish_all(
        &self,
        target: Target,
        messages: Vec<Arc<Message>>,
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let publish = |message| self.publish(target.clone(), Arc::unwrap_or_clone(message), deadline);
        join_all(messages.into_iter().map(publish)).await
    }

    /// Hands a message over that is to reach exchange `name` after `delay`; returns once the broker has it, or by `deadline`.
    async fn publish_later(
        &self,
        name: Name,
        kind: ExchangeKind,
        message: Message,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), PublishError>;

    /// Declares `topology` and consumes its queues.
    async fn consume(&self, topology: Topology, limits: Limits) -> Result<Box<dyn Source>, SubscribeError>;

    /// Declares `topology` again, in case somebody deleted part of it.
    async fn declare(&self, topology: &Topology) -> Result<(), SubscribeError>;

    /// Compares what exists with `spec`, and makes nothing.
    async fn examine(&self, spec: &TopologySpec) -> Result<Vec<TopologyDifference>, SubscribeError>;

    /// Gets ready to take the messages of a queue into hand.
    async fn hand(&self, queue: &str) -> Result<Box<dyn Hand>, DeadLetterError>;

    /// How many messages wait in a queue; none when there is no such queue.
    async fn depth(&self, queue: &str) -> Result<u64, DeadLetterError>;

    /// How the broker is.
    fn health(&self) -> BrokerHealth;

    /// Host and port of the node that takes messages now.
    #[cfg(feature = "otel")]
    fn publishes_to(&self) -> Option<(String, u16)> {
        None
    }

    /// Host and port of the node that delivers now.
    #[cfg(feature = "otel")]
    fn consumes_from(&self) -> Option<(String, u16)> {
        None
    }

    /// Refuses new messages from now on.
    fn refuse(&self);

    /// Waits until every message accepted before is settled.
    async fn flush(&self);

    /// Ends every connection and task.
    async fn disconnect(&self);
}

/// What became of a message that was to be published without waiting.
pub(crate) enum Handed {
    /// The broker has it, or will not take it.
    Done(Result<(), PublishError>),
    /// The broker is about to answer.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "in memory there is nobody who answers"))]
    Pending(Answer),
    /// There is something to wait for before.
    Back(Arc<Message>),
}

/// An answer of the broker that is awaited.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) answer: oneshot::Receiver<Result<(), PublishError>>,
    /// Whether the broker may have the message.
    pub(crate) sent: Arc<AtomicBool>,
}

impl Answer {
    /// Waits for the answer until `deadline`; the error is that it did not come, and whether the message was sent.
    pub(crate) async fn until(mut self, deadline: Instant) -> Result<Result<(), PublishError>, bool> {
        // Of many that are awaited one after the other, most are there already, and need no timer.
        let answered = match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => timeout_at(deadline, &mut self.answer).await.ok().and_then(Result::ok),
        };
        answered.ok_or_else(|| self.sent.load(Ordering::Acquire))
    }
}

/// The deliveries of one subscription, over all reconnections.
#[async_trait]
pub(crate) trait Source: Send {
    /// The next delivery; waits for as long as it takes. `None` once the broker is closed. Cancel safe.
    async fn next(&mut self) -> Option<Delivery>;

    /// A delivery that is there already, without waiting.
    fn ready(&mut self) -> Option<Delivery> {
        None
    }

    /// Keeps what is consumed for as long as no deliveries are taken. Cancel safe.
    async fn keep(&mut self) -> Infallible;

    /// Takes no more deliveries; those that nobody has taken go back. A source of a queue with a single active consumer
    /// stays that until it is flushed.
    async fn stop(&mut self);

    /// Waits until settlements have left; what is `left`, taken and not settled, goes back in its order.
    async fn flush(self: Box<Self>, left: Vec<Delivery>);
}

/// How much a consumer takes at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Deliveries held ahead of the handlers, those in hand included.
    pub(crate) prefetch: u16,
    /// Deliveries in hand.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "in memory the handlers take what they can"))]
    pub(crate) concurrency: usize,
    /// Whether they are handled in an order.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "in memory what goes back keeps its order"))]
    pub(crate) ordered: bool,
    /// How often a message may have killed its consumers.
    pub(crate) redeliveries: u32,
}

impl Limits {
    /// What was delivered more often than so is handled as if it killed its consumers.
    pub(crate) fn suspicious(self) -> u32 {
        self.redeliveries / 2
    }
}

/// Takes the messages of a queue, one after the other. Dropped, what was not removed is back in its place.
#[async_trait]
pub(crate) trait Hand: Send {
    /// The next message, oldest first; `None` once the queue is empty. Cancel safe.
    async fn next(&mut self) -> Result<Option<Held>, DeadLetterError>;

    /// Removes a message in hand for good. The broker learns of it soon.
    async fn remove(&mut self, number: u64) -> Result<(), DeadLetterError>;

    /// Waits until what was removed is gone and everything else is back in its place.
    async fn end(self: Box<Self>);
}

/// A message in hand.
#[derive(Debug)]
pub(crate) struct Held {
    /// Tells it from the others in hand.
    pub(crate) number: u64,
    pub(crate) message: Arc<Message>,
    /// How many more were ready when it was taken.
    pub(crate) left: u64,
}

/// A message that waits to be settled; dropped, it goes back to its queue.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) queue: Arc<str>,
    /// Whether a consumer held it before; `Some(n)` if the broker counts.
    pub(crate) redelivered: Redelivered,
    pub(crate) settlement: Box<dyn Settlement>,
}

/// What a broker knows of earlier deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redelivered {
    /// This is the first delivery, or the earlier one was this process's own and is accounted for.
    No,
    /// A consumer held it and died, or gave it back; the broker does not count.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "no consumer outlives an in-memory broker"))]
    Uncounted,
    /// A consumer held it and died, or gave it back, and others came before it that are to blame.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "no consumer outlives an in-memory broker"))]
    Behind,
    /// A consumer held it so many times.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only RabbitMQ's quorum queues count"))]
    Times(u32),
}

/// The way to settle one delivery; dropping it gives the message back.
#[async_trait]
pub(crate) trait Settlement: Debug + Send + Sync {
    /// What the broker numbers the delivery with, in its channel.
    #[cfg(feature = "otel")]
    fn tag(&self) -> Option<u64> {
        None
    }

    /// Whether the message went back to its queue already, whatever becomes of it here.
    fn is_void(&self) -> bool;

    /// The message is dealt with. The broker learns of it soon.
    fn ack(self: Box<Self>);

    /// The message is dealt with, and the broker knows.
    async fn ack_surely(self: Box<Self>);
}
