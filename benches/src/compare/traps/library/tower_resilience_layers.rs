use std::{fmt::Display, sync::Arc};

use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_resilience::{
    bulkhead::{BulkheadLayer, BulkheadServiceError},
    circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier},
    hedge::HedgeLayer,
    retry::{RetryBudget, RetryBudgetBuilder, RetryConfigBuilder, RetryLayer},
    timelimiter::{TimeLimiterError, TimeLimiterLayer},
};

use super::{
    super::{
        breaker::{Fault, Trip},
        stack::{Budget, DELAY, HEDGE, HttpRequest, HttpResponse, HttpService, Stack, TIMEOUT, may_be_sent_again},
        verdict::{Built, Verdict},
    },
    tower_resilience::configured,
};

type SharedBudget = Arc<dyn RetryBudget>;

pub(super) fn stack(stack: Stack, inner: HttpService, budget: Option<SharedBudget>) -> Built<HttpService> {
    let services = ServiceBuilder::new();
    Ok(match stack {
        Stack::RetryOverBreaker { retries, failures } => {
            let retry = retry::<CircuitBreakerError<Fault>>(retries);
            let retry = retry.retry_on(|error| !matches!(error, CircuitBreakerError::OpenCircuit));
            let retry = budget.into_iter().fold(retry, RetryConfigBuilder::budget).build();
            let stack = services.layer(retry).layer(breaker(failures)?).service(inner);
            BoxCloneSyncService::new(stack.map_err(of_breaker))
        }
        Stack::BreakerOverRetry { failures, retries } => {
            let stack = services.layer(breaker(failures)?).layer(retry::<Fault>(retries).build()).service(inner);
            BoxCloneSyncService::new(stack.map_err(of_breaker))
        }
        Stack::HttpRetry { retries } => {
            let attempts = 1 + retries as usize;
            let attempts = move |request: &HttpRequest| if may_be_sent_again(request) { attempts } else { 1 };
            let retry = retry::<Fault>(retries).max_attempts_fn(attempts).build();
            BoxCloneSyncService::new(services.layer(retry).service(inner))
        }
        Stack::BreakerOverTimeout { failures } => {
            let timeout = TimeLimiterLayer::builder().timeout_duration(TIMEOUT).build();
            let stack = services.layer(breaker(failures)?).layer(timeout).service(inner);
            BoxCloneSyncService::new(stack.map_err(|error| match error {
                CircuitBreakerError::Inner(error) => of_timeout(error),
                CircuitBreakerError::OpenCircuit => Fault::Refused,
            }))
        }
        Stack::Bulkhead => {
            let bulkhead = BulkheadLayer::builder().max_concurrent_calls(1).reject_when_full();
            let bulkhead = bulkhead.build().map_err(refused)?;
            BoxCloneSyncService::new(services.layer(bulkhead).service(inner).map_err(|error| match error {
                BulkheadServiceError::Inner(fault) => fault,
                BulkheadServiceError::Bulkhead(_) => Fault::Refused,
            }))
        }
        Stack::Timeout => {
            let timeout = TimeLimiterLayer::builder().timeout_duration(TIMEOUT).build();
            BoxCloneSyncService::new(services.layer(timeout).service(inner).map_err(of_timeout))
        }
        Stack::Breaker => BoxCloneSyncService::new(services.layer(breaker(10)?).service(inner).map_err(of_breaker)),
        Stack::Hedge => {
            let hedge =
                HedgeLayer::builder().delay(HEDGE).max_hedged_attempts(2).eligible_if(may_be_sent_again).build();
            BoxCloneSyncService::new(services.layer(hedge).service(inner).map_err(|error| error.into_inner()))
        }
    })
}

fn retry<E>(retries: u32) -> RetryConfigBuilder<HttpRequest, HttpResponse, E> {
    RetryLayer::<HttpRequest, HttpResponse, E>::builder().max_attempts(1 + retries as usize).fixed_backoff(DELAY)
}

fn breaker(failures: u32) -> Built<CircuitBreakerLayer<DefaultClassifier>> {
    Ok(configured(Trip::InARow(failures)).build_with_handle().map_err(refused)?.0)
}

fn refused(error: impl Display) -> Verdict {
    Verdict::failed(format!("refused: {error}"))
}

fn of_breaker(error: CircuitBreakerError<Fault>) -> Fault {
    error.into_inner().unwrap_or(Fault::Refused)
}

fn of_timeout(error: TimeLimiterError<Fault>) -> Fault {
    match error {
        TimeLimiterError::Inner(fault) => fault,
        TimeLimiterError::Timeout => Fault::TimedOut,
    }
}

struct Theirs(SharedBudget);

impl Budget for Theirs {
    fn deposit(&self) {
        self.0.deposit();
    }

    fn withdraw(&self) -> bool {
        self.0.try_withdraw()
    }
}

pub(super) fn budgeted(kind: Stack, inner: HttpService) -> Built<(HttpService, Arc<dyn Budget>)> {
    let bucket = RetryBudgetBuilder::new().token_bucket().tokens_per_second(0.0).max_tokens(10);
    let budget = bucket.build().map_err(refused)?;
    Ok((stack(kind, inner, Some(Arc::clone(&budget)))?, Arc::new(Theirs(budget))))
}

/// Six tokens a call and ten a retry, of a bucket that begins full.
pub(super) fn sixty_percent() -> Built<Arc<dyn Budget>> {
    let bucket = RetryBudgetBuilder::new().aimd().min_budget(1_000).max_budget(1_000);
    let budget = bucket.deposit_amount(6).withdraw_amount(10).build().map_err(refused)?;
    Ok(Arc::new(Theirs(budget)))
}
