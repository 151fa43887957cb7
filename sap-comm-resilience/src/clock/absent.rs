//! No clock that lags, where the kernel has none.

#[derive(Debug, Clone, Copy)]
pub(super) struct Coarse;

impl Coarse {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn now(self) -> Option<u64> {
        None
    }
}
