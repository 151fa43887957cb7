//! When the time of a call begins, and that it ends whatever the call does.

use std::{convert::Infallible, future::pending, io};

use futures_util::FutureExt;
use sap_comm_resilience::{CircuitBreaker, Deadline, Pipeline, Timeout, TimeoutError};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{MILLISECOND, SECOND};

#[test]
fn a_call_that_never_waits_needs_no_timer() {
    // Without a runtime a timer would panic.
    let timeout = Timeout::new(SECOND);
    assert!(timeout.call(async || Ok::<_, Infallible>(())).now_or_never().unwrap().is_ok());
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let pipeline = Pipeline::builder("test").breaker(breaker).timeout(timeout).build().unwrap();
    assert!(pipeline.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_has_all_its_time() {
    let began = Instant::now();
    let result = Timeout::new(SECOND).call(async || pending::<Result<(), Infallible>>().await).await;
    assert!(matches!(result, Err(TimeoutError::Elapsed(_))));
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_always_busy_is_ended_too() {
    let busy = async || -> Result<(), Infallible> {
        loop {
            tokio::task::consume_budget().await;
        }
    };
    // A clock that stands still does not move on by itself while somebody is busy.
    let (result, ()) = tokio::join!(Timeout::new(MILLISECOND).call(busy), tokio::time::advance(SECOND));
    assert!(matches!(result, Err(TimeoutError::Elapsed(_))));
}

/// As `Deadline::call` and a pipeline do.
#[tokio::test(start_paused = true)]
async fn an_answer_at_the_very_deadline_is_kept_by_the_layer() {
    let service = Deadline::after(SECOND).layer().layer(service_fn(async |()| {
        tokio::time::sleep(SECOND).await;
        Ok::<_, Infallible>(())
    }));
    assert!(service.oneshot(()).await.is_ok());
}
