use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};

use crate::deps::StartError;

/// How long an outside client waits for what happens in the background.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// Fails with both sides unless they are the same.
#[expect(clippy::needless_pass_by_value, reason = "literals and borrows alike read well at the call")]
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, expected: T, got: T) -> Result<(), StartError> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}

/// Fails unless the condition holds.
pub(super) fn that(what: &str, holds: bool, got: impl fmt::Debug) -> Result<(), StartError> {
    if holds { Ok(()) } else { Err(format!("expected {what}, got {got:?}").into()) }
}

/// Asks again until the answer is there, or reports the last reason why it is not.
pub(super) async fn eventually<T, F: AsyncFnMut() -> Result<T, StartError>>(mut ask: F) -> Result<T, StartError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= until => return Err(format!("after {PATIENCE:?}: {error}").into()),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
