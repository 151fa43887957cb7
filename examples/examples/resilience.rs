//! The specification's circuit breaker and retry around a call that fails, and what `build()` says about it.

use std::{cell::Cell, time::Duration};

use sap_comm::{
    BoxError,
    resilience::{CircuitBreaker, Pipeline, Retry},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let breaker = CircuitBreaker::builder("userService")
        .failure_rate(0.5)
        .minimum_throughput(2)
        .reset_timeout(Duration::from_secs(30))
        .build()?;
    let retry = Retry::builder()
        .max_retries(3)
        .factor(2.0)
        .min_delay(Duration::from_millis(100))
        .max_delay(Duration::from_millis(500))
        .on_retry(|event| println!("retrying: {event:?}"))
        .build()?;
    let pipeline = Pipeline::builder("userService")
        .breaker(breaker.clone())
        .timeout(Duration::from_millis(300))
        .retry(retry)
        .build()?;
    for lint in pipeline.lints() {
        println!("lint: {lint}");
    }
    let calls = Cell::new(0);
    for _ in 0..4 {
        let result: Result<(), _> = pipeline
            .call(|| {
                calls.set(calls.get() + 1);
                async { Err(std::io::Error::other("the user service is down")) }
            })
            .await;
        if let Err(error) = result {
            println!("{} calls so far, breaker {:?}: {error}", calls.get(), breaker.state());
        }
    }
    Ok(())
}
