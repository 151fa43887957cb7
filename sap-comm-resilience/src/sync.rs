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

/// A value that shares no cache line, nor its prefetched neighbour, with any others.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// How many stripes spread the writers: one for each thread of a low number, and the last for all others.
pub(crate) fn stripes() -> usize {
    if cfg!(loom) {
        return 2;
    }
    (2 * std::thread::available_parallelism().map_or(1, usize::from)).clamp(8, 32)
}
