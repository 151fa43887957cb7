//! The publishes that are sent and not confirmed.

use std::collections::{BTreeMap, VecDeque};

/// Entries by ascending number, each taken out once.
#[derive(Debug)]
pub(super) struct Window<T> {
    first: u64,
    entries: VecDeque<Option<T>>,
    /// Entries before the first, which many have overtaken.
    overtaken: BTreeMap<u64, T>,
    filled: usize,
}

/// How far numbers may lie apart, those in between taken out, before an entry counts as overtaken.
const LAG: usize = 16_384;

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { first: 1, entries: VecDeque::new(), overtaken: BTreeMap::new(), filled: 0 }
    }
}

impl<T> Window<T> {
    /// Adds an entry and returns its number, which is 1 for the first.
    pub(super) fn push(&mut self, entry: T) -> u64 {
        if self.entries.len() >= LAG
            && let Some(Some(oldest)) = self.entries.pop_front()
        {
            self.overtaken.insert(self.first, oldest);
            self.first += 1;
            self.trim();
        }
        self.entries.push_back(Some(entry));
        self.filled += 1;
        self.first + (self.entries.len() as u64 - 1)
    }

    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let taken = match number.checked_sub(self.first) {
            None => self.overtaken.remove(&number),
            Some(index) => self.entries.get_mut(usize::try_from(index).ok()?)?.take(),
        }?;
        self.filled -= 1;
        self.trim();
        Some(taken)
    }

    /// Takes the oldest entry, if its number is not above `number`.
    pub(super) fn take_up_to(&mut self, number: u64) -> Option<T> {
        // The front is never an entry that was taken.
        let oldest = self.overtaken.first_key_value().map_or(self.first, |(number, _)| *number);
        if oldest <= number { self.take(oldest) } else { None }
    }

    /// Takes out what `wanted` says, oldest first.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let overtaken = self.overtaken.iter_mut().map(|(number, entry)| (*number, entry));
        let others = (self.first..).zip(&mut self.entries);
        let all = overtaken.chain(others.filter_map(|(number, entry)| Some((number, entry.as_mut()?))));
        let numbers: Vec<_> = all.filter_map(|(number, entry)| wanted(entry).then_some(number)).collect();
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// What is left, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.overtaken.values().chain(self.entries.iter().flatten())
    }

    /// What is left, oldest first.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.overtaken.values_mut().chain(self.entries.iter_mut().flatten())
    }

    /// What is left behind a number.
    pub(super) fn after(&mut self, number: u64) -> impl Iterator<Item = &mut T> {
        let next = number.saturating_add(1);
        let skipped = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let overtaken = self.overtaken.range_mut(next..).map(|(_, entry)| entry);
        overtaken.chain(self.entries.iter_mut().skip(skipped).flatten())
    }

    /// What is left, oldest first.
    pub(super) fn into_rest(self) -> impl DoubleEndedIterator<Item = T> {
        self.overtaken.into_values().chain(self.entries.into_iter().flatten())
    }

    fn trim(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_any_order_and_the_rest_keeps_its_own() {
        let mut window = Window::default();
        let numbers: Vec<u64> = (0..5).map(|entry| window.push(entry)).collect();
        assert_eq!((window.take(numbers[1]), window.take(numbers[1])), (Some(1), None));
        assert_eq!((window.take(numbers[0]), window.take(numbers[0])), (Some(0), None));
        assert_eq!((window.len(), window.take(99)), (3, None));
        assert_eq!((window.push(5), window.push(6)), (6, 7));
        assert_eq!(window.after(5).map(|entry| *entry).collect::<Vec<_>>(), [5, 6]);
        assert_eq!((window.after(0).count(), window.after(7).count()), (5, 0));
        assert_eq!(window.take(5), Some(4));
        assert_eq!((window.extract(|entry| *entry == 5), window.len()), (vec![5], 3));
        let taken: Vec<_> = std::iter::from_fn(|| window.take_up_to(6)).collect();
        assert_eq!((taken.as_slice(), window.take_up_to(0)), ([2, 3].as_slice(), None));
        assert_eq!(window.into_rest().collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn an_entry_that_all_others_overtake_takes_no_room_but_its_own() {
        let mut window = Window::default();
        let (first, second) = (window.push(1), window.push(2));
        for entry in 0..LAG * 3 {
            let number = window.push(entry);
            assert_eq!(window.take(number), Some(entry));
        }
        assert!(window.entries.len() <= LAG, "{}", window.entries.len());
        assert_eq!(window.iter().chain([&3]).copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((window.len(), window.after(first).count(), window.after(second).count()), (2, 1, 0));
        assert_eq!((window.take(second), window.take(second), window.len()), (Some(2), None, 1));
        let last = window.push(9);
        assert_eq!(
            (window.take_up_to(first), window.take_up_to(first), window.take_up_to(last)),
            (Some(1), None, Some(9))
        );
    }
}
