//! Declaring exchanges and queues.

use std::collections::HashSet;

use super::{
    link::Live,
    refusal::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, Refusal},
    version::{Feature, QUORUM_QUEUES, SINGLE_ACTIVE, STREAMS, Version},
};
use crate::{
    SubscribeError, TopologyError,
    amqp::{Channel, Error, ExchangeOptions, QueueOptions, Value},
    topology::{Argument, Binding, ExchangeKind, ExchangeSpec, QueueSpec, Topology},
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
pub(super) async fn declare(live: &Live, topology: &Topology) -> Result<(), DeclareError> {
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
    let mut declaring = Declaring::start(live).await?;
    for (name, kind) in &topology.exchanges {
        declaring.exchange(&ExchangeSpec::new(name, *kind), &[]).await?;
    }
    let mut of_others = HashSet::new();
    for declared in &topology.queues {
        if declaring.queue(&QueueSpec::of(declared, topology)).await? == Whose::Others {
            of_others.insert(declared.name.as_str());
        }
    }
    for binding in &topology.bindings {
        declaring.binding(binding, of_others.contains(binding.queue.as_str())).await?;
    }
    // Whoever consumes next may need its place.
    let closed = live.answer(declaring.channel.close()).await;
    tracing::trace!(?closed, "declared");
    Ok(())
}

/// Declares an exchange.
pub(super) async fn declare_exchange(live: &Live, name: &str, kind: ExchangeKind) -> Result<(), DeclareError> {
    Declaring::start(live).await?.exchange(&ExchangeSpec::new(name, kind), &[]).await.map(drop)
}

/// Who sees to it that something exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    /// Our user may not declare it, and it is there.
    Others,
}

/// Declares one after the other, each with a time of its own, since there may be hundreds. On a channel of its own, since a refusal
/// ends that.
///
/// A user that may only write to an exchange, or read a queue, may not declare it: then it is enough that it exists, which a
/// passive declaration tells anybody.
///
/// A queue that a vhost made one of another type before, since it did not say its own, goes on being used: else the service that uses
/// it would not start any more.
pub(super) struct Declaring<'a> {
    live: &'a Live,
    channel: Channel,
}

impl<'a> Declaring<'a> {
    pub(super) async fn start(live: &'a Live) -> Result<Self, DeclareError> {
        let channel = live.channel().await.map_err(DeclareError::Connection)?;
        Ok(Self { live, channel })
    }

    pub(super) async fn exchange(
        &mut self,
        spec: &ExchangeSpec,
        arguments: &[(&str, Value<'_>)],
    ) -> Result<Whose, DeclareError> {
        let declared = self.live.answer(declare_as(&self.channel, spec, arguments)).await;
        let declared = declared.map_err(DeclareError::Connection)?;
        let Some(reason) = self.forbidden(declared).await? else { return Ok(Whose::Ours) };
        let passive = ExchangeOptions { passive: true, ..ExchangeOptions::default() };
        let looked = self.live.answer(self.channel.declare_exchange(&spec.name, &spec.kind, passive, &[])).await;
        exists(looked.map_err(DeclareError::Connection)?, &reason, || spec.object())
    }

    pub(super) async fn queue(&mut self, spec: &QueueSpec) -> Result<Whose, DeclareError> {
        let mut declared =
            self.live.answer(queue(self.live, &self.channel, spec)).await.map_err(DeclareError::Connection)?;
        if let Err(DeclareError::Difference(difference)) = &declared
            && is_classic(spec)
            && difference.argument.as_deref() == Some(QUEUE_TYPE)
            && difference.found.as_deref() == Some("quorum")
            && self.queue_of_any_type(spec, difference).await?
        {
            declared = Ok(());
        }
        let Some(reason) = self.forbidden(declared).await? else { return Ok(Whose::Ours) };
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let looked = self.live.answer(self.channel.declare_queue(&spec.name, passive, &[])).await;
        exists(looked.map_err(DeclareError::Connection)?.map(drop), &reason, || spec.object())
    }

    /// Whether a queue is as declared but for its type.
    async fn queue_of_any_type(&mut self, spec: &QueueSpec, difference: &TopologyError) -> Result<bool, DeclareError> {
        self.renew().await?;
        let declared = self.live.answer(queue_as(&self.channel, spec, None)).await;
        match declared.map_err(DeclareError::Connection)? {
            Ok(()) => {
                tracing::warn!(
                    queue = spec.name,
                    found = difference.found,
                    "the queue is not the classic one that is declared, but what its vhost makes by default, and is used as it \
                     is: the broker's own delivery limit holds for it, and drops what comes back more often from consumers that \
                     die or lose their connection, and dead letters that are looked at; raise it by a policy (`delivery-limit`), \
                     or delete the queue when it is empty"
                );
                Ok(true)
            }
            Err(DeclareError::Difference(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Binds exchange `to` to exchange `from`.
    pub(super) async fn exchange_binding(
        &mut self,
        to: &str,
        from: &str,
        arguments: &[(&str, Value<'_>)],
    ) -> Result<(), DeclareError> {
        let bound = self.live.answer(self.channel.bind_exchange(to, from, "", arguments)).await;
        let bound = bound.map_err(DeclareError::Connection)?;
        bound.map_err(|error| DeclareError::of(&error, || format!("binding of exchange {to:?}")))
    }

    /// Binds a queue; why it may not be bound, if that is so.
    pub(super) async fn queue_binding(
        &mut self,
        Binding { queue, exchange, key }: &Binding,
        arguments: &[(&str, Value<'_>)],
    ) -> Result<Option<String>, DeclareError> {
        let bound = self.live.answer(self.channel.bind_queue(queue, exchange, key, arguments)).await;
        let bound = bound.map_err(DeclareError::Connection)?;
        let bound = bound.map_err(|error| DeclareError::of(&error, || format!("binding of queue {queue:?}")));
        self.forbidden(bound).await
    }

    /// Binds a queue; whoever declared it `for_us` has bound it, or nobody can tell.
    async fn binding(&mut self, binding: &Binding, for_us: bool) -> Result<(), DeclareError> {
        let Binding { queue, exchange, key } = binding;
        match self.queue_binding(binding, &[]).await? {
            None => Ok(()),
            Some(reason) if for_us => {
                tracing::warn!(
                    queue,
                    exchange,
                    key,
                    reason,
                    "the queue may not be bound; it gets what it is bound for already"
                );
                Ok(())
            }
            Some(reason) => Err(DeclareError::Forbidden(reason)),
        }
    }

    /// Why it may not be declared, if that is so: then the next is asked for on another channel.
    async fn forbidden(&mut self, declared: Result<(), DeclareError>) -> Result<Option<String>, DeclareError> {
        match declared {
            Ok(()) => Ok(None),
            Err(DeclareError::Forbidden(reason)) => {
                self.renew().await?;
                Ok(Some(reason))
            }
            Err(error) => Err(error),
        }
    }

    async fn renew(&mut self) -> Result<(), DeclareError> {
        self.channel = self.live.channel().await.map_err(DeclareError::Connection)?;
        Ok(())
    }
}

/// Whether what we may not declare exists. `reason` says why not, and then what is missing.
fn exists(looked: Result<(), Error>, reason: &str, object: impl Fn() -> String) -> Result<Whose, DeclareError> {
    let Err(error) = looked else { return Ok(Whose::Others) };
    match Refusal::of(&error) {
        Some(refusal) if refusal.code == NOT_FOUND => {
            Err(DeclareError::Forbidden(format!("{reason}; and {} does not exist", object())))
        }
        _ => Err(DeclareError::of(&error, object)),
    }
}

/// Declares an exchange.
pub(super) async fn declare_as(
    channel: &Channel,
    spec: &ExchangeSpec,
    arguments: &[(&str, Value<'_>)],
) -> Result<(), DeclareError> {
    let options = ExchangeOptions { durable: spec.durable, ..ExchangeOptions::default() };
    let declared = channel.declare_exchange(&spec.name, &spec.kind, options, arguments).await;
    declared.map_err(|error| DeclareError::of(&error, || spec.object()))
}

/// Declares a queue, as far as the broker is able to.
pub(super) async fn queue(live: &Live, channel: &Channel, spec: &QueueSpec) -> Result<(), DeclareError> {
    let version = live.version().ok();
    let is_old = version.is_some_and(|version| version < QUORUM_QUEUES.since);
    let classic = if is_old { spec.without_sure_delay() } else { None };
    let spec = classic.as_ref().unwrap_or(spec);
    queue_as(channel, spec, said_classic(version).filter(|_| is_classic(spec))).await
}

/// Whether a queue is one of those that do not say their type.
fn is_classic(spec: &QueueSpec) -> bool {
    spec.durable && !spec.arguments.contains_key(QUEUE_TYPE)
}

async fn queue_as(
    channel: &Channel,
    spec: &QueueSpec,
    said_type: Option<(&'static str, Value<'static>)>,
) -> Result<(), DeclareError> {
    let arguments = spec.arguments.iter().map(|(name, value)| {
        let value = match value {
            Argument::Flag(flag) => Value::Bool(*flag),
            Argument::Number(number) => Value::Int(*number),
            Argument::Text(text) => Value::text(text),
        };
        (name.as_str(), value)
    });
    let arguments: Vec<_> = arguments.chain(said_type).collect();
    let options = QueueOptions {
        durable: spec.durable,
        exclusive: spec.exclusive,
        auto_delete: spec.auto_delete,
        ..QueueOptions::default()
    };
    let declared = channel.declare_queue(&spec.name, options, &arguments).await;
    declared.map(drop).map_err(|error| DeclareError::of(&error, || spec.object()))
}

const QUEUE_TYPE: &str = "x-queue-type";

/// What makes a durable queue a classic one: a vhost may have another type for those that do not say. For brokers that know of that
/// the two are the same where the vhost has none; older ones would take them for different.
fn said_classic(version: Option<Version>) -> Option<(&'static str, Value<'static>)> {
    let knows = version.is_some_and(|version| version >= QUORUM_QUEUES.since);
    knows.then(|| (QUEUE_TYPE, Value::text("classic")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classic_queue_says_so_where_that_matters() {
        let said = |version| said_classic(Version::parse(version));
        for version in ["3.10.0", "3.13.7", "4.0.2", "4.2.0"] {
            assert_eq!(said(version), Some(("x-queue-type", Value::text("classic"))), "{version}");
        }
        for version in ["3.7.28", "3.9.29", "unknown"] {
            assert_eq!(said(version), None, "{version}");
        }
    }
}
