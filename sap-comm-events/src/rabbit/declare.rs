//! Declaring exchanges and queues.

use lapin::{
    Channel,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    link::Live,
    refusal::{ACCESS_REFUSED, PRECONDITION_FAILED, RESOURCE_LOCKED, Refusal},
    version::{Feature, QUORUM_QUEUES, STREAMS, Version},
};
use crate::{
    TopologyError,
    topology::{Argument, ExchangeKind, ExchangeSpec, QueueSpec, Topology},
};

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

    pub(super) fn of(error: &lapin::Error, object: impl FnOnce() -> String) -> Self {
        match Refusal::of(error) {
            Some(refusal) if [PRECONDITION_FAILED, RESOURCE_LOCKED].contains(&refusal.code) => {
                Self::Difference(refusal.difference(object()))
            }
            Some(refusal) if refusal.code == ACCESS_REFUSED => Self::Forbidden(refusal.text),
            _ => Self::Connection(error.to_string()),
        }
    }
}

/// Declares everything in `topology`, which may all exist already.
pub(super) async fn declare(live: &Live, channel: &Channel, topology: &Topology) -> Result<(), DeclareError> {
    if topology.quorum {
        let feature = if topology.stream.is_some() { STREAMS } else { QUORUM_QUEUES };
        // An older one would declare classic queues and not say so.
        let version = live.version().await.map_err(DeclareError::Connection)?;
        if version < feature.since {
            return Err(DeclareError::Unsupported { feature, version });
        }
    }
    let declaring = async {
        for (name, kind) in &topology.exchanges {
            exchange(channel, name, *kind).await?;
        }
        for declared in &topology.queues {
            queue(channel, &QueueSpec::of(declared, topology)).await?;
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

pub(super) async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), DeclareError> {
    declare_as(channel, &ExchangeSpec::new(name, kind)).await
}

/// Declares an exchange.
pub(super) async fn declare_as(channel: &Channel, spec: &ExchangeSpec) -> Result<(), DeclareError> {
    let options = ExchangeDeclareOptions { durable: spec.durable, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(spec.name.as_str().into(), kind(spec), options, FieldTable::default()).await;
    declared.map_err(|error| DeclareError::of(&error, || spec.object()))
}

/// The type of an exchange in the client library's words.
pub(super) fn kind(spec: &ExchangeSpec) -> lapin::ExchangeKind {
    match spec.kind.as_str() {
        "topic" => lapin::ExchangeKind::Topic,
        "direct" => lapin::ExchangeKind::Direct,
        "fanout" => lapin::ExchangeKind::Fanout,
        "headers" => lapin::ExchangeKind::Headers,
        other => lapin::ExchangeKind::Custom(other.to_owned()),
    }
}

/// Declares a queue.
pub(super) async fn queue(channel: &Channel, spec: &QueueSpec) -> Result<(), DeclareError> {
    let mut arguments = FieldTable::default();
    for (name, value) in &spec.arguments {
        let value = match value {
            Argument::Flag(flag) => AMQPValue::Boolean(*flag),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
        };
        arguments.insert(name.as_str().into(), value);
    }
    let options = QueueDeclareOptions {
        durable: spec.durable,
        exclusive: spec.exclusive,
        auto_delete: spec.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(spec.name.as_str().into(), options, arguments).await;
    declared.map(drop).map_err(|error| DeclareError::of(&error, || spec.object()))
}
