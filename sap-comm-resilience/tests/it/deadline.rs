//! The time of a whole call, across strategies and hops.

use std::{cell::Cell, future::pending, io};

use sap_comm_core::Context;
use sap_comm_resilience::{Deadline, DeadlineError, Jitter, Retry};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{SECOND, down};

#[tokio::test(start_paused = true)]
async fn a_call_is_dropped_at_its_deadline() {
    let started = Instant::now();
    let result = Deadline::after(3 * SECOND).call(async || pending::<Result<(), io::Error>>().await).await;
    assert!(matches!(result, Err(DeadlineError::Exceeded(_))));
    assert_eq!(started.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_context_of_the_call_carries_it() {
    let inside = Deadline::after(3 * SECOND).call(async || Ok::<_, io::Error>(Deadline::current())).await.unwrap();
    assert_eq!(inside, Some(Instant::now() + 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_of_the_caller_wins() {
    let started = Instant::now();
    let call = Deadline::after(30 * SECOND).call(async || pending::<Result<(), io::Error>>().await);
    assert!(Context::root().with_timeout(SECOND).scope(call).await.is_err());
    assert_eq!(started.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_the_call_is_not_made() {
    let context = Context::root().with_timeout(SECOND);
    tokio::time::advance(SECOND).await;
    let made = Cell::new(false);
    let call = Deadline::after(30 * SECOND).call(async || {
        made.set(true);
        Ok::<_, io::Error>(())
    });
    assert!(context.scope(call).await.is_err());
    assert!(!made.get());
}

#[tokio::test(start_paused = true)]
async fn a_retry_inside_knows_it() {
    let retry = Retry::builder().max_retries(9).min_delay(SECOND).jitter(Jitter::None).build().unwrap();
    let started = Instant::now();
    let result = Deadline::after(5 * SECOND).call(async || retry.call(async || Err::<(), _>(down())).await).await;
    assert!(matches!(result, Err(DeadlineError::Inner(_))), "the last error stands, without a useless wait");
    assert_eq!(started.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_layer_carries_it_too() {
    let service = service_fn(|(): ()| async { Ok::<_, io::Error>(Deadline::current()) });
    let service = Deadline::after(3 * SECOND).layer().layer(service);
    assert_eq!(service.oneshot(()).await.unwrap(), Some(Instant::now() + 3 * SECOND));
}
