//! What the tests share.

use std::{io, time::Duration};

use sap_comm_resilience::{CircuitBreaker, CircuitBreakerBuilder};

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A breaker that opens at the first failure, resets after exactly 30 s and lets everything in after recovery.
pub(crate) fn hasty() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("test").consecutive_failures(1).reset_jitter(0.0).ramp(Duration::ZERO)
}

pub(crate) fn down() -> io::Error {
    io::Error::other("down")
}

pub(crate) async fn succeed(breaker: &CircuitBreaker) -> bool {
    breaker.call(async || Ok::<_, io::Error>(())).await.is_ok()
}

/// Whether the call was let through to fail.
pub(crate) async fn fail(breaker: &CircuitBreaker) -> bool {
    breaker.call(async || Err::<(), _>(down())).await.unwrap_err().into_inner().is_some()
}

/// Fails until the breaker is open, and waits for the reset.
pub(crate) async fn open_and_wait(breaker: &CircuitBreaker) {
    assert!(fail(breaker).await);
    assert!(!fail(breaker).await);
    tokio::time::advance(30 * SECOND).await;
}
