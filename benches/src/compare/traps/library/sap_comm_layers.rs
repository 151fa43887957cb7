use std::sync::Arc;

use sap_comm::{
    config::ConfigError,
    resilience::{
        AllIdempotent, BreakerError, Bulkhead, BulkheadError, CircuitBreaker, Hedge, Jitter, Retry, RetryBudget,
        RetryBuilder, Timeout, TimeoutError,
    },
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use super::super::{
    breaker::Fault,
    stack::{Budget, DELAY, HEDGE, HttpService, Stack, TIMEOUT},
    verdict::{Built, Verdict},
};

pub(super) fn stack(stack: Stack, inner: HttpService, budget: Option<RetryBudget>) -> Built<HttpService> {
    layered(stack, inner, budget).map_err(|error| Verdict::failed(format!("refused: {error}")))
}

fn layered(stack: Stack, inner: HttpService, budget: Option<RetryBudget>) -> Result<HttpService, ConfigError> {
    let services = ServiceBuilder::new();
    Ok(match stack {
        Stack::RetryOverBreaker { retries, failures } => {
            let retry = retry(retries);
            let retry = budget.into_iter().fold(retry, RetryBuilder::budget).build()?;
            let stack = services.layer(retry.layer(AllIdempotent)).layer(breaker(failures)?.layer()).service(inner);
            BoxCloneSyncService::new(stack.map_err(of_breaker))
        }
        Stack::BreakerOverRetry { failures, retries } => {
            let retry = retry(retries).build()?;
            let stack = services.layer(breaker(failures)?.layer()).layer(retry.layer(AllIdempotent)).service(inner);
            BoxCloneSyncService::new(stack.map_err(of_breaker))
        }
        Stack::HttpRetry { retries } => {
            BoxCloneSyncService::new(services.layer(retry(retries).build()?.http_layer()).service(inner))
        }
        Stack::BreakerOverTimeout { failures } => {
            let timeout = Timeout::new(TIMEOUT);
            let stack = services.layer(breaker(failures)?.layer()).layer(timeout.layer()).service(inner);
            BoxCloneSyncService::new(stack.map_err(|error| match error {
                BreakerError::Inner(error) => of_timeout(error),
                BreakerError::Open(_) => Fault::Refused,
            }))
        }
        Stack::Bulkhead => {
            let bulkhead = Bulkhead::builder("trap").max_concurrent(1).build()?;
            BoxCloneSyncService::new(services.layer(bulkhead.layer()).service(inner).map_err(|error| match error {
                BulkheadError::Inner(fault) => fault,
                BulkheadError::Full(_) => Fault::Refused,
            }))
        }
        Stack::Timeout => {
            BoxCloneSyncService::new(services.layer(Timeout::new(TIMEOUT).layer()).service(inner).map_err(of_timeout))
        }
        Stack::Breaker => {
            BoxCloneSyncService::new(services.layer(breaker(10)?.layer()).service(inner).map_err(of_breaker))
        }
        Stack::Hedge => {
            let hedge = Hedge::builder().delay(HEDGE).budget(0.1).build()?;
            BoxCloneSyncService::new(services.layer(hedge.http_layer()).service(inner))
        }
    })
}

fn retry(retries: u32) -> RetryBuilder {
    Retry::builder().max_retries(retries).min_delay(DELAY).max_delay(DELAY).jitter(Jitter::None)
}

fn breaker(failures: u32) -> Result<CircuitBreaker, ConfigError> {
    CircuitBreaker::builder("trap").failure_rate(None).consecutive_failures(failures).build()
}

fn of_breaker(error: BreakerError<Fault>) -> Fault {
    error.into_inner().unwrap_or(Fault::Refused)
}

fn of_timeout(error: TimeoutError<Fault>) -> Fault {
    match error {
        TimeoutError::Inner(fault) => fault,
        TimeoutError::Elapsed(_) => Fault::TimedOut,
    }
}

struct Ours(RetryBudget);

impl Budget for Ours {
    fn deposit(&self) {
        self.0.deposit();
    }

    fn withdraw(&self) -> bool {
        self.0.try_withdraw()
    }
}

pub(super) fn budgeted(kind: Stack, inner: HttpService) -> Built<(HttpService, Arc<dyn Budget>)> {
    let budget = RetryBudget::new(0.0, 1).map_err(|error| Verdict::failed(format!("refused: {error}")))?;
    Ok((stack(kind, inner, Some(budget.clone()))?, Arc::new(Ours(budget))))
}

pub(super) fn sixty_percent() -> Built<Arc<dyn Budget>> {
    let budget = RetryBudget::new(0.6, 0).map_err(|error| Verdict::failed(format!("refused: {error}")))?;
    Ok(Arc::new(Ours(budget)))
}
