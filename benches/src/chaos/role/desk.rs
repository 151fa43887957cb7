//! How a process under load and the run speak to each other: through two small files, which survive either.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::BenchError;

/// How often the files are looked at and written.
const TICK: Duration = Duration::from_millis(20);

/// What a process has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::chaos) struct Progress {
    /// Events confirmed, written to the outbox, or given their effect; those of earlier processes included.
    pub(in crate::chaos) done: u64,
    /// Publishes that answered too late or never.
    pub(in crate::chaos) late: u64,
    /// Publishes that failed, with an error that says so.
    pub(in crate::chaos) failed: u64,
    /// Publishes refused because the queue of this process was full.
    pub(in crate::chaos) refused: u64,
    pub(in crate::chaos) ended: bool,
}

/// What a process is to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::chaos) struct Orders {
    /// How long a handler takes, milliseconds.
    pub(in crate::chaos) slow: u64,
    /// How many events to publish at once, all bursts so far taken together.
    pub(in crate::chaos) burst: u64,
    pub(in crate::chaos) stop: bool,
}

/// The files of one process.
pub(super) struct Desk {
    progress: PathBuf,
    pub(super) counts: Arc<Counts>,
    pub(super) orders: watch::Receiver<Orders>,
    clerk: JoinHandle<()>,
}

pub(super) struct Counts {
    pub(super) done: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Desk {
    /// Begins to read orders and to write progress, until the process ends.
    pub(super) fn open(directory: &Path, name: &str) -> Result<Self, BenchError> {
        let (progress, orders) = (Progress::file(directory, name), Orders::file(directory, name));
        let counts = Arc::new(Counts::of(Progress::of(directory, name)));
        let (sender, receiver) = watch::channel(Orders::read(&orders).unwrap_or_default());
        let (file, counted) = (progress.clone(), Arc::clone(&counts));
        let clerk = tokio::spawn(async move {
            let mut tick = interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = Progress::default();
            loop {
                tick.tick().await;
                if let Some(read) = Orders::read(&orders) {
                    sender.send_if_modified(|known| std::mem::replace(known, read) != read);
                }
                let now = counted.progress();
                if now != last && write(&file, &now).is_ok() {
                    last = now;
                }
            }
        });
        Ok(Self { progress, counts, orders: receiver, clerk })
    }

    /// Waits until the run says stop.
    pub(super) async fn stopped(&self) {
        // The sender lives as long as this process.
        let _ = self.orders.clone().wait_for(|orders| orders.stop).await;
    }

    /// Writes the last word, after which nobody writes another.
    pub(super) async fn end(self) -> Result<(), BenchError> {
        self.clerk.abort();
        let _ = self.clerk.await;
        let last = Progress { ended: true, ..self.counts.progress() };
        write(&self.progress, &last).map_err(BenchError::refused("write the progress"))
    }
}

impl Counts {
    /// Goes on where an earlier process of this name was killed.
    fn of(Progress { done, late, failed, refused, .. }: Progress) -> Self {
        Self { done: done.into(), late: late.into(), failed: failed.into(), refused: refused.into() }
    }

    fn progress(&self) -> Progress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            done: read(&self.done),
            late: read(&self.late),
            failed: read(&self.failed),
            refused: read(&self.refused),
            ended: false,
        }
    }

    pub(super) fn one(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Progress {
    fn file(directory: &Path, name: &str) -> PathBuf {
        directory.join(format!("{name}.progress"))
    }

    /// What the process named so last wrote.
    pub(in crate::chaos) fn of(directory: &Path, name: &str) -> Self {
        read(&Self::file(directory, name)).unwrap_or_default()
    }
}

impl Orders {
    fn file(directory: &Path, name: &str) -> PathBuf {
        directory.join(format!("{name}.orders"))
    }

    fn read(file: &Path) -> Option<Self> {
        read(file)
    }

    /// Tells the process named so.
    pub(in crate::chaos) fn give(&self, directory: &Path, name: &str) -> Result<(), BenchError> {
        write(&Self::file(directory, name), self).map_err(BenchError::refused("write an order"))
    }
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Readers see the old content or the new.
fn write<T: Serialize>(file: &Path, value: &T) -> io::Result<()> {
    let beside = file.with_extension(format!("new{}", std::process::id()));
    fs::write(&beside, serde_json::to_vec(value)?)?;
    fs::rename(beside, file)
}
