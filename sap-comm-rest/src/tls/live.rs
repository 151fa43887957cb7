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
    /// Of what was made last, or refused.
    fingerprint: u64,
    refused: bool,
    /// Of what was there.
    seen: u64,
}

/// How long files rest at least before they are taken for whole.
const REST: Duration = Duration::from_secs(1);

impl<S: Source> Live<S> {
    pub(super) fn new(source: S, interval: Duration) -> Result<Self, ConfigError> {
        let files = source.read()?;
        let current = ArcSwap::from_pointee(source.make(&files)?);
        let fingerprint = fingerprint(&files);
        let look = Look { at: Instant::now(), fingerprint, refused: false, seen: fingerprint };
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
            let looked = tokio::task::spawn_blocking(move || live.take(true)).await;
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
        let rests = last.seen != last.fingerprint;
        let due = last.at.elapsed() >= if rests { self.interval.min(REST) } else { self.interval };
        if due {
            last.at = Instant::now();
        }
        due
    }

    /// Looks at the files now; says whether they had changed.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        self.take(false)
    }

    /// Takes what has changed; `rested` only what has not been written to for a while, or what the look before has seen already,
    /// since a file that is being written may hold a chain or authorities that are too few.
    fn take(&self, rested: bool) -> Result<bool, ConfigError> {
        let mut last = self.last.lock();
        last.at = Instant::now();
        // What cannot be read is looked at again after the whole interval.
        let seen = last.seen;
        last.seen = last.fingerprint;
        let files = self.source.read()?;
        let fingerprint = fingerprint(&files);
        last.seen = fingerprint;
        let rests = seen == fingerprint || files.iter().all(|file| file.rests_for(REST));
        // What was refused is tried again: its time may have come.
        if fingerprint == last.fingerprint && !last.refused {
            return Ok(false);
        }
        if rested && !rests {
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Makes whatever is in a file.
    struct Content(PathBuf);

    impl Source for Content {
        type Made = u64;

        fn read(&self) -> Result<Vec<PemFile>, ConfigError> {
            Ok(vec![PemFile::read("cert", &self.0)?])
        }

        fn make(&self, files: &[PemFile]) -> Result<u64, ConfigError> {
            Ok(fingerprint(files))
        }
    }

    const INTERVAL: Duration = Duration::from_secs(30);

    /// Written so long ago, or ahead of now, which is no time to rest.
    fn write(path: &Path, text: &str, age: Option<Duration>) {
        std::fs::write(path, text).unwrap();
        let file = std::fs::File::options().append(true).open(path).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(age.map_or(now + INTERVAL, |age| now - age)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_rests_already_is_taken_at_the_first_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        write(&path, "old", Some(INTERVAL));
        let live = Arc::new(Live::new(Content(path.clone()), INTERVAL).unwrap());
        write(&path, "new", Some(2 * REST));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(*live.current().await, fingerprint(&live.source.read().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_read_is_looked_at_once_in_the_interval() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        write(&path, "old", None);
        let live = Arc::new(Live::new(Content(path.clone()), INTERVAL).unwrap());
        write(&path, "new", None);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(live.take(true), Ok(false), "it has only just changed");
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(REST).await;
        assert!(live.is_due() && live.take(true).is_err());
        tokio::time::advance(REST).await;
        assert!(!live.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_taken_once_it_rests() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        let write = |text: &str| write(&path, text, None);
        write("old");
        let live = Arc::new(Live::new(Content(path.clone()), INTERVAL).unwrap());
        let old = live.loaded();
        write("leaf");
        tokio::time::advance(INTERVAL).await;
        assert_eq!(live.current().await, old, "it has only just changed");
        write("leaf, intermediate");
        tokio::time::advance(REST).await;
        assert_eq!(live.current().await, old, "it changes still");
        tokio::time::advance(REST).await;
        let whole = fingerprint(&live.source.read().unwrap());
        assert_eq!(*live.current().await, whole);
        write("leaf");
        assert_eq!(live.reload(), Ok(true), "whoever asks for it takes what is there");
    }
}
