//! The consumer of one subscription: takes deliveries, runs handlers, settles. The same over every broker.

mod failure;
mod process;
mod report;
mod settle;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use failure::{ERROR_EVENTS, EventProcessingFailed, FailureCause};

use crate::{Broker, EventRouter, backend::Source, topology::Topology};

/// What a subscription asked for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) exchange: String,
    pub(crate) group: String,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    /// Whether the queue ends with this process, so that nothing can come back to it.
    pub(crate) ephemeral: bool,
    /// What settlements rely on.
    pub(crate) topology: Topology,
}

/// Everything that handling one delivery needs.
#[derive(Debug)]
struct Handling {
    broker: Broker,
    settings: Settings,
    router: EventRouter,
}

/// The task of a subscription.
pub(crate) struct Worker {
    handling: Arc<Handling>,
    source: Box<dyn Source>,
}

impl Worker {
    pub(crate) fn new(broker: &Broker, settings: Settings, router: EventRouter, source: Box<dyn Source>) -> Self {
        Self { handling: Arc::new(Handling { broker: broker.clone(), settings, router }), source }
    }

    /// Consumes until `stop`; then finishes what is in hand.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.handling.settings.concurrency == 1 {
            self.one_at_a_time(&stop).await;
        } else {
            self.concurrently(&stop).await;
        }
        self.source.flush().await;
    }

    /// Handles in the order of the queue, without a task for each event.
    async fn one_at_a_time(&mut self, stop: &CancellationToken) {
        while let Some(Some(delivery)) = stop.run_until_cancelled(self.source.next()).await {
            self.handling.process(delivery).await;
        }
        self.source.stop().await;
    }

    async fn concurrently(&mut self, stop: &CancellationToken) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = running.join_next() => log_panic(ended),
                delivery = self.source.next(), if running.len() < self.handling.settings.concurrency => match delivery {
                    Some(delivery) => {
                        let handling = Arc::clone(&self.handling);
                        running.spawn(async move { handling.process(delivery).await });
                    }
                    None => break,
                },
            }
        }
        self.source.stop().await;
        while let Some(ended) = running.join_next().await {
            log_panic(ended);
        }
    }
}

/// A handler's panic is caught closer to it; this one would be our own.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a consumer task failed; its event goes back to the queue");
    }
}
