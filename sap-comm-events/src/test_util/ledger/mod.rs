//! A checker of loss, duplicates and order: who sent what, what was confirmed, what came.

mod key;
mod report;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::key::Key;
pub use self::report::{Finding, FindingKind, Report};

/// Keeps account of numbered events by key, and finds those that were lost, came twice or came out of order.
///
/// Numbers count from 0 within each key, such as a user or a publisher. A publisher calls [`Ledger::sent`] before it publishes,
/// and [`Ledger::confirmed`] or [`Ledger::refused`] by the outcome; without either the outcome is unknown, as that of a publisher that
/// was killed. A consumer calls [`Ledger::received`]. The calls for one number may come in any order, since those of other
/// processes do. One ledger is for one consumer group; keep a second one for what happens behind an inbox.
///
/// Memory is bounded by [`Ledger::capacity`]: an event that was confirmed and received takes none. The method follows Jepsen's
/// total-queue checker. Cheap to clone.
///
/// ```
/// use sap_comm_events::test_util::Ledger;
///
/// let ledger = Ledger::new().seed(42);
/// for number in 0..3 {
///     ledger.sent("usr_1", number)?;
///     ledger.confirmed("usr_1", number);
/// }
/// for number in [0, 2, 2] {
///     ledger.received("usr_1", number);
/// }
/// let report = ledger.report();
/// assert_eq!((report.lost, report.duplicated, report.reordered), (1, 1, 0));
/// assert!(report.to_string().contains("lost usr_1 1"), "{report}");
/// # Ok::<(), sap_comm_events::test_util::LedgerFull>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Ledger {
    shared: Arc<Shared>,
    seed: Option<u64>,
    capacity: usize,
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    /// Rings when nothing confirmed is missing.
    complete: Notify,
}

#[derive(Default)]
struct Book {
    keys: HashMap<Box<str>, Key>,
    /// Keys, and entries of theirs that are not done with.
    held: usize,
    /// Confirmed, and not received so far.
    missing: usize,
    report: Report,
}

/// The ledger holds as much as it may: too many keys, or too many events that are neither confirmed and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger holds {capacity} keys and open events already")]
pub struct LedgerFull {
    /// The bound.
    pub capacity: usize,
}

/// Enough for a load of ten minutes whose consumer stands still, in about 100 MiB.
const CAPACITY: usize = 1_000_000;

impl Ledger {
    /// An empty ledger for 1,000,000 keys and open events.
    pub fn new() -> Self {
        Self { shared: Arc::default(), seed: None, capacity: CAPACITY }
    }

    /// The seed of the run, for the report.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many keys and open events are held at most. At the bound [`Ledger::sent`] refuses, and an event that comes before its
    /// `sent` counts as unexpected.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// `number` of `key` is about to be published. Its first call counts; numbers skipped count as never sent.
    ///
    /// # Errors
    /// When the ledger is full; the event should not be published then.
    pub fn sent(&self, key: &str, number: u64) -> Result<(), LedgerFull> {
        self.write(|book, capacity| book.sent(key, number, capacity))
    }

    /// The broker has `number` of `key`. What was refused or unknown before may be confirmed later, when it is sent again.
    pub fn confirmed(&self, key: &str, number: u64) {
        self.write(|book, _| book.settled(key, number, |key, number, report| key.confirmed(number, report)));
    }

    /// The broker surely has not got `number` of `key`: a publish failed as unroutable, nacked, unavailable or refused.
    pub fn refused(&self, key: &str, number: u64) {
        self.write(|book, _| book.settled(key, number, |key, number, report| key.refused(number, report)));
    }

    /// A consumer handled `number` of `key`.
    pub fn received(&self, key: &str, number: u64) {
        self.write(|book, capacity| book.received(key, number, capacity));
    }

    /// What the ledger has found so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let book = self.shared.book.lock();
        let mut report = Report { seed: self.seed, keys: book.keys.len() as u64, ..book.report.clone() };
        let mut keys: Vec<_> = book.keys.iter().collect();
        keys.sort_unstable_by_key(|(name, _)| &***name);
        for (name, key) in keys {
            key.judge(name, &mut report);
        }
        report
    }

    /// Waits until everything confirmed has been received, `limit` at most, and says what was found until then. Cancel safe.
    pub async fn drained(&self, limit: Duration) -> Report {
        let complete = async {
            loop {
                let mut rung = std::pin::pin!(self.shared.complete.notified());
                rung.as_mut().enable();
                if self.shared.book.lock().missing == 0 {
                    return;
                }
                rung.await;
            }
        };
        // What is missing after the limit is in the report.
        let _ = tokio::time::timeout(limit, complete).await;
        self.report()
    }

    fn write<R>(&self, change: impl FnOnce(&mut Book, usize) -> R) -> R {
        let mut book = self.shared.book.lock();
        let before = book.missing;
        let changed = change(&mut book, self.capacity);
        let complete = before > 0 && book.missing == 0;
        drop(book);
        if complete {
            self.shared.complete.notify_waiters();
        }
        changed
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.shared.book.lock();
        f.debug_struct("Ledger").field("seed", &self.seed).field("missing", &book.missing).finish_non_exhaustive()
    }
}

impl Book {
    fn sent(&mut self, name: &str, number: u64, capacity: usize) -> Result<(), LedgerFull> {
        let skipped = self.keys.get(name).map_or(number, |key| number.saturating_sub(key.next()));
        let room = u64::try_from(capacity.saturating_sub(self.held)).unwrap_or(u64::MAX);
        // The key, the number itself, and those skipped.
        if skipped.saturating_add(2) > room {
            return Err(LedgerFull { capacity });
        }
        self.change(name, |key, report| key.sent(number, report));
        Ok(())
    }

    fn settled(&mut self, name: &str, number: u64, change: impl FnOnce(&mut Key, u64, &mut Report)) {
        if self.keys.contains_key(name) {
            self.change(name, |key, report| change(key, number, report));
        }
    }

    fn received(&mut self, name: &str, number: u64, capacity: usize) {
        self.report.received += 1;
        let has_room = self.held + 2 <= capacity;
        if has_room || self.keys.get(name).is_some_and(|key| number < key.next()) {
            self.change(name, |key, report| key.received(name, number, report));
        } else {
            self.report.find(FindingKind::Unexpected, name, number);
        }
    }

    /// Changes a key, and counts what it holds before and after.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Key, &mut Report)) {
        let Self { keys, held, missing, report } = self;
        let key = match keys.get_mut(name) {
            Some(key) => {
                *held -= key.held();
                *missing -= key.missing();
                key
            }
            None => keys.entry(name.into()).or_default(),
        };
        change(key, report);
        *held += key.held();
        *missing += key.missing();
    }
}
