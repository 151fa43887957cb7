//! Waiting for what nobody tells: asking again.

use std::time::Duration;

/// Asks until the answer is yes. It has no bound: put one around it.
pub(crate) async fn until(mut ask: impl AsyncFnMut() -> bool) {
    while !ask().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
