//! The consumer of one subscription: takes deliveries, runs handlers, settles. The same over every broker.
//!
//! | module | what it does |
//! | --- | --- |
//! | `work` | a delivery on its way to a handler |
//! | `dispatch` | runs several handlers at once, by key and in batches; `lanes` and `gathering` hold what waits |
//! | `process`, `batch` | from deliveries to verdicts |
//! | `settle`, `copy`, `answer`, `report` | from verdicts to settled deliveries |

mod answer;
mod batch;
mod copy;
mod dispatch;
mod failure;
mod gathering;
mod lanes;
mod process;
mod report;
mod settle;
mod work;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

pub use failure::{ERROR_EVENTS, EventProcessingFailed, FailureCause};

use self::{dispatch::Dispatch, work::Work};
use crate::{
    Broker, EventRouter, OrderingKey, RetryOrder, SubscribeError,
    backend::{Delivery, Limits, Source},
    subscription::{Control, Reading},
    topology::{Topology, command_of},
};

/// What a subscription asked for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) exchange: String,
    pub(crate) group: String,
    pub(crate) limits: Limits,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) ordering: Option<(OrderingKey, RetryOrder)>,
    /// Whether the queue ends with this process, so that nothing can come back to it.
    pub(crate) ephemeral: bool,
    /// What settlements rely on.
    pub(crate) topology: Topology,
}

impl Settings {
    /// Whether a queue gets commands. That tells what comes out of it, whatever it says of itself.
    fn takes_commands(&self, queue: &str) -> bool {
        command_of(queue, &self.exchange).is_some()
    }
}

/// Everything that handling one delivery needs.
#[derive(Debug)]
struct Handling {
    broker: Broker,
    settings: Settings,
    router: EventRouter,
    /// Cancelled when no more deliveries are taken, until they are again.
    halt: Mutex<CancellationToken>,
}

/// The task of a subscription.
pub(crate) struct Worker {
    handling: Arc<Handling>,
    source: Box<dyn Source>,
}

/// Why no more deliveries are taken.
enum Ended {
    /// We were told to.
    Halted,
    /// The broker is closed.
    Closed,
}

/// The pause before a consumer that could not resume tries again; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Keeps what is consumed while something takes its time: an ephemeral queue would not outlive a lost connection for so long.
async fn keeping<T>(source: &mut dyn Source, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = source.keep() => match never {},
    }
}

impl Worker {
    pub(crate) fn new(broker: &Broker, settings: Settings, router: EventRouter, source: Box<dyn Source>) -> Self {
        let halt = Mutex::default();
        Self { handling: Arc::new(Handling { broker: broker.clone(), settings, router, halt }), source }
    }

    /// How far a stream is read.
    pub(crate) fn reading(&self) -> Option<Arc<Reading>> {
        self.handling.settings.topology.stream.clone()
    }

    /// Consumes until it is stopped, with pauses in between; finishes what is in hand before each.
    pub(crate) async fn run(self, control: &Control) {
        let Self { handling, mut source } = self;
        let mut kept = Vec::new();
        loop {
            let (ended, left) = handling.consume(&mut *source, kept, &control.begin()).await;
            kept = Vec::new();
            let ends = control.stop.is_cancelled() || matches!(ended, Ended::Closed);
            if ends || !handling.settings.ephemeral {
                source.flush(left).await;
                if ends {
                    return;
                }
                if !handling.rest(control).await {
                    return;
                }
                let Some(again) = handling.reopen(control).await else { return };
                source = again;
            } else {
                // The queue would not outlive its source, and what is given back would come behind what was delivered.
                kept = left;
                if !keeping(&mut *source, handling.rest(control)).await {
                    source.flush(kept).await;
                    return;
                }
            }
            control.paused.send_replace(false);
        }
    }
}

impl Handling {
    /// Takes and handles deliveries until `halt`, `kept` ones first, and finishes those in hand; returns what was taken and not begun.
    async fn consume(
        self: &Arc<Self>,
        source: &mut dyn Source,
        kept: Vec<Delivery>,
        halt: &CancellationToken,
    ) -> (Ended, Vec<Delivery>) {
        *self.halt.lock() = halt.clone();
        // One that is taken over in order keeps its place until everything before it is settled.
        let keeps_place = self.settings.topology.single_active;
        let pauses_only = self.settings.ephemeral;
        if self.settings.concurrency == 1 && self.settings.ordering.is_none() && !self.router.has_batches() {
            debug_assert!(kept.is_empty(), "one at a time leaves nothing");
            let ended = self.one_at_a_time(source, halt).await;
            if !pauses_only {
                source.stop().await;
            }
            return (ended, Vec::new());
        }
        let mut dispatch = Dispatch::new(self, kept);
        let ended = dispatch.run(source, halt).await;
        if !keeps_place && !pauses_only {
            source.stop().await;
        }
        let left = match pauses_only {
            true => keeping(source, dispatch.finish()).await,
            false => dispatch.finish().await,
        };
        if keeps_place {
            source.stop().await;
        }
        (ended, left)
    }

    /// Handles in the order of the queue, without a task for each event.
    async fn one_at_a_time(&self, source: &mut dyn Source, halt: &CancellationToken) -> Ended {
        while !halt.is_cancelled() {
            let delivery = match source.ready() {
                Some(delivery) => delivery,
                None => match halt.run_until_cancelled(source.next()).await {
                    Some(Some(delivery)) => delivery,
                    Some(None) => return Ended::Closed,
                    None => break,
                },
            };
            let processing = self.process(Work::from(delivery));
            if self.settings.ephemeral {
                keeping(source, processing).await;
            } else {
                processing.await;
            }
            // Neither a handler that has nothing to wait for nor a source that is never empty yields.
            consume_budget().await;
        }
        Ended::Halted
    }

    /// Waits for the end of a pause; `false` when the consumer is stopped instead.
    async fn rest(&self, control: &Control) -> bool {
        control.paused.send_replace(true);
        let mut wanted = control.wanted.subscribe();
        let resumed = control.stop.run_until_cancelled(wanted.wait_for(|wanted| !wanted)).await;
        matches!(resumed, Some(Ok(_)))
    }

    /// Consumes again after a pause; `None` when the consumer is stopped instead.
    async fn reopen(&self, control: &Control) -> Option<Box<dyn Source>> {
        let mut pause = PAUSE;
        loop {
            let consuming = self.broker.backend().consume(self.settings.topology.clone(), self.settings.limits);
            match control.stop.run_until_cancelled(consuming).await? {
                Ok(source) => return Some(source),
                Err(SubscribeError::Closed) => return None,
                Err(error) => tracing::warn!(%error, ?pause, "the consumer cannot resume yet"),
            }
            control.stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
