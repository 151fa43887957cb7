//! Which messages this process holds, so that its own redeliveries are told from those after another's death.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use sap_comm_core::Name;

use crate::{amqp::Content, backend::Redelivered, message::Message};

/// What a name begins with that is made of what a message says; no id of anybody's does.
const MADE: char = '\0';
/// How much of either end of a body a message is known by.
const END: usize = 4 * 1024;

/// What a delivery is known by when it comes again: its id, or what it says where it has none. Two that say the same are one thing twice.
pub(super) fn known_by(message: &Message, content: &Content) -> Name {
    if !message.id.is_empty() {
        return message.id.clone();
    }
    let (mut hasher, body) = (DefaultHasher::new(), content.body());
    let (first, last) = (&body[..body.len().min(END)], &body[body.len().saturating_sub(END)..]);
    (content.routing_key(), body.len(), first, last).hash(&mut hasher);
    format!("{MADE}{:x}", hasher.finish()).into()
}

/// The id in that, if there is one.
pub(super) fn id_in(known_by: &str) -> Option<&str> {
    (!known_by.starts_with(MADE)).then_some(known_by)
}

/// The ids in hand, those of channels before included, at most two prefetches of them, and those given back of late.
#[derive(Debug, Default)]
pub(crate) struct Held {
    current: Counted,
    previous: Counted,
    /// Given back, oldest first; each may come again, here or elsewhere.
    returned: VecDeque<Name>,
    /// How often one in hand was handled to its end after its channel had gone.
    outlived: HashMap<Name, u32>,
    /// Of each queue, the redeliveries in a row that nobody here knows.
    strangers: Vec<usize>,
}

/// How often something is held.
#[derive(Debug, Default)]
struct Counted(HashMap<Name, u32>);

impl Counted {
    /// One less; its name if it was held.
    fn remove(&mut self, id: &str) -> Option<Name> {
        if self.0.is_empty() {
            return None;
        }
        let (name, times) = self.0.remove_entry(id)?;
        if times > 1 {
            self.0.insert(name.clone(), times - 1);
        }
        Some(name)
    }
}

/// What the broker says of a delivery, and what may be made of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arrival {
    /// The queue, by its number.
    pub(super) queue: usize,
    pub(super) redelivered: bool,
    /// How often it was delivered before, if the broker counts.
    pub(super) count: Option<u32>,
    /// How many strangers in a row may have killed a consumer.
    pub(super) suspects: usize,
    /// The count of those behind them is taken for this at most.
    pub(super) most: u32,
}

/// How many ids given back are remembered: a few prefetches of them.
const MAX_RETURNED: usize = 1_024;

impl Held {
    /// A new channel: what was in hand comes again, here or elsewhere. Of channels before the last, which may have been gone before all
    /// of that came again, as much is remembered as fits beside it into `most`, which is what may be in hand.
    pub(super) fn renew(&mut self, most: usize) {
        let earlier = std::mem::replace(&mut self.previous, std::mem::take(&mut self.current));
        let room = most.saturating_sub(self.previous.0.len());
        for (id, times) in earlier.0.into_iter().take(room) {
            *self.previous.0.entry(id).or_default() += times;
        }
        self.outlived.retain(|id, _| self.previous.0.contains_key(id));
        self.strangers.clear();
    }

    /// Takes a delivery into hand, and says what is known of earlier ones.
    ///
    /// What this process holds did not kill its consumer; of that, only what outlived its channel is counted.
    pub(super) fn take(&mut self, id: &str, arrival: Arrival) -> Redelivered {
        let Arrival { queue, redelivered, count, suspects, most } = arrival;
        let redelivered = count.map_or(redelivered, |count| count > 0);
        let own = self.previous.remove(id).is_some()
            || (redelivered && self.take_returned(id))
            || (id_in(id).is_some() && self.current.0.contains_key(id));
        *self.current.0.entry(id.into()).or_default() += 1;
        if own {
            return self.outlived.get(id).map_or(Redelivered::No, |times| Redelivered::Times(*times));
        }
        if self.strangers.len() <= queue {
            self.strangers.resize(queue + 1, 0);
        }
        let strangers = self.strangers.get_mut(queue);
        if !redelivered {
            strangers.into_iter().for_each(|strangers| *strangers = 0);
            return Redelivered::No;
        }
        let may_have_killed = strangers.is_some_and(|strangers| {
            *strangers = strangers.saturating_add(1);
            *strangers <= suspects
        });
        match (count, may_have_killed) {
            (Some(count), true) => Redelivered::Times(count),
            (Some(count), false) => Redelivered::Times(count.min(most)),
            (None, true) => Redelivered::Uncounted,
            (None, false) => Redelivered::Behind,
        }
    }

    /// The message was handled, and its channel is gone: it comes again, and might do so for ever.
    pub(super) fn outlive(&mut self, id: &str) {
        let held = self.current.0.get_key_value(id).or_else(|| self.previous.0.get_key_value(id));
        if let Some((id, _)) = held {
            *self.outlived.entry(id.clone()).or_default() += 1;
        }
    }

    /// The message is settled, over this channel or the one before.
    pub(super) fn release(&mut self, id: &str) {
        if self.current.remove(id).is_none() {
            self.previous.remove(id);
        }
        self.outlived.remove(id);
    }

    /// The message goes back to its queue. Those of a channel that is gone went back with it.
    pub(super) fn give_back(&mut self, id: &str) {
        if let Some(id) = self.current.remove(id) {
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
    fn what_has_no_id_is_known_by_what_it_says() {
        let known = |id: &str, key: &str, body: &[u8]| {
            let message = Message { id: id.into(), ..Message::default() };
            known_by(&message, &Content::of(key, b"\0\0", body))
        };
        assert_eq!(known("a", "k", b"1"), "a");
        assert_eq!(known("", "k", b"1"), known("", "k", b"1"));
        assert_ne!(known("", "k", b"1"), known("", "k", b"2"));
        assert_ne!(known("", "k", b"1"), known("", "l", b"1"));
        let long = [b'x'; 3 * END];
        let with = |at: usize| {
            let mut other = long;
            other[at] = b'y';
            known("", "k", &other)
        };
        for other in [with(0), with(long.len() - 1), known("", "k", &long[1..])] {
            assert_ne!(known("", "k", &long), other);
        }
        assert_eq!((id_in(&known("a", "k", b"1")), id_in(&known("", "k", b"1"))), (Some("a"), None));
    }

    #[test]
    fn what_says_the_same_and_has_no_id_may_each_have_killed() {
        let (mut held, made) = (Held::default(), format!("{MADE}1"));
        for _ in 0..2 {
            assert_eq!(held.take(&made, arrival(true, None, 4)), Redelivered::Uncounted);
        }
        held.give_back(&made);
        held.renew(4);
        for _ in 0..2 {
            assert_eq!(held.take(&made, arrival(true, None, 4)), Redelivered::No, "they were here");
        }
    }

    #[test]
    fn what_says_the_same_is_held_as_often_as_it_came() {
        let mut held = Held::default();
        for _ in 0..3 {
            assert_eq!(held.take("a", arrival(false, None, 1)), Redelivered::No);
        }
        held.release("a");
        held.give_back("a");
        held.renew(4);
        for _ in 0..2 {
            assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::No);
        }
        held.release("a");
        held.release("a");
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::Uncounted, "that was another's");
    }

    fn arrival(redelivered: bool, count: Option<u32>, suspects: usize) -> Arrival {
        Arrival { queue: 0, redelivered, count, suspects, most: 2 }
    }

    #[test]
    fn what_this_process_held_is_not_counted() {
        let mut held = Held::default();
        assert_eq!(held.take("a", arrival(false, None, 1)), Redelivered::No);
        held.renew(4);
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::No);
        held.release("a");
        held.renew(4);
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::Uncounted);
    }

    #[test]
    fn what_one_channel_held_is_known_however_soon_the_next_ones_end() {
        let mut held = Held::default();
        for id in ["a", "b", "c"] {
            assert_eq!(held.take(id, arrival(false, None, 1)), Redelivered::No);
        }
        held.outlive("c");
        held.renew(3);
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::No);
        held.renew(3);
        held.renew(3);
        let again = ["a", "b", "c"].map(|id| held.take(id, arrival(true, None, 1)));
        assert_eq!(again, [Redelivered::No, Redelivered::No, Redelivered::Times(1)]);
        assert!(held.previous.0.is_empty(), "each came once");
    }

    #[test]
    fn what_went_elsewhere_is_not_remembered_for_ever() {
        let mut held = Held::default();
        for number in 0..10 {
            for id in 0..3 {
                held.take(&format!("{number}-{id}"), arrival(false, None, 1));
            }
            held.renew(4);
            assert!(held.previous.0.len() <= 4);
        }
        for id in ["9-0", "9-1", "9-2"] {
            assert_eq!(held.take(id, arrival(true, None, 1)), Redelivered::No, "what was held last is known");
        }
    }

    #[test]
    fn what_was_given_back_is_known_when_it_comes_again_and_not_kept_for_ever() {
        let mut held = Held::default();
        assert_eq!(held.take("a", arrival(false, None, 1)), Redelivered::No);
        held.give_back("a");
        assert!(held.current.0.is_empty());
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::No);
        held.give_back("a");
        for number in 0..MAX_RETURNED {
            let id = number.to_string();
            held.take(&id, arrival(false, None, 1));
            held.give_back(&id);
        }
        assert_eq!((held.current.0.len(), held.returned.len()), (0, MAX_RETURNED));
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::Uncounted);
    }

    #[test]
    fn each_queue_has_its_own_suspects() {
        let mut held = Held::default();
        let of = |queue| Arrival { queue, ..arrival(true, None, 1) };
        let taken: Vec<_> = [("a", 0), ("b", 0), ("c", 1)].map(|(id, queue)| held.take(id, of(queue))).into();
        assert_eq!(taken, [Redelivered::Uncounted, Redelivered::Behind, Redelivered::Uncounted]);
    }

    #[test]
    fn only_what_may_have_been_in_a_handler_is_counted() {
        let mut held = Held::default();
        let taken: Vec<_> = ["a", "b", "c"].map(|id| held.take(id, arrival(true, None, 2))).into();
        assert_eq!(taken, [Redelivered::Uncounted, Redelivered::Uncounted, Redelivered::Behind]);
    }

    #[test]
    fn a_broker_that_counts_is_believed_of_what_may_have_been_in_a_handler() {
        let mut held = Held::default();
        assert_eq!(held.take("a", arrival(true, Some(3), 1)), Redelivered::Times(3));
        assert_eq!(held.take("b", arrival(true, Some(3), 1)), Redelivered::Times(2));
        assert_eq!(held.take("c", arrival(false, Some(0), 1)), Redelivered::No);
        assert_eq!(held.take("d", arrival(true, Some(3), 1)), Redelivered::Times(3));
        held.renew(4);
        assert_eq!(held.take("a", arrival(true, Some(4), 1)), Redelivered::No, "it was here, and nobody died");
    }

    #[test]
    fn what_outlives_its_channel_again_and_again_is_counted() {
        let mut held = Held::default();
        assert_eq!(held.take("a", arrival(false, None, 1)), Redelivered::No);
        for times in 1..4 {
            held.renew(4);
            if times == 2 {
                held.outlive("a");
            }
            let _first_or_last = held.take("a", arrival(true, None, 1));
            if times != 2 {
                held.outlive("a");
            }
            assert_eq!(held.outlived.get("a"), Some(&times));
        }
        held.renew(4);
        assert_eq!(held.take("a", arrival(true, None, 1)), Redelivered::Times(3));
        held.release("a");
        held.outlive("a");
        assert!(held.outlived.is_empty(), "another delivery of it was settled");
    }
}
