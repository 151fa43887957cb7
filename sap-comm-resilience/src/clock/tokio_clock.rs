//! Whether tokio's clock can be paused. Only with its feature `test-util` can it, and that anybody in the build may
//! switch on.

/// A test may pause the clock, so that no other clock will do.
pub(super) const CAN_PAUSE: bool = {
    // Hides the function below, if it has one of this name.
    #[allow(unused_imports, clippy::wildcard_imports, reason = "nothing else can be asked for what may not exist")]
    use tokio::time::*;
    is_tokios(pause)
};

struct Missing;

#[allow(dead_code, reason = "stands in for tokio's where that is missing")]
fn pause() -> Missing {
    Missing
}

/// What `pause` returns tells which of the two it is.
trait Returned {
    const IS_TOKIOS: bool;
}

impl Returned for () {
    const IS_TOKIOS: bool = true;
}

impl Returned for Missing {
    const IS_TOKIOS: bool = false;
}

const fn is_tokios<R: Returned>(_pause: fn() -> R) -> bool {
    R::IS_TOKIOS
}
