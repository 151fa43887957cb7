//! What is retried, when, and how often.

use std::{cell::Cell, io, time::Duration};

use sap_comm_core::Context;
use sap_comm_resilience::{
    BreakerError, CircuitBreaker, Jitter, Outcome, Rejected, Retry, RetryBudget, RetryBuilder, State, UpstreamRetries,
};
use tokio::time::Instant;

use crate::support::{SECOND, down, hasty};

fn exact() -> RetryBuilder {
    Retry::builder().min_delay(SECOND).jitter(Jitter::None)
}

/// Calls that always fail; how many were made, and how long that took.
async fn exhaust(retry: &Retry) -> (u32, Duration) {
    let (calls, started) = (Cell::new(0), Instant::now());
    let result = retry
        .call(async || {
            calls.set(calls.get() + 1);
            Err::<(), _>(down())
        })
        .await;
    assert!(result.is_err());
    (calls.get(), started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn max_retries_excludes_the_first_call() {
    assert_eq!(exhaust(&exact().max_retries(0).build().unwrap()).await, (1, Duration::ZERO));
    assert_eq!(exhaust(&exact().max_retries(3).build().unwrap()).await, (4, 7 * SECOND));
}

/// Trap 11.
#[tokio::test(start_paused = true)]
async fn a_breaker_inside_counts_the_attempts_one_by_one_and_its_rejection_ends_the_call() {
    let breaker = hasty().consecutive_failures(2).build().unwrap();
    let budget = RetryBudget::new(1.0, 0).unwrap();
    (0..10).for_each(|_| budget.deposit());
    let retry = exact().max_retries(5).budget(budget.clone()).build().unwrap();
    let result = retry.call(|| breaker.call(async || Err::<(), _>(down()))).await;
    assert!(matches!(result, Err(BreakerError::Open(Rejected { .. }))), "{result:?}");
    assert_eq!(breaker.state(), State::Open);
    // Ten paid in, one for this call, and two retries: the one that failed, and the one that found the breaker open.
    assert_eq!(budget.available(), 9);
    let result = retry.call(|| breaker.call(async || Err::<(), _>(down()))).await;
    assert!(matches!(result, Err(BreakerError::Open(_))));
    assert_eq!(budget.available(), 10, "a rejection spends no budget");
}

/// Trap 12.
#[tokio::test(start_paused = true)]
async fn a_breaker_outside_counts_one_outcome_a_call() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let retry = exact().max_retries(3).build().unwrap();
    let _ = breaker.call(async || retry.call(async || Err::<(), _>(down())).await).await;
    assert_eq!(breaker.snapshot().failed, 1);
}

/// Trap 14.
#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_is_honoured_and_capped() {
    let retry = exact().max_retries(1).max_retry_after(10 * SECOND).build().unwrap();
    for (asked, expected) in [
        (Some(5 * SECOND), (2, 5 * SECOND)),
        (Some(Duration::ZERO), (2, SECOND)),
        (None, (2, SECOND)),
        (Some(11 * SECOND), (1, Duration::ZERO)),
        (Some(Duration::from_secs(u64::MAX)), (1, Duration::ZERO)),
        (Some(Duration::MAX), (1, Duration::ZERO)),
    ] {
        let (calls, started) = (Cell::new(0), Instant::now());
        let throttled = |_: &Result<(), io::Error>| Outcome::Throttled(asked);
        let _ = retry
            .call_with(&throttled, async || {
                calls.set(calls.get() + 1);
                Err(down())
            })
            .await;
        assert_eq!((calls.get(), started.elapsed()), expected, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_about_an_error_type_decide() {
    let retry = exact().max_retries(3).retry_if(|error: &io::Error| error.kind() != io::ErrorKind::NotFound);
    let retry = retry.retry_after(|_: &io::Error| Some(3 * SECOND)).build().unwrap();
    let calls = Cell::new(0);
    let started = Instant::now();
    let result = retry
        .call(async || {
            calls.set(calls.get() + 1);
            Err::<(), _>(io::Error::from(if calls.get() == 1 {
                io::ErrorKind::ConnectionReset
            } else {
                io::ErrorKind::NotFound
            }))
        })
        .await;
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!((calls.get(), started.elapsed()), (2, 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_past_the_deadline() {
    let retry = exact().max_retries(3).build().unwrap();
    let context = Context::root().with_timeout(2 * SECOND);
    assert_eq!(context.scope(exhaust(&retry)).await, (2, SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_ends_the_retries() {
    let budget = RetryBudget::new(0.5, 0).unwrap();
    let retry = exact().max_retries(1).budget(budget).build().unwrap();
    let mut calls = 0;
    for _ in 0..100 {
        calls += exhaust(&retry).await.0;
    }
    assert_eq!(calls, 150);
}

#[tokio::test(start_paused = true)]
async fn tiers_do_not_multiply_their_attempts() {
    let (upper, lower) = (exact().max_retries(3).build().unwrap(), exact().max_retries(3).build().unwrap());
    let calls = Cell::new(0);
    let failing = async || {
        calls.set(calls.get() + 1);
        Err::<(), _>(down())
    };
    let _ = Context::root().scope(upper.call(|| lower.call(failing))).await;
    assert_eq!(calls.get(), 4 + 1 + 1 + 1);

    let stubborn = exact().max_retries(3).upstream_retries(UpstreamRetries::Ignore).build().unwrap();
    calls.set(0);
    let _ = Context::root().scope(upper.call(|| stubborn.call(failing))).await;
    assert_eq!(calls.get(), 16);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_carries_its_number() {
    let retry = exact().max_retries(2).build().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let call = retry.call(async || {
        seen.lock().unwrap().push(Context::current().attempt());
        Err::<(), _>(down())
    });
    let _ = Context::root().scope(call).await;
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_your_own_ends_the_retries() {
    let retry =
        Retry::builder().backoff(|| [2, 3].into_iter().map(Duration::from_secs)).max_retries(9).build().unwrap();
    assert_eq!(exhaust(&retry).await, (3, 5 * SECOND));
    assert_eq!(retry.attempt_starts(), [Duration::ZERO, 2 * SECOND, 5 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn listeners_see_the_error_through_wrappers() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    let retry = exact()
        .max_retries(1)
        .on_retry(move |event| {
            let error = event.error::<io::Error>().map(ToString::to_string);
            log.lock().unwrap().push((event.attempt, event.delay, event.outcome, error));
        })
        .build()
        .unwrap();
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let _ = retry.call(|| breaker.call(async || Err::<(), _>(down()))).await;
    assert_eq!(*seen.lock().unwrap(), [(1, SECOND, Outcome::Failure, Some("down".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_without_a_context_too_and_share_a_request_id() {
    let retry = exact().max_retries(3).build().unwrap();
    let seen = std::cell::RefCell::new(Vec::new());
    let _ = retry
        .call(async || {
            seen.borrow_mut().push(Context::current());
            Err::<(), _>(down())
        })
        .await;
    let seen = seen.into_inner();
    assert_eq!(seen.iter().map(Context::attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(seen[1..].iter().all(|context| context.request_id() == seen[1].request_id()));
}

#[tokio::test(start_paused = true)]
async fn a_veto_holds_in_whatever_order_the_rules_are_given() {
    let retry = exact().retry_after(|_: &io::Error| Some(SECOND)).retry_if(|_: &io::Error| false).build().unwrap();
    assert_eq!(exhaust(&retry).await, (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_asks_to_wait_is_not_retried_if_it_is_ignored() {
    let retry = exact().retry_after(|_: &io::Error| Some(SECOND)).build().unwrap();
    let calls = Cell::new(0);
    let ignored = |_: &Result<(), io::Error>| Outcome::Ignored;
    let result = retry
        .call_with(&ignored, async || {
            calls.set(calls.get() + 1);
            Err(down())
        })
        .await;
    assert!(result.is_err());
    assert_eq!(calls.get(), 1);
}

/// Trap 15.
#[tokio::test(start_paused = true)]
async fn those_whom_a_server_asks_to_wait_return_apart_and_none_too_soon() {
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..5 {
        let retry = Retry::builder().max_retries(1).seed(seed).build().unwrap();
        let started = Instant::now();
        let busy = |_: &Result<(), io::Error>| Outcome::Throttled(Some(5 * SECOND));
        let _ = retry.call_with(&busy, async || Err(down())).await;
        waits.insert(started.elapsed());
    }
    assert_eq!(waits.len(), 5);
    assert!(waits.iter().all(|wait| (5 * SECOND..7 * SECOND).contains(wait)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delay_may_be_spread_by_all_of_it() {
    let odd = Duration::new(30_000_000, 3);
    let retry = Retry::builder().min_delay(odd).max_delay(odd).jitter(Jitter::Spread(1.0)).max_retries(1);
    assert_eq!(exhaust(&retry.build().unwrap()).await.0, 2);
}
