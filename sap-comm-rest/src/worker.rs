//! Which of a server's worker threads is running.

use std::cell::Cell;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Marks the running thread as worker `number` of its server.
pub(crate) fn enter(number: usize) {
    NUMBER.set(number);
}

/// The running worker; 0 outside of workers too.
pub(crate) fn number() -> usize {
    NUMBER.get()
}
