//! Which messages this process holds, so that its own redeliveries are told from those after another's death.

use std::collections::HashSet;

use crate::backend::Redelivered;

/// The ids in hand, those of the channel before included: at most two prefetches of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    current: HashSet<String>,
    previous: HashSet<String>,
    /// Redeliveries in a row that nobody here knows.
    strangers: usize,
}

impl Held {
    /// A new channel: what was in hand comes again, here or elsewhere.
    pub(super) fn renew(&mut self) {
        self.previous = std::mem::take(&mut self.current);
        self.strangers = 0;
    }

    /// Takes a delivery into hand and says what is known of earlier ones.
    ///
    /// A consumer that died held as many messages in its handlers as it ran at once, and they come first: only those can
    /// have killed it.
    pub(super) fn take(&mut self, id: &str, redelivered: bool, count: Option<u32>, concurrency: usize) -> Redelivered {
        let own = !id.is_empty() && (self.current.contains(id) || self.previous.remove(id));
        if !id.is_empty() {
            self.current.insert(id.to_owned());
        }
        match count {
            Some(count) => Redelivered::Times(count),
            None if !redelivered => {
                self.strangers = 0;
                Redelivered::No
            }
            None if own => Redelivered::No,
            None => {
                self.strangers += 1;
                if self.strangers <= concurrency { Redelivered::Uncounted } else { Redelivered::No }
            }
        }
    }

    /// The message is settled.
    pub(super) fn release(&mut self, id: &str) {
        self.current.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_held_is_not_counted() {
        let mut held = Held::default();
        assert_eq!(held.take("a", false, None, 1), Redelivered::No);
        held.renew();
        assert_eq!(held.take("a", true, None, 1), Redelivered::No);
        held.release("a");
        held.renew();
        assert_eq!(held.take("a", true, None, 1), Redelivered::Uncounted);
    }

    #[test]
    fn only_what_may_have_been_in_a_handler_is_counted() {
        let mut held = Held::default();
        let taken: Vec<_> = ["a", "b", "c"].map(|id| held.take(id, true, None, 2)).into();
        assert_eq!(taken, [Redelivered::Uncounted, Redelivered::Uncounted, Redelivered::No]);
    }

    #[test]
    fn a_broker_that_counts_is_believed() {
        assert_eq!(Held::default().take("a", true, Some(3), 1), Redelivered::Times(3));
    }
}
