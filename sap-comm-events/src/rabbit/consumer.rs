//! A subscription's consumer over all generations of the connection.

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    declare::DeclareError,
    held::Held,
    link::{Absence, Watcher},
    open::Open,
    version::{Feature, Version},
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
pub(super) struct RabbitSource {
    deliveries: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    /// Cancelled when every handler has settled.
    settled: CancellationToken,
    feed: AbortOnDropHandle<()>,
    /// Whether nobody may take over before everything is settled, and what is not goes back at once and in order: with the
    /// end of the channel.
    keeps_place: bool,
}

/// Starts consuming within `limit`, and keeps on.
pub(super) async fn start(
    mut link: Watcher,
    vitals: Arc<Vitals>,
    topology: Topology,
    limits: Limits,
    limit: Duration,
) -> Result<RabbitSource, SubscribeError> {
    let held = Arc::default();
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
        match Open::start(live, &topology, limits, &held).await {
            Ok(open) => break open,
            Err(DeclareError::Difference(error)) => return Err(error.into()),
            Err(DeclareError::Forbidden(reason)) => return Err(SubscribeError::Forbidden { reason }),
            Err(DeclareError::Unsupported { feature, version }) => return Err(unsupported(feature, version)),
            Err(DeclareError::Connection(reason)) if Instant::now() + PAUSE >= by => {
                return Err(SubscribeError::Unavailable { reason });
            }
            Err(DeclareError::Connection(error)) => {
                tracing::debug!(error, "consuming could not start");
                sleep(PAUSE).await;
            }
        }
    };
    // A handler that is busy leaves deliveries with the client library, which holds no more than the prefetch, and drops
    // them with a connection that is lost.
    let (sender, deliveries) = mpsc::channel(1);
    let (stop, settled) = (CancellationToken::new(), CancellationToken::new());
    let keeps_place = topology.single_active;
    let feed = Feed { link, vitals, topology, limits, held, sender, stop: stop.clone(), settled: settled.clone() };
    let feed = AbortOnDropHandle::new(tokio::spawn(feed.run(open)));
    Ok(RabbitSource { deliveries, stop, settled, feed, keeps_place })
}

/// Declares what a consumer needs, within `limit`.
pub(super) async fn declare(mut link: Watcher, topology: &Topology, limit: Duration) -> Result<(), SubscribeError> {
    let unavailable = |reason| SubscribeError::Unavailable { reason };
    let live = match link.live_within(limit).await {
        Ok(live) => live,
        Err(Absence::Closed) => return Err(SubscribeError::Closed),
        Err(Absence::Away) => return Err(unavailable(format!("no connection within {limit:?}"))),
    };
    let channel = live.channel().await.map_err(unavailable)?;
    super::declare::declare(&live, &channel, topology).await.map_err(|error| match error {
        DeclareError::Difference(error) => error.into(),
        DeclareError::Forbidden(reason) => SubscribeError::Forbidden { reason },
        DeclareError::Unsupported { feature, version } => unsupported(feature, version),
        DeclareError::Connection(reason) => unavailable(reason),
    })
}

pub(super) fn unsupported(feature: Feature, version: Version) -> SubscribeError {
    let Feature { name, since } = feature;
    SubscribeError::Unsupported { feature: name, needs: since.to_string(), version: version.to_string() }
}

#[async_trait]
impl Source for RabbitSource {
    async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.deliveries.close();
        // Each goes back as it is dropped.
        while !self.keeps_place && self.deliveries.recv().await.is_some() {}
    }

    async fn flush(self: Box<Self>, left: Vec<Delivery>) {
        let Self { deliveries, stop, settled, feed, keeps_place } = *self;
        // Given back one by one, they would come to us again, behind those that the channel holds.
        let kept = if keeps_place {
            Some((left, deliveries))
        } else {
            drop((left, deliveries));
            None
        };
        stop.cancel();
        settled.cancel();
        if let Err(error) = feed.await {
            tracing::error!(%error, "a consumer task failed");
        }
        drop(kept);
    }
}

/// The task that feeds a source.
struct Feed {
    link: Watcher,
    vitals: Arc<Vitals>,
    topology: Topology,
    limits: Limits,
    held: Arc<Mutex<Held>>,
    sender: mpsc::Sender<Delivery>,
    stop: CancellationToken,
    settled: CancellationToken,
}

impl Feed {
    async fn run(mut self, mut open: Open) {
        loop {
            let mut kept = None;
            if self.feed(&mut open, &mut kept).await == Stopped::ByUs {
                if !self.topology.single_active {
                    drop(kept.take());
                    open.cancel().await;
                }
                // The source waits for the last sender.
                let Self { sender, settled, .. } = self;
                drop(sender);
                settled.cancelled().await;
                open.finish().await;
                return;
            }
            if self.topology.stream.is_some() {
                // The channel may be well: an event was given back, which only a new consumer is given again.
                open.close().await;
            }
            let stop = self.stop.clone();
            match stop.run_until_cancelled(self.reopen()).await {
                Some(Some(again)) => open = again,
                Some(None) | None => return,
            }
        }
    }

    /// Hands deliveries on; one that nobody takes any more is left in `kept`.
    async fn feed(&self, open: &mut Open, kept: &mut Option<Delivery>) -> Stopped {
        let mut stopped = pin!(self.stop.cancelled());
        loop {
            let delivery = tokio::select! {
                biased;
                () = &mut stopped => return Stopped::ByUs,
                delivery = open.next() => delivery,
            };
            let Some(delivery) = delivery else { return Stopped::ByThem };
            let room = tokio::select! {
                biased;
                () = &mut stopped => None,
                room = self.sender.reserve() => room.ok(),
            };
            match room {
                Some(room) => room.send(delivery),
                None => {
                    *kept = Some(delivery);
                    return Stopped::ByUs;
                }
            }
        }
    }

    /// Consumes again, as soon as it can; `None` when the connection is closed for good.
    async fn reopen(&mut self) -> Option<Open> {
        let mut pause = PAUSE;
        loop {
            let live = self.link.live().await?;
            let error = match Open::start(live, &self.topology, self.limits, &self.held).await {
                Ok(open) => return Some(open),
                Err(DeclareError::Connection(error)) => {
                    pause = pause.min(PAUSE * 8);
                    error
                }
                Err(DeclareError::Forbidden(error)) => error,
                Err(DeclareError::Difference(error)) => error.to_string(),
                Err(DeclareError::Unsupported { feature, version }) => unsupported(feature, version).to_string(),
            };
            tracing::warn!(error, ?pause, "consuming cannot go on yet");
            self.vitals.error(format!("cannot consume: {error}"));
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

/// Who stopped a consumer.
#[derive(PartialEq, Eq)]
enum Stopped {
    ByUs,
    ByThem,
}
