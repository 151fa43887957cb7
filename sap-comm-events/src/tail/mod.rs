//! Looking on while events are published.

use std::fmt;

use bytes::Bytes;
use sap_comm_core::{EventKind, Name, id};

use crate::{
    Broker, SubscribeError,
    backend::{Limits, Source},
    message::header,
    topology::{ExchangeKind, ExchangeSpec, TAIL_LENGTH, Topology, TopologyDifference, TopologySpec, check_name},
};

/// What is published to an exchange from now on.
///
/// Its queue is its own and is gone with it, so it takes nothing from anybody. If it is read too slowly, the oldest
/// events make room for new ones beyond 1,000; after a loss of connection it goes on without those in between. While it
/// looks on, an event that no group wants counts as routed.
#[must_use = "dropping it ends it"]
pub struct Tail {
    source: Box<dyn Source>,
}

/// An event as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TailedEvent {
    /// The event id; empty if its publisher named none.
    pub id: Name,
    /// The event type.
    pub event_type: Name,
    /// The service that published it; empty if it named none.
    pub source: Name,
    /// Its kind.
    pub kind: EventKind,
    /// The bytes of the message: an event's JSON, or whatever was published.
    pub event: Bytes,
}

impl Broker {
    /// Looks on at what is published to `exchange` with types that fit any of `patterns`, such as `user.*` or `#`.
    /// Commands of `user.events` are published to `user.events.commands`, where patterns are whole types.
    ///
    /// # Errors
    /// When a name is invalid, there is no such exchange, or the broker is away or refuses.
    pub async fn tail(&self, exchange: &str, patterns: &[&str]) -> Result<Tail, SubscribeError> {
        check_name("exchange", exchange)?;
        let spec = TopologySpec {
            exchanges: vec![ExchangeSpec::new(exchange, ExchangeKind::Topic)],
            ..TopologySpec::default()
        };
        let missing = |difference: &TopologyDifference| matches!(difference, TopologyDifference::Missing { .. });
        if self.topology_differences(&spec).await?.iter().any(missing) {
            return Err(SubscribeError::NoExchange { exchange: exchange.to_owned() });
        }
        let queue = id::prefixed(&format!("{exchange}.tail"));
        let topology = Topology::tail(exchange, &queue, patterns);
        topology.check()?;
        let source = self
            .backend()
            .consume(topology, Limits { prefetch: TAIL_LENGTH, concurrency: 1, ordered: true, redeliveries: u32::MAX })
            .await?;
        Ok(Tail { source })
    }
}

impl Tail {
    /// The next event; waits for it. `None` once the broker is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<TailedEvent> {
        let delivery = self.source.next().await?;
        let message = &delivery.message;
        let kind = message.headers.text(header::KIND).and_then(|kind| kind.parse().ok());
        let event = TailedEvent {
            id: message.id.clone(),
            event_type: message.event_type.clone(),
            source: message.source.clone().unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            event: message.body().clone(),
        };
        delivery.settlement.ack();
        Some(event)
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}
