//! Atomics of the engine: the standard ones, or loom's under its model checker.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Sixteen words that share no cache line, nor its prefetched neighbour, with any others.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Line(pub(crate) [AtomicU64; WORDS_PER_LINE]);

/// How many words a [`Line`] holds.
pub(crate) const WORDS_PER_LINE: usize = 16;

impl Line {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// How many stripes spread the writers: one for each of the first threads, and the last for all others.
pub(crate) fn stripes() -> usize {
    if cfg!(loom) {
        return 2;
    }
    (2 * std::thread::available_parallelism().map_or(1, usize::from)).clamp(4, 32)
}

/// The calling thread's number, in order of their first call. No other thread ever has it.
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mine = MINE.get();
    if mine != usize::MAX {
        return mine;
    }
    let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some((next + 1).min(usize::MAX - 1)));
    let next = next.unwrap_or_else(|last| last);
    MINE.set(next);
    next
}
