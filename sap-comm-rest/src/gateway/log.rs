//! The request log, written beside the requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sap_comm_core::{config::ConfigError, telemetry};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};

use super::record::Entry;
use crate::options::check;

/// The request log: one line for each request that is logged, as an event of `tracing`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RequestLog {
    /// The share of requests that leave a line, 0 to 1, of those that were asked wrongly or too often (4xx) too. Nothing that a client
    /// sends decides which. Default 1. Requests that fail (5xx, also by a breaker, and those given up by their client) always do.
    pub sample: f64,
    /// Lines that may wait to be written; further ones are dropped and counted. Default 8,192.
    pub max_waiting: usize,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self { sample: 1.0, max_waiting: 8_192 }
    }
}

impl RequestLog {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check((0.0..=1.0).contains(&self.sample), "log.sample", self.sample, "must lie within 0..=1")?;
        let within = (1..=1 << 20).contains(&self.max_waiting);
        check(within, "log.max_waiting", self.max_waiting, "must lie within 1..=1048576")
    }
}

/// Takes lines from requests, and has them written by a task of its own, which ends after the last.
#[derive(Debug)]
pub(super) struct Log {
    orders: mpsc::Sender<Order>,
    /// Rings when the next lines are to be written without delay.
    hurry: Arc<Notify>,
    dropped: Arc<AtomicU64>,
    /// The bits of a share.
    sample: AtomicU64,
    /// How many requests were asked about.
    asked: AtomicU64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are lines, which need no memory of their own in the queue")]
enum Order {
    Line(Entry),
    /// Answered once everything before is written.
    Flush(oneshot::Sender<()>),
}

/// Lines written between two looks at what else there is to do.
const BATCH: usize = 64;
/// How long lines gather before they are written, so that not every request wakes the task.
const GATHER: Duration = Duration::from_millis(2);

impl Log {
    /// # Panics
    /// Outside a tokio runtime, whose task writes.
    pub(super) fn new(gateway: Arc<str>, config: RequestLog) -> Self {
        let (orders, waiting) = mpsc::channel(config.max_waiting);
        let (hurry, dropped) = (Arc::default(), Arc::default());
        tokio::spawn(write(gateway, waiting, Arc::clone(&hurry), Arc::clone(&dropped)));
        Self { orders, hurry, dropped, sample: AtomicU64::new(config.sample.to_bits()), asked: AtomicU64::new(0) }
    }

    /// Whether a request that did not fail leaves a line: the share that was asked for, spread evenly.
    pub(super) fn samples(&self) -> bool {
        // What 1 is divided in by the golden ratio, over and over, lies evenly within it.
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let sample = f64::from_bits(self.sample.load(Ordering::Relaxed));
        sample >= 1.0
            || (self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN) as f64) < sample * 2.0_f64.powi(64)
    }

    /// Keeps another share from now on.
    pub(super) fn set_sample(&self, sample: f64) {
        self.sample.store(sample.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn put(&self, entry: Entry) {
        if self.orders.try_send(Order::Line(entry)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if self.orders.capacity() <= self.orders.max_capacity() / 2 {
            self.hurry.notify_one();
        }
    }

    /// Returns once every line so far is written.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            self.hurry.notify_one();
            // An error means that the runtime ends, and nobody writes any more.
            let _ = written.await;
        }
    }

    /// How many lines could not wait.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn write(gateway: Arc<str>, mut waiting: mpsc::Receiver<Order>, hurry: Arc<Notify>, dropped: Arc<AtomicU64>) {
    let mut reported = 0;
    let mut orders = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut orders, BATCH).await > 0 {
        let are_all = orders.len() < BATCH;
        let mut flushed = Vec::new();
        let mut orders = orders.drain(..);
        telemetry::log_together(|| {
            for order in &mut orders {
                match order {
                    Order::Line(entry) => entry.write(&gateway),
                    Order::Flush(done) => flushed.push(done),
                }
            }
        });
        for done in flushed {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
        let dropped = dropped.load(Ordering::Relaxed);
        if dropped > reported {
            tracing::warn!(lines = dropped - reported, "the request log could not keep up: lines were dropped");
            reported = dropped;
        }
        if are_all {
            tokio::select! {
                () = sleep(GATHER) => {}
                () = hurry.notified() => {}
            }
        } else {
            tokio::task::yield_now().await;
        }
    }
}
