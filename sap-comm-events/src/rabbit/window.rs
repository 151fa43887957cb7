//! The publishes that are sent and not confirmed.

use std::collections::VecDeque;

/// Entries by ascending number, each taken out once.
#[derive(Debug)]
pub(super) struct Window<T> {
    first: u64,
    entries: VecDeque<Option<T>>,
    filled: usize,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { first: 1, entries: VecDeque::new(), filled: 0 }
    }
}

impl<T> Window<T> {
    /// Adds an entry and returns its number, which is 1 for the first.
    pub(super) fn push(&mut self, entry: T) -> u64 {
        self.entries.push_back(Some(entry));
        self.filled += 1;
        self.first + (self.entries.len() as u64 - 1)
    }

    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let index = self.index(number)?;
        let taken = self.entries.get_mut(index)?.take()?;
        self.filled -= 1;
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        Some(taken)
    }

    /// Takes the oldest entry, if its number is not above `number`.
    pub(super) fn take_up_to(&mut self, number: u64) -> Option<T> {
        // The front is never an entry that was taken.
        if self.first <= number { self.take(self.first) } else { None }
    }

    /// Takes out what `wanted` says, oldest first.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let numbered = (self.first..).zip(&mut self.entries);
        let wanted = numbered.filter_map(|(number, entry)| entry.as_mut().is_some_and(&mut wanted).then_some(number));
        let numbers: Vec<_> = wanted.collect();
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// Whether another entry may be added: there are fewer than `limit`, and the oldest does not lag far behind.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.filled < limit && self.entries.len() < limit.saturating_mul(16)
    }

    /// What is left, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    /// What is left, oldest first.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().flatten()
    }

    /// What is left behind a number.
    pub(super) fn after(&mut self, number: u64) -> impl Iterator<Item = &mut T> {
        let skipped = usize::try_from(number.saturating_add(1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.iter_mut().skip(skipped).flatten()
    }

    /// What is left, oldest first.
    pub(super) fn into_rest(self) -> impl DoubleEndedIterator<Item = T> {
        self.entries.into_iter().flatten()
    }

    fn index(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())
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
}
