//! Comparing what exists with what is declared, without making anything.

use std::{sync::Arc, time::Duration};

use super::{
    declare::{self, DeclareError},
    link::{Absence, Live, Watcher},
    refusal::{ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, Refusal},
};
use crate::{
    SubscribeError,
    amqp::{Channel, Error, ExchangeOptions, QueueOptions},
    topology::{ExchangeSpec, QueueSpec, TopologyDifference, TopologySpec},
};

/// What is missing or other than declared. Bindings cannot be asked for over AMQP.
///
/// A passive declaration tells whether something exists; what does is declared once more, which changes nothing and is
/// refused with the argument that differs.
pub(super) async fn examine(
    mut link: Watcher,
    spec: &TopologySpec,
    limit: Duration,
) -> Result<Vec<TopologyDifference>, SubscribeError> {
    let live = match link.live_within(limit).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(SubscribeError::Closed),
        Err(Absence::Away) => {
            return Err(SubscribeError::Unavailable { reason: format!("no connection within {limit:?}") });
        }
    };
    let mut examiner = Examiner { live: Arc::clone(&live), channel: None };
    let mut differences = Vec::new();
    let examining = async {
        for exchange in &spec.exchanges {
            differences.extend(examiner.exchange(exchange).await?);
        }
        for queue in &spec.queues {
            differences.extend(examiner.queue(queue).await?);
        }
        Ok(differences)
    };
    live.patiently(limit, examining).await.map_err(unavailable)?
}

/// What every RabbitMQ knows. It closes the connection of whoever asks for another that it does not.
const KINDS: [&str; 4] = ["topic", "direct", "fanout", "headers"];

struct Examiner {
    live: Arc<Live>,
    /// A refusal ends it.
    channel: Option<Channel>,
}

impl Examiner {
    async fn exchange(&mut self, spec: &ExchangeSpec) -> Result<Option<TopologyDifference>, SubscribeError> {
        let (channel, live) = (self.channel().await?, Arc::clone(&self.live));
        let passive = ExchangeOptions { passive: true, ..ExchangeOptions::default() };
        let there = channel.declare_exchange(&spec.name, &spec.kind, passive, &[]);
        let there = live.answer(there).await.map_err(unavailable)?;
        if let Some(difference) = self.absent(there, spec.object())? {
            return Ok(Some(difference));
        }
        if !KINDS.contains(&&*spec.kind) {
            tracing::warn!(
                exchange = spec.name,
                kind = spec.kind,
                "the exchange is there; of what kind it is cannot be asked"
            );
            return Ok(None);
        }
        let declared = live.answer(declare::declare_as(&channel, spec, &[])).await.map_err(unavailable)?;
        self.differs(declared)
    }

    async fn queue(&mut self, spec: &QueueSpec) -> Result<Option<TopologyDifference>, SubscribeError> {
        let (channel, live) = (self.channel().await?, Arc::clone(&self.live));
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let there = channel.declare_queue(&spec.name, passive, &[]);
        let there = live.answer(there).await.map_err(unavailable)?;
        if let Some(difference) = self.absent(there.map(drop), spec.object())? {
            return Ok(Some(difference));
        }
        let declared = live.answer(declare::queue(&live, &channel, spec)).await.map_err(unavailable)?;
        self.differs(declared)
    }

    async fn channel(&mut self) -> Result<Channel, SubscribeError> {
        match &self.channel {
            Some(channel) => Ok(channel.clone()),
            None => Ok(self.channel.insert(self.live.channel().await.map_err(unavailable)?).clone()),
        }
    }

    fn absent(
        &mut self,
        there: Result<(), Error>,
        object: String,
    ) -> Result<Option<TopologyDifference>, SubscribeError> {
        let Err(error) = there else { return Ok(None) };
        self.channel = None;
        match Refusal::of(&error) {
            Some(refusal) if refusal.code == NOT_FOUND => Ok(Some(TopologyDifference::Missing { object })),
            Some(refusal) if refusal.code == RESOURCE_LOCKED => Ok(Some(refusal.difference(object).into())),
            Some(refusal) if refusal.code == ACCESS_REFUSED => Err(SubscribeError::Forbidden { reason: refusal.text }),
            _ => Err(unavailable(error.to_string())),
        }
    }

    fn differs(&mut self, declared: Result<(), DeclareError>) -> Result<Option<TopologyDifference>, SubscribeError> {
        let Err(error) = declared else { return Ok(None) };
        self.channel = None;
        match error {
            DeclareError::Difference(error) => Ok(Some(error.into())),
            error => Err(error.into()),
        }
    }
}

fn unavailable(reason: String) -> SubscribeError {
    SubscribeError::Unavailable { reason }
}
