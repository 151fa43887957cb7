use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sap_comm_core::config::ConfigError;
use tokio::time::Instant;

use super::files::PemFile;

/// Files, and what is made of them.
pub(super) trait Source: Send + Sync + 'static {
    type Made: Send + Sync + 'static;

    fn read(&self) -> Result<Vec<PemFile>, ConfigError>;

    fn make(&self, files: &[PemFile]) -> Result<Self::Made, ConfigError>;
}

/// What was made of files, made again when they change.
#[derive(Debug)]
pub(super) struct Live<S: Source> {
    source: S,
    current: ArcSwap<S::Made>,
    last: Mutex<Look>,
    interval: Duration,
}

/// The last look at the files.
#[derive(Debug)]
struct Look {
    at: Instant,
    fingerprint: u64,
    refused: bool,
}

impl<S: Source> Live<S> {
    pub(super) fn new(source: S, interval: Duration) -> Result<Self, ConfigError> {
        let files = source.read()?;
        let current = ArcSwap::from_pointee(source.make(&files)?);
        let look = Look { at: Instant::now(), fingerprint: fingerprint(&files), refused: false };
        Ok(Self { source, current, last: Mutex::new(look), interval })
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// What serves a new connection. Looks at the files first, when that was not done for the interval.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<S::Made> {
        self.look().await;
        self.loaded()
    }

    /// What serves a new connection by the last look.
    pub(super) fn loaded(&self) -> Arc<S::Made> {
        self.current.load_full()
    }

    /// Looks at the files, when that was not done for the interval.
    pub(super) async fn look(self: &Arc<Self>) {
        if self.is_due() {
            let live = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || live.reload()).await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("certificates reloaded"),
                Ok(Err(error)) => tracing::warn!(%error, "new certificates refused; the old ones stay"),
                Err(error) => tracing::error!(%error, "certificates could not be looked at"),
            }
        }
    }

    /// Whether it is this caller's turn to look.
    fn is_due(&self) -> bool {
        let Some(mut last) = self.last.try_lock() else { return false };
        let due = last.at.elapsed() >= self.interval;
        if due {
            last.at = Instant::now();
        }
        due
    }

    /// Looks at the files now; says whether they had changed.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        let mut last = self.last.lock();
        last.at = Instant::now();
        let files = self.source.read()?;
        let fingerprint = fingerprint(&files);
        // What was refused is tried again: its time may have come.
        if fingerprint == last.fingerprint && !last.refused {
            return Ok(false);
        }
        last.fingerprint = fingerprint;
        last.refused = true;
        self.current.store(Arc::new(self.source.make(&files)?));
        last.refused = false;
        Ok(true)
    }
}

/// Tells contents apart, and keeps no key in memory for it.
fn fingerprint(files: &[PemFile]) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}
