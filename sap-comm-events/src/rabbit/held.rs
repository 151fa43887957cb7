//! Which messages this process holds, so that its own redeliveries are told from those after another's death.

use std::collections::{HashSet, VecDeque};

use sap_comm_core::Name;

use crate::backend::Redelivered;

/// The ids in hand, those of the channel before included, at most two prefetches of them, and those given back of late.
#[derive(Debug, Default)]
pub(super) struct Held {
    current: HashSet<Name>,
    previous: HashSet<Name>,
    /// Given back, oldest first; each may come again, here or elsewhere.
    returned: VecDeque<Name>,
    /// Redeliveries in a row that nobody here knows.
    strangers: usize,
}

/// How many ids given back are remembered: a few prefetches of them.
const MAX_RETURNED: usize = 1_024;

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
        let own = !id.is_empty()
            && (self.current.contains(id) || self.previous.remove(id) || (redelivered && self.take_returned(id)));
        if !id.is_empty() {
            self.current.insert(id.into());
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

    /// The message goes back to its queue. Those of a channel that is gone went back with it.
    pub(super) fn give_back(&mut self, id: &str) {
        if let Some(id) = self.current.take(id) {
            if self.returned.len() == MAX_RETURNED {
                self.returned.pop_front();
            }
            self.returned.push_back(id);
        }
    }

    fn take_returned(&mut self, id: &str) -> bool {
        let at = self.returned.iter().position(|returned| returned == id);
        at.is_some_and(|at| self.returned.remove(at).is_some())
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
    fn what_was_given_back_is_known_when_it_comes_again_and_not_kept_for_ever() {
        let mut held = Held::default();
        assert_eq!(held.take("a", false, None, 1), Redelivered::No);
        held.give_back("a");
        assert!(held.current.is_empty());
        assert_eq!(held.take("a", true, None, 1), Redelivered::No);
        held.give_back("a");
        for number in 0..MAX_RETURNED {
            let id = number.to_string();
            held.take(&id, false, None, 1);
            held.give_back(&id);
        }
        assert_eq!((held.current.len(), held.returned.len()), (0, MAX_RETURNED));
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
