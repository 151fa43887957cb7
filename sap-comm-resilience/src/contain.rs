use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs somebody else's code. `None` if it panicked, which is logged.
pub(crate) fn contained<R>(whose: &'static str, run: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(run));
    if result.is_err() {
        tracing::error!("{whose} panicked");
    }
    result.ok()
}
