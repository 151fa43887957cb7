//! No clock that lags, where the kernel has none.

#[derive(Debug, Clone, Copy)]
pub(super) enum Coarse {}

impl Coarse {
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) fn now(self) -> Option<u64> {
        match self {}
    }
}
