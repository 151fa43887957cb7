//! One counter that belongs to one generation and one lap of the window.
//!
//! Tag and count share a word, so that a counter is reset and raised in one step: no sample lands in a bucket that is
//! being cleared, and none of an old generation is seen in a new one.

use crate::sync::{AtomicU64, Ordering};

const COUNT_BITS: u32 = 28;
const LAP_BITS: u32 = 24;
const GENERATION_BITS: u32 = 12;

const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

/// How far behind a late writer can be. What lies farther back on the circle was not written late: it was left by an
/// idle time, and is written over.
const LATEST: u64 = 1 << 10;

/// Generation and lap, cut to their low bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    #[inline]
    pub(super) fn new(generation: u64, lap: u64) -> Self {
        let generation = generation & low(GENERATION_BITS);
        Self(generation << LAP_BITS | lap & low(LAP_BITS))
    }

    /// Whether `self` was taken before `other`: in an older generation, or in an earlier lap of the same.
    fn precedes(self, other: Self) -> bool {
        let (mine, theirs) = (self.0 >> LAP_BITS, other.0 >> LAP_BITS);
        if mine == theirs { earlier(self.0, other.0, LAP_BITS) } else { earlier(mine, theirs, GENERATION_BITS) }
    }
}

/// Adds `amount` to the counter of `tag`; the counter of an earlier tag starts anew, that of a later one stays.
#[inline]
pub(super) fn add(word: &AtomicU64, tag: Tag, amount: u64) {
    let mut current = word.load(Ordering::Relaxed);
    while let Some(next) = sum(current, tag, amount) {
        match word.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return,
            Err(actual) => current = actual,
        }
    }
}

/// The same for a counter that no other thread adds to: without a locked instruction.
///
/// Another thread may clear the counter meanwhile. What is then written back carries a tag of before, which nobody reads.
#[inline]
pub(super) fn add_alone(word: &AtomicU64, tag: Tag, amount: u64) {
    if let Some(next) = sum(word.load(Ordering::Relaxed), tag, amount) {
        word.store(next, Ordering::Release);
    }
}

#[inline]
fn sum(current: u64, tag: Tag, amount: u64) -> Option<u64> {
    let held = Tag(current >> COUNT_BITS);
    let count = if held == tag {
        ((current & MAX_COUNT) + amount).min(MAX_COUNT)
    } else if current != 0 && tag.precedes(held) {
        return None;
    } else {
        amount.min(MAX_COUNT)
    };
    Some((tag.0 << COUNT_BITS) + count)
}

/// The count, if the counter belongs to `tag`.
pub(super) fn read(word: &AtomicU64, tag: Tag) -> u64 {
    let current = word.load(Ordering::Acquire);
    if Tag(current >> COUNT_BITS) == tag { current & MAX_COUNT } else { 0 }
}

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Whether `a` comes shortly before `b` on a circle of `bits` bits.
fn earlier(a: u64, b: u64, bits: u32) -> bool {
    let distance = b.wrapping_sub(a) & low(bits);
    (1..=LATEST).contains(&distance)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_late_writer_changes_nothing() {
        let word = AtomicU64::new(0);
        add(&word, Tag::new(3, 7), 1);
        add(&word, Tag::new(3, 6), 1);
        add(&word, Tag::new(2, 9), 1);
        assert_eq!(read(&word, Tag::new(3, 7)), 1);
        assert_eq!(read(&word, Tag::new(2, 9)), 0);
    }

    #[test]
    fn a_new_lap_starts_from_zero() {
        for generation in [0, 3] {
            for record in [add, add_alone] {
                let word = AtomicU64::new(0);
                record(&word, Tag::new(generation, 0), 5);
                record(&word, Tag::new(generation, 1), 1);
                assert_eq!(read(&word, Tag::new(generation, 0)), 0);
                record(&word, Tag::new(generation, 1), 2);
                record(&word, Tag::new(generation, 0), 9);
                assert_eq!(read(&word, Tag::new(generation, 1)), 3);
            }
        }
    }

    #[test]
    fn only_a_short_way_ahead_is_later() {
        let last = low(GENERATION_BITS);
        let cases =
            [(1, 2, true), (2, 1, false), (3, 3, false), (0, LATEST, true), (0, LATEST + 1, false), (last, 0, true)];
        for (a, b, expected) in cases {
            assert_eq!(earlier(a, b, GENERATION_BITS), expected, "{a} before {b}");
        }
        assert_eq!((low(4), low(28)), (15, 0xfff_ffff));
    }

    /// Trap 8.
    #[test]
    fn a_counter_left_long_ago_starts_anew() {
        let half = 1 << (LAP_BITS - 1);
        for (generation, lap) in [(0, half), (0, half + 1), (0, 2 * half - LATEST - 1), (1 << 11, 0), (3_000, 0)] {
            for record in [add, add_alone] {
                let word = AtomicU64::new(0);
                record(&word, Tag::new(0, 0), 5);
                record(&word, Tag::new(generation, lap), 1);
                assert_eq!(read(&word, Tag::new(generation, lap)), 1, "{generation}, {lap}");
            }
        }
    }

    #[test]
    fn a_count_saturates_inside_its_bits() {
        let word = AtomicU64::new(0);
        let tag = Tag::new(low(GENERATION_BITS), low(LAP_BITS));
        add(&word, tag, MAX_COUNT);
        add(&word, tag, 1);
        assert_eq!(read(&word, tag), MAX_COUNT);
    }

    #[test]
    fn tags_wrap_around() {
        let word = AtomicU64::new(0);
        add(&word, Tag::new(low(GENERATION_BITS), 1), 1);
        add(&word, Tag::new(low(GENERATION_BITS) + 1, 0), 1);
        assert_eq!(read(&word, Tag::new(0, 0)), 1);
    }
}
