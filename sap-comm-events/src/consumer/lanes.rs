//! What waits behind an event of the same key.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

/// The keys that are busy, and what waits for each.
#[derive(Debug)]
pub(super) struct Lanes<T>(HashMap<Arc<str>, VecDeque<T>>);

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Lanes<T> {
    /// Takes the key, and gives the work back to be done at once; or keeps it until the key is free.
    pub(super) fn enter(&mut self, key: &Arc<str>, work: T) -> Option<T> {
        match self.0.entry(Arc::clone(key)) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(work)
            }
            Entry::Occupied(mut busy) => {
                busy.get_mut().push_back(work);
                None
            }
        }
    }

    /// Lets go of the first that wait for a key and are gone; how many these were.
    pub(super) fn let_go(&mut self, key: &Arc<str>, is_gone: impl Fn(&T) -> bool) -> usize {
        let Some(waiting) = self.0.get_mut(key) else { return 0 };
        let gone = waiting.iter().take_while(|work| is_gone(work)).count();
        waiting.drain(..gone);
        gone
    }

    /// The work of a key is done: the next of it, or the key is free.
    pub(super) fn leave(&mut self, key: &Arc<str>) -> Option<T> {
        let next = self.0.get_mut(key)?.pop_front();
        if next.is_none() {
            self.0.remove(key);
        }
        next
    }

    /// Everything that waits, each key's in its order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.0.drain().flat_map(|(_, waiting)| waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_once_and_handed_on_in_order() {
        let mut lanes = Lanes::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!((lanes.enter(&a, 1), lanes.enter(&a, 2), lanes.enter(&a, 3)), (Some(1), None, None));
        assert_eq!(lanes.enter(&b, 4), Some(4));
        assert_eq!((lanes.leave(&a), lanes.leave(&a), lanes.leave(&a)), (Some(2), Some(3), None));
        assert_eq!(lanes.0.len(), 1, "a free key is forgotten");
        assert_eq!(lanes.enter(&a, 5), Some(5));
    }

    #[test]
    fn what_is_gone_waits_no_more() {
        let mut lanes = Lanes::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for work in 0..4 {
            lanes.enter(&a, work);
        }
        let is_gone = |work: &i32| *work < 3;
        assert_eq!((lanes.let_go(&a, is_gone), lanes.let_go(&a, is_gone), lanes.let_go(&b, is_gone)), (2, 0, 0));
        assert_eq!((lanes.leave(&a), lanes.leave(&a)), (Some(3), None));
    }
}
