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
        Self { first: 0, entries: VecDeque::new(), filled: 0 }
    }
}

impl<T> Window<T> {
    /// Adds an entry and returns its number.
    pub(super) fn push(&mut self, entry: T) -> u64 {
        self.entries.push_back(Some(entry));
        self.filled += 1;
        self.first + (self.entries.len() as u64 - 1)
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.index(number).and_then(|index| self.entries.get(index)).and_then(Option::as_ref)
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
        assert_eq!((window.len(), window.get(numbers[2])), (3, Some(&2)));
        assert_eq!(window.take(99), None);
        assert_eq!(window.push(5), 5);
        assert_eq!(window.into_rest().collect::<Vec<_>>(), [2, 3, 4, 5]);
    }
}
