//! The request log, written beside the requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sap_comm_core::{config::ConfigError, telemetry};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
    time::sleep,
};

use super::{record::Entry, spread::PerThread};
use crate::options::check;

/// The request log: one line for each request that is logged, as an event of `tracing`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RequestLog {
    /// The share of requests that leave a line, 0 to 1, of those that were asked wrongly or too often (4xx) too. Nothing that a client
    /// sends decides which. Default 1. Requests that fail (5xx, also by a breaker, and those whose connection ended before the answer) always do.
    pub sample: f64,
    /// Lines that may wait to be written, of each worker (above 16 workers, some share); further ones are dropped and counted. Default
    /// 8,192.
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
    waiting: Arc<Waiting>,
    /// The bits of a share.
    sample: AtomicU64,
    /// How many requests were asked about.
    asked: AtomicU64,
}

/// What waits for the task.
#[derive(Debug)]
struct Waiting {
    lines: PerThread<Mutex<Vec<Entry>>>,
    /// How many may wait of one thread.
    max: usize,
    /// Answered once everything before is written; `None` where nobody writes any more.
    flushes: Mutex<Option<Vec<oneshot::Sender<()>>>>,
    /// Rings when there is something to do.
    bell: Notify,
    /// Rings when that is to be done without delay.
    hurry: Notify,
    dropped: AtomicU64,
    ends: AtomicBool,
}

/// Lines written between two looks at what else there is to do.
const BATCH: usize = 64;
/// For how many lines a thread keeps memory.
const MOST_KEPT: usize = 1_024;
/// How long lines gather before they are written, so that not every request wakes the task.
const GATHER: Duration = Duration::from_millis(2);

impl Log {
    /// # Panics
    /// Outside a tokio runtime, whose task writes.
    pub(super) fn new(gateway: Arc<str>, config: RequestLog) -> Self {
        let waiting = Arc::new(Waiting {
            lines: PerThread::new(Mutex::default),
            max: config.max_waiting,
            flushes: Mutex::new(Some(Vec::new())),
            bell: Notify::new(),
            hurry: Notify::new(),
            dropped: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        });
        tokio::spawn(write(gateway, Writer(Arc::clone(&waiting))));
        Self { waiting, sample: AtomicU64::new(config.sample.to_bits()), asked: AtomicU64::new(0) }
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
        let Waiting { lines, max, bell, hurry, dropped, .. } = &*self.waiting;
        let mut lines = lines.own().lock();
        if lines.len() >= *max {
            dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.push(entry);
        let count = lines.len();
        drop(lines);
        if count == 1 {
            bell.notify_one();
        }
        if count == max.div_ceil(2) {
            hurry.notify_one();
        }
    }

    /// Returns once every line so far is written.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let Some(()) = self.waiting.flushes.lock().as_mut().map(|flushes| flushes.push(done)) else { return };
        self.waiting.ring();
        // An error means that nobody writes any more.
        let _ = written.await;
    }

    /// How many lines could not wait.
    pub(super) fn dropped(&self) -> u64 {
        self.waiting.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.waiting.ends.store(true, Ordering::Release);
        self.waiting.ring();
    }
}

impl Waiting {
    fn ring(&self) {
        self.bell.notify_one();
        self.hurry.notify_one();
    }
}

/// Who writes what waits. It may end early: with its runtime, or by a log that panics.
struct Writer(Arc<Waiting>);

impl Drop for Writer {
    fn drop(&mut self) {
        *self.0.flushes.lock() = None;
    }
}

async fn write(gateway: Arc<str>, writer: Writer) {
    let waiting = &writer.0;
    let (mut reported, mut lines) = (0, Vec::new());
    loop {
        waiting.bell.notified().await;
        tokio::select! {
            () = sleep(GATHER) => {}
            () = waiting.hurry.notified() => {}
        }
        let ends = waiting.ends.load(Ordering::Acquire);
        let flushes = waiting.flushes.lock().as_mut().map(std::mem::take);
        for of_thread in waiting.lines.iter() {
            std::mem::swap(&mut *of_thread.lock(), &mut lines);
            let mut rest = lines.drain(..);
            while rest.len() > 0 {
                telemetry::log_together(|| rest.by_ref().take(BATCH).for_each(|entry| entry.write(&gateway)));
                yield_now().await;
            }
            drop(rest);
            // Its memory is for the next lines, but not that of a flood.
            lines.shrink_to(MOST_KEPT);
        }
        let dropped = waiting.dropped.load(Ordering::Relaxed);
        if dropped > reported {
            tracing::warn!(lines = dropped - reported, "the request log could not keep up: lines were dropped");
            reported = dropped;
        }
        for done in flushes.into_iter().flatten() {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
        if ends {
            return;
        }
    }
}
