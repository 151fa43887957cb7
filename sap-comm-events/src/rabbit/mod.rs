//! RabbitMQ over AMQP 0-9-1.
//!
//! Two connections, because a blocked one carries no acknowledgements either: one publishes, one consumes. Each has a
//! supervisor that makes it anew; everything else waits for the next generation of it.

mod acks;
mod address;
mod connect;
mod consumer;
mod content;
mod declare;
mod examine;
mod hand;
mod held;
mod ladder;
mod link;
mod open;
mod properties;
mod publisher;
mod refusal;
mod rungs;
mod stream;
mod version;
mod vitals;
mod window;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sap_comm_core::Name;
use tokio::time::Instant;

pub(crate) use self::held::Held;
use self::{
    address::Addresses,
    hand::RabbitHand,
    link::Link,
    publisher::Publisher,
    rungs::Rungs,
    vitals::{Side, Vitals},
};
use crate::{
    BrokerConfig, BrokerHealth, ConnectError, DeadLetterError, PublishError, SubscribeError,
    backend::{Backend, Hand, Handed, Limits, Source},
    message::Message,
    topology::{ExchangeKind, Target, Topology, TopologyDifference, TopologySpec},
};

/// Connections to one RabbitMQ.
pub(crate) struct RabbitBackend {
    vitals: Arc<Vitals>,
    consuming: Link,
    publishing: Link,
    publisher: Publisher,
    connect_timeout: Duration,
}

impl RabbitBackend {
    /// Connects; what is transient is tried again until the connect timeout.
    pub(crate) async fn connect(url: &str, config: &BrokerConfig) -> Result<Self, ConnectError> {
        let addresses = Addresses::parse(url, &config.nodes, &config.tls)?;
        let vitals = Arc::new(Vitals::default());
        let by = Instant::now() + config.connect_timeout;
        let link = |side| Link::start(addresses.clone(), &config.service, side, Arc::clone(&vitals), by);
        let publishing = link(Side::Publish).await?;
        let consuming = link(Side::Consume).await?;
        let publisher = Publisher::start(config, &publishing.watcher(), Arc::clone(&vitals));
        Ok(Self { vitals, consuming, publishing, publisher, connect_timeout: config.connect_timeout })
    }
}

#[async_trait]
impl Backend for RabbitBackend {
    fn publish_now(&self, target: &Target, message: Arc<Message>) -> Handed {
        self.publisher.publish_now(target, message)
    }

    fn late(&self, id: Name, sent: bool) -> PublishError {
        self.publisher.late(id, sent)
    }

    async fn publish(&self, target: Target, message: Message, deadline: Instant) -> Result<(), PublishError> {
        self.publisher.publish(target, message, deadline).await
    }

    async fn settle(&self, queue: String, message: Message) -> Result<(), PublishError> {
        self.publisher.settle(queue, message).await
    }

    async fn publish_later(
        &self,
        name: Name,
        kind: ExchangeKind,
        mut message: Message,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let rungs = Rungs::of(delay);
        for rung in rungs.each() {
            message.headers.set(rungs::header(rung), "1".to_owned());
        }
        message.headers.set(rungs::TO, name.to_string());
        let rung = rungs.highest();
        let target = Target::Later { rung, enters: rungs::name(rung), name, kind };
        self.publisher.publish_by_policy(target, message, deadline).await
    }

    async fn consume(&self, topology: Topology, limits: Limits) -> Result<Box<dyn Source>, SubscribeError> {
        let (links, vitals) = (self.consuming.watcher(), Arc::clone(&self.vitals));
        Ok(Box::new(consumer::start(links, vitals, topology, limits, self.connect_timeout).await?))
    }

    async fn declare(&self, topology: &Topology) -> Result<(), SubscribeError> {
        consumer::declare(self.consuming.watcher(), topology, self.connect_timeout).await
    }

    async fn examine(&self, spec: &TopologySpec) -> Result<Vec<TopologyDifference>, SubscribeError> {
        examine::examine(self.consuming.watcher(), spec, self.connect_timeout).await
    }

    async fn hand(&self, queue: &str) -> Result<Box<dyn Hand>, DeadLetterError> {
        Ok(Box::new(RabbitHand::open(&self.consuming.watcher(), queue, self.connect_timeout).await?))
    }

    async fn depth(&self, queue: &str) -> Result<u64, DeadLetterError> {
        hand::depth(&self.consuming.watcher(), queue, self.connect_timeout).await
    }

    fn health(&self) -> BrokerHealth {
        self.vitals.health(self.publisher.pending())
    }

    #[cfg(feature = "otel")]
    fn publishes_to(&self) -> Option<(String, u16)> {
        self.publishing.node()
    }

    #[cfg(feature = "otel")]
    fn consumes_from(&self) -> Option<(String, u16)> {
        self.consuming.node()
    }

    fn refuse(&self) {
        self.publisher.refuse();
    }

    async fn flush(&self) {
        self.publisher.flush().await;
    }

    async fn disconnect(&self) {
        self.vitals.close();
        self.publisher.end();
        tokio::join!(self.publishing.close(), self.consuming.close());
    }
}

/// The message of a delivery, and the message that a copy of it would arrive as.
#[cfg(any(test, fuzzing))]
pub(crate) fn wire_message(routing_key: &str, properties: &[u8], body: &[u8]) -> (Message, Message) {
    use crate::amqp::{Content, properties_bytes};

    let message = properties::read(&Content::of(routing_key, properties, body)).message;
    let copy = properties_bytes(|to| properties::write(&message, to));
    let copy = properties::read(&Content::of(routing_key, &copy, body)).message;
    (message, copy)
}

impl fmt::Debug for RabbitBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitBackend").field("health", &self.health()).finish_non_exhaustive()
    }
}
