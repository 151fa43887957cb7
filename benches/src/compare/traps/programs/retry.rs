//! Traps 11 to 14: what is sent again, and when.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body_util::Full;

use super::{
    super::{
        breaker::Fault,
        library::Library,
        stack::{HttpRequest, Stack, get},
        verdict::{Verdict, Walk, ensure},
    },
    in_time,
    service::{busy, down, ok, send, service},
};

/// Every attempt counts by itself; a rejection is neither retried nor paid for.
pub(in super::super) async fn outside_breaker(library: Library) -> Walk {
    let (service, calls) = down();
    let (stack, budget) = library.budgeted(Stack::RetryOverBreaker { retries: 8, failures: 3 }, service)?;
    let answer = in_time(send(&stack, get()), "it did not end").await?;
    ensure(calls.count() == 3, format!("a breaker of three failures let {} attempts through", calls.count()))?;
    ensure(answer.is_err_and(|fault| fault == Fault::Refused), "the rejection did not reach the caller")?;
    let left = (0..20).take_while(|_| budget.withdraw()).count();
    ensure(left >= 7, format!("three retries, of which one was rejected, took {} out of the budget", 10 - left.min(10)))
}

/// A call with all its attempts is one failure.
pub(in super::super) async fn inside_breaker(library: Library) -> Walk {
    let (service, calls) = down();
    let stack = library.stack(Stack::BreakerOverRetry { failures: 2, retries: 2 }, service)?;
    for expected in [3, 6, 6] {
        let answer = in_time(send(&stack, get()), "it did not end").await?;
        ensure(answer.is_err(), "a failure became a success")?;
        ensure(calls.count() == expected, format!("{} attempts instead of {expected}", calls.count()))?;
    }
    Ok(())
}

/// What may have been sent is sent again only if that is harmless, and if it is small enough to be kept.
pub(in super::super) async fn replayable_only(library: Library) -> Walk {
    let keyed = |mut request: HttpRequest| {
        request.headers_mut().insert("idempotency-key", HeaderValue::from_static("1"));
        request
    };
    let large = |mut request: HttpRequest| {
        *request.body_mut() = Full::new(Bytes::from(vec![0; 1024 * 1024]));
        request
    };
    for (request, expected, what) in [
        (get(), 3, "GET"),
        (post(), 1, "POST"),
        (keyed(post()), 3, "POST with a key"),
        (large(get()), 1, "a body of a mebibyte"),
    ] {
        let (service, calls) = down();
        let stack = library.stack(Stack::HttpRetry { retries: 2 }, service)?;
        let _ = in_time(send(&stack, request), "it did not end").await?;
        ensure(calls.count() == expected, format!("{what} was sent {} times instead of {expected}", calls.count()))?;
    }
    Ok(())
}

/// The server's wish is granted within bounds.
pub(in super::super) async fn retry_after(library: Library) -> Walk {
    if library == Library::TowerResilience {
        return Verdict::not_offered("a delay by the response");
    }
    for (header, expected, least) in [
        ("1", 2, Duration::from_secs(1)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 2, Duration::ZERO),
        ("18446744073709551615", 1, Duration::ZERO),
    ] {
        let (service, calls) = service(async move |call| Ok(if call == 1 { busy(header) } else { ok() }));
        let stack = library.stack(Stack::HttpRetry { retries: 2 }, service)?;
        let began = Instant::now();
        let _ = in_time(send(&stack, get()), &format!("Retry-After: {header} was waited for")).await?;
        ensure(calls.count() == expected, format!("Retry-After: {header} led to {} attempts", calls.count()))?;
        ensure(began.elapsed() >= least, format!("Retry-After: {header} was not honoured"))?;
    }
    Ok(())
}

fn post() -> HttpRequest {
    let mut request = get();
    *request.method_mut() = Method::POST;
    request
}
