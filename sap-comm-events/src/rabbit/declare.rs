//! Declaring exchanges and queues.

use super::{
    link::Live,
    refusal::{ACCESS_REFUSED, PRECONDITION_FAILED, RESOURCE_LOCKED, Refusal},
    version::{Feature, QUORUM_QUEUES, SINGLE_ACTIVE, STREAMS, Version},
};
use crate::{
    SubscribeError, TopologyError,
    amqp::{Channel, Error, ExchangeOptions, QueueOptions, Value},
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

impl From<DeclareError> for SubscribeError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Difference(error) => error.into(),
            DeclareError::Forbidden(reason) => Self::Forbidden { reason },
            DeclareError::Unsupported { feature: Feature { name, since }, version } => {
                Self::Unsupported { feature: name, needs: since.to_string(), version: version.to_string() }
            }
            DeclareError::Connection(reason) => Self::Unavailable { reason },
        }
    }
}

impl DeclareError {
    /// A failure to consume what is declared.
    pub(super) fn of_consuming(error: &Error) -> Self {
        Self::of(error, || "a queue".to_owned())
    }

    pub(super) fn of(error: &Error, object: impl FnOnce() -> String) -> Self {
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
    let feature = match topology {
        Topology { stream: Some(_), .. } => Some(STREAMS),
        Topology { quorum: true, .. } => Some(QUORUM_QUEUES),
        Topology { single_active: true, .. } => Some(SINGLE_ACTIVE),
        _ => None,
    };
    if let Some(feature) = feature {
        // An older one would declare something else and not say so.
        let version = live.version().map_err(DeclareError::Connection)?;
        if version < feature.since {
            return Err(DeclareError::Unsupported { feature, version });
        }
    }
    // Each has a time of its own: there may be hundreds.
    let answered = |answer: Result<_, String>| answer.map_err(DeclareError::Connection)?;
    for (name, kind) in &topology.exchanges {
        answered(live.answer(exchange(channel, name, *kind)).await)?;
    }
    for declared in &topology.queues {
        answered(live.answer(queue(live, channel, &QueueSpec::of(declared, topology))).await)?;
    }
    for binding in &topology.bindings {
        let (name, from, key) = (binding.queue.as_str(), binding.exchange.as_str(), binding.key.as_str());
        let bound = live.answer(channel.bind_queue(name, from, key, &[])).await.map_err(DeclareError::Connection)?;
        bound.map_err(|error| DeclareError::of(&error, || format!("binding of queue {name:?}")))?;
    }
    Ok(())
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
    let options = ExchangeOptions { durable: spec.durable, ..ExchangeOptions::default() };
    let declared = channel.declare_exchange(&spec.name, &spec.kind, options, &[]).await;
    declared.map_err(|error| DeclareError::of(&error, || spec.object()))
}

/// Declares a queue, as far as the broker is able to.
pub(super) async fn queue(live: &Live, channel: &Channel, spec: &QueueSpec) -> Result<(), DeclareError> {
    let is_old = live.version().is_ok_and(|version| version < QUORUM_QUEUES.since);
    let classic = if is_old { spec.without_sure_delay() } else { None };
    let spec = classic.as_ref().unwrap_or(spec);
    let arguments = spec.arguments.iter().map(|(name, value)| {
        let value = match value {
            Argument::Flag(flag) => Value::Bool(*flag),
            Argument::Number(number) => Value::Int(*number),
            Argument::Text(text) => Value::text(text),
        };
        (name.as_str(), value)
    });
    let arguments: Vec<_> = arguments.collect();
    let options = QueueOptions {
        durable: spec.durable,
        exclusive: spec.exclusive,
        auto_delete: spec.auto_delete,
        ..QueueOptions::default()
    };
    let declared = channel.declare_queue(&spec.name, options, &arguments).await;
    declared.map(drop).map_err(|error| DeclareError::of(&error, || spec.object()))
}
