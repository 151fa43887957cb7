//! Declaring exchanges and queues.

use lapin::{
    Channel,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    link::Live,
    refusal::{ACCESS_REFUSED, PRECONDITION_FAILED, Refusal},
    version::{Feature, QUORUM_QUEUES, Version},
};
use crate::{
    TopologyError,
    topology::{ExchangeKind, Queue, Role, Topology},
};

/// Milliseconds that an ephemeral queue waits for its consumer to come back.
const EPHEMERAL_LIFE: i64 = 60_000;

/// Why something could not be declared.
pub(super) enum DeclareError {
    /// It exists with other properties.
    Difference(TopologyError),
    /// The user may not.
    Forbidden(String),
    /// The broker is too old for it.
    Unsupported { feature: Feature, version: Version },
    /// The connection or the channel failed.
    Connection(String),
}

impl DeclareError {
    /// A failure to consume what is declared.
    pub(super) fn of_consuming(error: &lapin::Error) -> Self {
        Self::of(error, || "a queue".to_owned())
    }

    fn of(error: &lapin::Error, object: impl FnOnce() -> String) -> Self {
        match Refusal::of(error) {
            Some(refusal) if refusal.code == PRECONDITION_FAILED => Self::Difference(refusal.difference(object())),
            Some(refusal) if refusal.code == ACCESS_REFUSED => Self::Forbidden(refusal.text),
            _ => Self::Connection(error.to_string()),
        }
    }
}

/// Declares everything in `topology`, which may all exist already.
pub(super) async fn declare(live: &Live, channel: &Channel, topology: &Topology) -> Result<(), DeclareError> {
    if topology.quorum {
        // An older one would declare classic queues and not say so.
        let (feature, version) = (QUORUM_QUEUES, live.version().await.map_err(DeclareError::Connection)?);
        if version < feature.since {
            return Err(DeclareError::Unsupported { feature, version });
        }
    }
    let declaring = async {
        for (name, kind) in &topology.exchanges {
            exchange(channel, name, *kind).await?;
        }
        for declared in &topology.queues {
            queue(channel, declared, topology.quorum).await?;
        }
        for binding in &topology.bindings {
            let (name, from, key) = (binding.queue.as_str(), binding.exchange.as_str(), binding.key.as_str());
            channel
                .queue_bind(name.into(), from.into(), key.into(), QueueBindOptions::default(), FieldTable::default())
                .await
                .map_err(|error| DeclareError::of(&error, || format!("binding of queue {name:?}")))?;
        }
        Ok(())
    };
    live.answer(declaring).await.map_err(DeclareError::Connection)?
}

/// Declares an exchange on a channel of its own, since a refusal ends the channel.
pub(super) async fn declare_exchange(live: &Live, name: &str, kind: ExchangeKind) -> Result<(), DeclareError> {
    let channel = live.channel().await.map_err(DeclareError::Connection)?;
    live.answer(exchange(&channel, name, kind)).await.map_err(DeclareError::Connection)?
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), DeclareError> {
    let kind = match kind {
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
    };
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await;
    declared.map_err(|error| DeclareError::of(&error, || format!("exchange {name:?}")))
}

async fn queue(channel: &Channel, queue: &Queue, quorum: bool) -> Result<(), DeclareError> {
    let mut arguments = FieldTable::default();
    // What a replicated queue relies on is replicated too, or the loss of one node would stop its consumers.
    if quorum && queue.role != Role::Ephemeral {
        arguments.insert("x-queue-type".into(), text("quorum"));
    }
    match &queue.role {
        Role::Work { single_active } => {
            if *single_active {
                arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
            }
        }
        Role::Dead { .. } => {}
        Role::Ephemeral => {
            arguments.insert("x-expires".into(), AMQPValue::LongLongInt(EPHEMERAL_LIFE));
        }
        Role::Delay { delay, to } => {
            // The configuration keeps delays within 32 bits.
            let ttl = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(ttl));
            arguments.insert("x-dead-letter-exchange".into(), text(""));
            arguments.insert("x-dead-letter-routing-key".into(), text(to));
            if quorum {
                // Otherwise an event is dropped whose queue has no leader at the moment that its delay is over.
                arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
                arguments.insert("x-overflow".into(), text("reject-publish"));
            }
        }
    }
    let name = queue.name.as_str();
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await;
    declared.map(drop).map_err(|error| DeclareError::of(&error, || format!("queue {name:?}")))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
