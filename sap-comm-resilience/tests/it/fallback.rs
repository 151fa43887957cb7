//! When another answer is given.

use std::{future::ready, io};

use sap_comm_resilience::{BreakerError, Fallback, Outcome};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{down, hasty};

#[tokio::test]
async fn a_failure_gets_another_answer_and_a_success_does_not() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    assert_eq!(fallback.call(async || Ok(1)).await.unwrap(), 1);
    assert_eq!(fallback.call(async || Err(down())).await.unwrap(), 2);
}

#[tokio::test]
async fn a_rejection_gets_another_answer() {
    let breaker = hasty().build().unwrap();
    breaker.isolate();
    let fallback = Fallback::new(|_: BreakerError<io::Error>| ready(Ok(2)));
    assert_eq!(fallback.call(async || breaker.call(async || Ok(1)).await).await.unwrap(), 2);
}

#[tokio::test]
async fn the_callers_own_mistake_stands() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    let mistake = |_: &Result<u32, io::Error>| Outcome::Ignored;
    assert!(fallback.call_with(&mistake, async || Err(down())).await.is_err());
}

#[tokio::test]
async fn the_layer_answers_too() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    let service = fallback.layer().layer(service_fn(|_: ()| ready(Err::<u32, _>(down()))));
    assert_eq!(service.oneshot(()).await.unwrap(), 2);
}
