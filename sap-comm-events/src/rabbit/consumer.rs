//! A subscription's consumer over all generations of the connection.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::{
    declare::DeclareError,
    link::{Absence, Watcher},
    open::{Open, is_quorum},
    vitals::Vitals,
};
use crate::{
    SubscribeError,
    backend::{Delivery, Limits, Source},
    topology::Topology,
};

/// The pause before consuming again after a consumer ended or could not start; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(50);
/// A difference in the topology does not heal by itself.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Deliveries as they come, whatever the connection does.
///
/// What no handler has taken stays with the channel, which holds no more than the prefetch of each queue, and is dropped with it.
pub(super) struct RabbitSource {
    consumer: Consumer,
    stage: Stage,
}

enum Stage {
    Open(Box<Open>),
    /// Consuming ended, and begins again as soon as it can; not, when the connection is closed for good.
    Reopening(BoxFuture<'static, Option<Open>>),
    Closed,
}

impl Stage {
    fn of(reopened: Option<Open>) -> Self {
        reopened.map_or(Self::Closed, |open| Self::Open(Box::new(open)))
    }
}

/// What is consumed, over whichever connection.
#[derive(Clone)]
struct Consumer {
    link: Watcher,
    vitals: Arc<Vitals>,
    topology: Arc<Topology>,
    limits: Limits,
}

/// Starts consuming, and keeps on; waits for a connection, and then for an answer each time, no longer than `limit`.
pub(super) async fn start(
    mut link: Watcher,
    vitals: Arc<Vitals>,
    topology: Topology,
    limits: Limits,
    limit: Duration,
) -> Result<RabbitSource, SubscribeError> {
    let by = Instant::now() + limit;
    let open = loop {
        let away = || SubscribeError::Unavailable {
            reason: vitals.last_error().unwrap_or_else(|| "it does not answer".to_owned()),
        };
        let live = match link.live_within(by.saturating_duration_since(Instant::now())).await {
            Ok(live) => live,
            Err(Absence::Closed) => return Err(SubscribeError::Closed),
            Err(Absence::Away) => return Err(away()),
        };
        let starting = Open::start(Arc::clone(&live), &topology, limits);
        match live.patiently(limit, starting).await.map_err(DeclareError::Connection).flatten() {
            Ok(open) => break open,
            Err(DeclareError::Connection(error)) if Instant::now() + PAUSE < by => {
                tracing::debug!(error, "consuming could not start");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let consumer = Consumer { link, vitals, topology: Arc::new(topology), limits };
    Ok(RabbitSource { consumer, stage: Stage::Open(Box::new(open)) })
}

/// Declares what a consumer needs; waits for a connection, and then for an answer each time, no longer than `limit`.
pub(super) async fn declare(mut link: Watcher, topology: &Topology, limit: Duration) -> Result<(), SubscribeError> {
    let unavailable = |reason| SubscribeError::Unavailable { reason };
    let live = match link.live_within(limit).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(SubscribeError::Closed),
        Err(Absence::Away) => return Err(unavailable(format!("no connection within {limit:?}"))),
    };
    let declared = live.patiently(limit, super::declare::declare(&live, topology)).await;
    Ok(declared.map_err(DeclareError::Connection).flatten()?)
}

impl RabbitSource {
    /// Whether what goes back goes with the end of the channel, at once and in order: a quorum queue mixes up what is given back one by
    /// one, and where one consumer is active the next is not to begin before.
    fn returns_at_once(&self) -> bool {
        let topology = &self.consumer.topology;
        topology.single_active || is_quorum(topology)
    }

    /// Whether consuming goes on until the channel ends: where one consumer is active the next is not to begin before, and a quorum queue
    /// mixes up what is on its way to a consumer that is cancelled.
    fn keeps_place(&self) -> bool {
        let Consumer { topology, limits, .. } = &self.consumer;
        topology.single_active || (is_quorum(topology) && limits.ordered)
    }

    fn reopen(&mut self) {
        let consumer = self.consumer.clone();
        let Stage::Open(mut open) = std::mem::replace(&mut self.stage, Stage::Closed) else { return };
        if let Some(error) = open.refusal() {
            tracing::warn!(queues = ?consumer.topology.consumed, %error, "the broker closed the consuming channel");
            consumer.vitals.error(format!("the broker closed the consuming channel: {error}"));
        }
        self.stage = Stage::Reopening(Box::pin(async move {
            if consumer.topology.stream.is_some() {
                // The channel may be well: an event was given back, which only a new consumer is given again.
                open.close().await;
            } else {
                // Handlers may keep the channel for long: meanwhile it is to consume nothing.
                open.cancel().await;
                let is_lost = open.live.lost.is_cancelled();
                drop(open);
                if !is_lost {
                    sleep(PAUSE).await;
                }
            }
            consumer.reopen().await
        }));
    }
}

#[async_trait]
impl Source for RabbitSource {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            match &mut self.stage {
                Stage::Open(open) => match open.next().await {
                    Some(delivery) => return Some(delivery),
                    None => self.reopen(),
                },
                Stage::Reopening(reopening) => self.stage = Stage::of(reopening.await),
                Stage::Closed => return None,
            }
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        match &mut self.stage {
            Stage::Open(open) => open.ready(),
            Stage::Reopening(_) | Stage::Closed => None,
        }
    }

    async fn keep(&mut self) -> Infallible {
        loop {
            match &mut self.stage {
                Stage::Open(open) => {
                    open.ended().await;
                    self.reopen();
                }
                Stage::Reopening(reopening) => self.stage = Stage::of(reopening.await),
                Stage::Closed => pending().await,
            }
        }
    }

    async fn stop(&mut self) {
        let keeps_place = self.keeps_place();
        match &mut self.stage {
            Stage::Open(open) if !keeps_place => open.cancel().await,
            Stage::Open(_) | Stage::Closed => {}
            Stage::Reopening(_) => self.stage = Stage::Closed,
        }
    }

    async fn flush(self: Box<Self>, left: Vec<Delivery>) {
        // Given back one by one, they would come to us again, behind those that the channel holds.
        let kept = if self.returns_at_once() {
            left
        } else {
            drop(left);
            Vec::new()
        };
        if let Stage::Open(open) = self.stage {
            open.close().await;
        }
        drop(kept);
    }
}

impl Consumer {
    /// Consumes again, as soon as it can; `None` when the connection is closed for good.
    async fn reopen(mut self) -> Option<Open> {
        let mut pause = PAUSE;
        loop {
            let live = self.link.live().await?;
            let error = match Open::start(live, &self.topology, self.limits).await {
                Ok(open) => return Some(open),
                Err(DeclareError::Connection(error)) => {
                    pause = pause.min(PAUSE * 8);
                    error
                }
                Err(error) => SubscribeError::from(error).to_string(),
            };
            tracing::warn!(error, ?pause, "consuming cannot go on yet");
            self.vitals.error(format!("cannot consume: {error}"));
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
