//! Which call wins, and how many are made.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::{Method, Request, Response};
use sap_comm_core::Context;
use sap_comm_resilience::{Hedge, HedgeBuilder};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{SECOND, down};

fn hedge() -> HedgeBuilder {
    Hedge::builder().delay(SECOND).budget(1.0)
}

/// Runs calls that take so many seconds and end so; returns what the hedge made of them.
async fn race(hedge: &Hedge, plan: &[(u32, bool)]) -> (Result<usize, io::Error>, Duration, usize) {
    let (calls, started) = (Cell::new(0), Instant::now());
    let result = hedge
        .call(async || {
            let call = calls.replace(calls.get() + 1);
            let (seconds, succeeds) = plan[call];
            tokio::time::sleep(seconds * SECOND).await;
            if succeeds { Ok(call) } else { Err(down()) }
        })
        .await;
    (result, started.elapsed(), calls.get())
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_is_made_once() {
    let (result, took, calls) = race(&hedge().build().unwrap(), &[(0, true)]).await;
    assert_eq!((result.unwrap(), took, calls), (0, Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_overtaken() {
    let (result, took, calls) = race(&hedge().build().unwrap(), &[(60, true), (1, true)]).await;
    assert_eq!((result.unwrap(), took, calls), (1, 2 * SECOND, 2));
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn a_failed_hedge_does_not_beat_a_live_first_call() {
    let (result, took, _) = race(&hedge().build().unwrap(), &[(5, true), (1, false)]).await;
    assert_eq!((result.unwrap(), took), (0, 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_failed_first_call_waits_for_a_live_hedge() {
    let (result, took, _) = race(&hedge().build().unwrap(), &[(2, false), (5, true)]).await;
    assert_eq!((result.unwrap(), took), (1, 6 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_first_error_stands() {
    let (result, took, calls) = race(&hedge().build().unwrap(), &[(3, false), (1, false)]).await;
    assert!(result.is_err());
    assert_eq!((took, calls), (3 * SECOND, 2));
}

#[tokio::test(start_paused = true)]
async fn a_quick_failure_is_not_hedged() {
    let (result, took, calls) = race(&hedge().build().unwrap(), &[(0, false)]).await;
    assert!(result.is_err());
    assert_eq!((took, calls), (Duration::ZERO, 1));
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn the_loser_is_dropped() {
    struct Dropped<'a>(&'a RefCell<Vec<usize>>, usize);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let (dropped, calls) = (RefCell::new(Vec::new()), Cell::new(0));
    let result: Result<(), io::Error> = hedge()
        .build()
        .unwrap()
        .call(async || {
            let call = calls.replace(calls.get() + 1);
            let _guard = Dropped(&dropped, call);
            tokio::time::sleep(if call == 0 { 3_600 * SECOND } else { SECOND }).await;
            Ok(())
        })
        .await;
    assert!(result.is_ok());
    assert_eq!(*dropped.borrow(), [1, 0]);
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn hedges_are_budgeted() {
    let hedge = Hedge::builder().delay(Duration::from_millis(1)).budget(0.1).build().unwrap();
    let calls = Cell::new(0);
    for _ in 0..1_000 {
        let call = hedge.call(async || {
            calls.set(calls.get() + 1);
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, io::Error>(())
        });
        call.await.unwrap();
    }
    // A tenth, ten saved up, and one a second.
    let calls = calls.get();
    assert!((1_100..=1_115).contains(&calls), "{calls}");
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn only_a_request_that_may_be_sent_twice_is_hedged() {
    for (method, expected) in [(Method::GET, 2), (Method::POST, 1)] {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let service = service_fn(move |_: Request<String>| {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(2 * SECOND).await;
                Ok::<_, io::Error>(Response::new(()))
            }
        });
        let request = Request::builder().method(method).body(String::new()).unwrap();
        assert!(hedge().build().unwrap().http_layer().layer(service).oneshot(request).await.is_ok());
        assert_eq!(calls.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_hedged_costs_no_budget() {
    let hedge = Hedge::builder().delay(Duration::from_millis(1)).budget(0.01).build().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let service = hedge.http_layer().layer(service_fn(move |_: Request<String>| {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, io::Error>(Response::new(()))
        }
    }));
    for method in [vec![Method::POST; 12], vec![Method::GET]].concat() {
        let request = Request::builder().method(method).body(String::new()).unwrap();
        assert!(service.clone().oneshot(request).await.is_ok());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 14);
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_nothing_is_hedged() {
    let (_, _, calls) = race(&hedge().budget(0.0).build().unwrap(), &[(60, true), (1, true)]).await;
    assert_eq!(calls, 1);
}

#[test]
fn a_hedged_call_that_never_waits_needs_no_timer() {
    let hedge = hedge().build().unwrap();
    assert!(hedge.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_copy_carries_its_number() {
    let seen = RefCell::new(Vec::new());
    let call = |hedge: Hedge| {
        let seen = &seen;
        async move {
            let call = hedge.call(async || {
                seen.borrow_mut().push(Context::current().attempt());
                tokio::time::sleep(5 * SECOND).await;
                seen.borrow_mut().push(Context::current().attempt());
                Ok::<_, io::Error>(())
            });
            call.await.unwrap();
        }
    };
    let hedge = hedge().max_hedges(2).build().unwrap();
    call(hedge.clone()).await;
    Context::root().with_attempt(4).scope(call(hedge)).await;
    assert_eq!(seen.into_inner(), [1, 2, 3, 1, 4, 5, 6, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_request_carries_its_number() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |_: Request<String>| {
        log.lock().unwrap().push(Context::current().attempt());
        async {
            tokio::time::sleep(2 * SECOND).await;
            Ok::<_, io::Error>(Response::new(()))
        }
    });
    assert!(hedge().build().unwrap().http_layer().layer(service).oneshot(Request::default()).await.is_ok());
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_no_copy_is_made() {
    for (deadline, expected) in [(SECOND, 1), (SECOND + Duration::from_millis(1), 2)] {
        let context = Context::root().with_timeout(deadline);
        let (_, _, calls) = context.scope(race(&hedge().build().unwrap(), &[(5, true), (0, true)])).await;
        assert_eq!(calls, expected);
    }
}
