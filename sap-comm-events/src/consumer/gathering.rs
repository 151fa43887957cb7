//! Batches that fill.

use sap_comm_core::Name;
use tokio::time::Instant;

use super::work::Work;
use crate::router::Batching;

/// One batch for each event type that is handled in batches, at most.
#[derive(Debug, Default)]
pub(super) struct Gathering(Vec<Filling>);

#[derive(Debug)]
struct Filling {
    event_type: Name,
    /// When it is handled, full or not.
    due: Instant,
    works: Vec<Work>,
}

impl Gathering {
    /// Adds an event to its batch; returns the batch once it is full.
    pub(super) fn add(&mut self, event_type: Name, batching: Batching, work: Work) -> Option<Vec<Work>> {
        let at = self.0.iter().position(|filling| filling.event_type == event_type).unwrap_or_else(|| {
            let works = Vec::with_capacity(batching.size.min(1_024));
            self.0.push(Filling { event_type, due: Instant::now() + batching.linger, works });
            self.0.len() - 1
        });
        let filling = &mut self.0[at];
        filling.works.push(work);
        (filling.works.len() >= batching.size).then(|| self.0.swap_remove(at).works)
    }

    /// Lets go of what went back with its channel, of `all` batches or only of those whose first did. Returns how many these were.
    pub(super) fn let_go(&mut self, all: bool) -> usize {
        let mut gone = 0;
        self.0.retain_mut(|filling| {
            if all || filling.works.first().is_some_and(Work::is_void) {
                let count = filling.works.len();
                filling.works.retain(|work| !work.is_void());
                gone += count - filling.works.len();
            }
            !filling.works.is_empty()
        });
        gone
    }

    /// When the next batch is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.iter().map(|filling| filling.due).min()
    }

    /// A batch whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<Work>> {
        let at = self.0.iter().position(|filling| filling.due <= now)?;
        Some(self.0.swap_remove(at).works)
    }

    /// Everything that is not handled.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Work> {
        self.0.drain(..).flat_map(|filling| filling.works)
    }
}
