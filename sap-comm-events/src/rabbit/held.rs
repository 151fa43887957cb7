//! Which messages this process holds, so that its own redeliveries are told from those after another's death.

use std::collections::{HashMap, HashSet, VecDeque};

use sap_comm_core::Name;

use crate::backend::Redelivered;

/// The ids in hand, those of the channel before included, at most two prefetches of them, and those given back of late.
#[derive(Debug, Default)]
pub(crate) struct Held {
    current: HashSet<Name>,
    previous: HashSet<Name>,
    /// Given back, oldest first; each may come again, here or elsewhere.
    returned: VecDeque<Name>,
    /// How often one in hand was handled to its end after its channel had gone.
    outlived: HashMap<Name, u32>,
    /// Redeliveries in a row that nobody here knows.
    strangers: usize,
}

/// How many ids given back are remembered: a few prefetches of them.
const MAX_RETURNED: usize = 1_024;

impl Held {
    /// A new channel: what was in hand comes again, here or elsewhere.
    pub(super) fn renew(&mut self) {
        self.previous = std::mem::take(&mut self.current);
        self.outlived.retain(|id, _| self.previous.contains(id));
        self.strangers = 0;
    }

    /// Takes a delivery into hand, which may be a redelivery that the broker counted, and says what is known of earlier ones.
    ///
    /// What this process holds did not kill its consumer; of that, only what outlived its channel is counted. Of strangers, only
    /// so many in a row are `suspects`.
    pub(super) fn take(&mut self, id: &str, redelivered: bool, count: Option<u32>, suspects: usize) -> Redelivered {
        let redelivered = count.map_or(redelivered, |count| count > 0);
        let own = !id.is_empty()
            && (self.current.contains(id) || self.previous.remove(id) || (redelivered && self.take_returned(id)));
        if !id.is_empty() {
            self.current.insert(id.into());
        }
        if own {
            return self.outlived.get(id).map_or(Redelivered::No, |times| Redelivered::Times(*times));
        }
        if !redelivered {
            self.strangers = 0;
            return Redelivered::No;
        }
        self.strangers += 1;
        if self.strangers > suspects {
            return Redelivered::Behind;
        }
        count.map_or(Redelivered::Uncounted, Redelivered::Times)
    }

    /// The message was handled, and its channel is gone: it comes again, and might do so for ever.
    pub(super) fn outlive(&mut self, id: &str) {
        let held = self.current.get(id).or_else(|| self.previous.get(id));
        if let Some(id) = held.cloned() {
            *self.outlived.entry(id).or_default() += 1;
        }
    }

    /// The message is settled.
    pub(super) fn release(&mut self, id: &str) {
        self.current.remove(id);
        self.outlived.remove(id);
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
        assert_eq!(taken, [Redelivered::Uncounted, Redelivered::Uncounted, Redelivered::Behind]);
    }

    #[test]
    fn a_broker_that_counts_is_believed_of_what_may_have_been_in_a_handler() {
        let mut held = Held::default();
        assert_eq!(held.take("a", true, Some(3), 1), Redelivered::Times(3));
        assert_eq!(held.take("b", true, Some(3), 1), Redelivered::Behind);
        assert_eq!(held.take("c", false, Some(0), 1), Redelivered::No);
        assert_eq!(held.take("d", true, Some(3), 1), Redelivered::Times(3));
        held.renew();
        assert_eq!(held.take("a", true, Some(4), 1), Redelivered::No, "it was here, and nobody died");
    }

    #[test]
    fn what_outlives_its_channel_again_and_again_is_counted() {
        let mut held = Held::default();
        assert_eq!(held.take("a", false, None, 1), Redelivered::No);
        for times in 1..4 {
            held.renew();
            if times == 2 {
                held.outlive("a");
            }
            let _first_or_last = held.take("a", true, None, 1);
            if times != 2 {
                held.outlive("a");
            }
            assert_eq!(held.outlived.get("a"), Some(&times));
        }
        held.renew();
        assert_eq!(held.take("a", true, None, 1), Redelivered::Times(3));
        held.release("a");
        held.outlive("a");
        assert!(held.outlived.is_empty(), "another delivery of it was settled");
    }
}
