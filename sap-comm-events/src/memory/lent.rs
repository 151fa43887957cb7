//! What is in hand, on record, so that it can be taken back: a lost connection does.

use std::{collections::BTreeMap, sync::Arc};

use super::state::{State, Stored};

/// The messages in hand, by the number of their loan.
#[derive(Default)]
pub(super) struct Lent {
    last: u64,
    held: BTreeMap<u64, (Arc<str>, Stored)>,
}

impl Lent {
    /// Records a message that is taken into hand.
    pub(super) fn lend(&mut self, queue: &str, mut stored: Stored) -> Stored {
        self.last += 1;
        stored.loan = Some(self.last);
        self.held.insert(self.last, (queue.into(), stored.clone()));
        stored
    }
}

impl State {
    /// Ends the loan of a message in hand; `false` if it was taken back before.
    pub(super) fn release(&mut self, stored: &Stored) -> bool {
        match (&mut self.lent, stored.loan) {
            (Some(lent), Some(loan)) => lent.held.remove(&loan).is_some(),
            _ => true,
        }
    }

    /// Whether a message in hand was not taken back.
    pub(super) fn has_lent(&self, stored: &Stored) -> bool {
        match (&self.lent, stored.loan) {
            (Some(lent), Some(loan)) => lent.held.contains_key(&loan),
            _ => true,
        }
    }

    /// Keeps a record from now on.
    #[cfg(feature = "test-util")]
    pub(super) fn lend_on_record(&mut self) {
        self.lent = Some(Lent::default());
    }

    /// Takes everything in hand back to where it was; whoever holds it cannot settle it any more.
    #[cfg(feature = "test-util")]
    pub(super) fn take_back_all(&mut self) {
        let held = self.lent.as_mut().map(|lent| std::mem::take(&mut lent.held)).unwrap_or_default();
        // The last first, so that each goes to the front.
        for (queue, mut stored) in held.into_values().rev() {
            stored.loan = None;
            self.give_back(&queue, stored);
        }
    }
}
