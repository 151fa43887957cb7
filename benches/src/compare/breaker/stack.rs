//! Successful calls through bulkhead, retry, breaker and timeout, in this order from the outside in.

use std::io;

use sap_comm::{
    config::ConfigError,
    resilience::{AllIdempotent, Bulkhead, CircuitBreaker, Pipeline, Retry, Timeout},
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::{
    bulkhead::BulkheadLayer,
    circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer},
    retry::RetryLayer,
    timelimiter::{TimeLimiterError, TimeLimiterLayer},
};

use super::{
    Settings,
    contestant::{Contestant, awaited, no_op_async, pass},
};
use crate::BenchError;

/// Ours as layers first; our pipeline is shown beside it.
pub(super) fn contestants(threads: usize) -> Result<Vec<Contestant>, BenchError> {
    let ours = Parts::new().map_err(BenchError::refused("build a stack"))?;
    let layers = ours.clone();
    Ok(vec![
        Contestant::new("sap-comm", "layers: service.ready().await?.call(()).await", threads, move || {
            layers.as_layers()
        }),
        tower_resilience(threads)?,
        Contestant::new("sap-comm-pipeline", "pipeline.call(async || …).await", threads, move || ours.as_pipeline())
            .shown_only(),
    ])
}

/// Our strategies.
#[derive(Clone)]
struct Parts {
    bulkhead: Bulkhead,
    retry: Retry,
    breaker: CircuitBreaker,
    timeout: Timeout,
}

impl Parts {
    fn new() -> Result<Self, ConfigError> {
        let breaker = CircuitBreaker::builder("stack")
            .failure_rate(Settings::FAILURE_RATE)
            .sampling_window(Settings::WINDOW)
            .minimum_throughput(Settings::MINIMUM);
        Ok(Self {
            bulkhead: Bulkhead::builder("stack").max_concurrent(Settings::CONCURRENT).build()?,
            retry: Retry::builder().max_retries(Settings::RETRIES).build()?,
            breaker: breaker.build()?,
            timeout: Timeout::new(Settings::TIMEOUT),
        })
    }

    fn as_layers(&self) -> Result<super::contestant::Runner, BenchError> {
        let mut service = ServiceBuilder::new()
            .layer(self.bulkhead.layer())
            .layer(self.retry.layer(AllIdempotent))
            .layer(self.breaker.layer())
            .layer(self.timeout.layer())
            .service(service_fn(|(): ()| no_op_async()));
        awaited(async move || {
            if let Ok(ready) = service.ready().await {
                pass(&ready.call(()).await);
            }
        })
    }

    fn as_pipeline(&self) -> Result<super::contestant::Runner, BenchError> {
        let pipeline = Pipeline::builder("stack")
            .bulkhead(self.bulkhead.clone())
            .retry(self.retry.clone())
            .breaker(self.breaker.clone())
            .timeout(self.timeout)
            .build()
            .map_err(BenchError::refused("build a pipeline"))?;
        awaited(async move || pass(&pipeline.call(no_op_async).await))
    }
}

fn tower_resilience(threads: usize) -> Result<Contestant, BenchError> {
    type Inner = CircuitBreakerError<TimeLimiterError<io::Error>>;
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(Settings::CONCURRENT as usize).reject_when_full();
    let (bulkhead, _) =
        bulkhead.build_with_handle().map_err(BenchError::refused("build a bulkhead of tower-resilience"))?;
    let (breaker, _) = CircuitBreakerLayer::builder()
        .failure_rate_threshold(Settings::FAILURE_RATE)
        .sliding_window_size(100)
        .minimum_number_of_calls(Settings::MINIMUM as usize)
        .build_with_handle()
        .map_err(BenchError::refused("build a breaker of tower-resilience"))?;
    let attempts = 1 + Settings::RETRIES as usize;
    Ok(Contestant::new("tower-resilience", "the same layers of its own, window of 100 calls", threads, move || {
        let mut service = ServiceBuilder::new()
            .layer(bulkhead.clone())
            .layer(RetryLayer::<(), u32, Inner>::builder().max_attempts(attempts).build())
            .layer(breaker.clone())
            .layer(TimeLimiterLayer::builder().timeout_duration(Settings::TIMEOUT).build())
            .service(service_fn(|(): ()| no_op_async()));
        awaited(async move || {
            if let Ok(ready) = service.ready().await {
                pass(&ready.call(()).await);
            }
        })
    }))
}
