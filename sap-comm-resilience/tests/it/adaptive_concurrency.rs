//! A limit that follows latency: simulated servers on paused time.

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveConcurrencyBuilder, AdaptiveConcurrencyError, CircuitBreaker, HttpStatus, Outcome,
    Retry, Timeout,
};
use tokio::{sync::Semaphore, time::Instant};
use tower::{Layer, Service, service_fn};

use crate::support::{MILLISECOND, SECOND, down};

/// A server with so many workers: who comes when all are busy waits in its queue.
struct Server {
    workers: Semaphore,
    millis: AtomicU64,
    served: AtomicU32,
    dice: Mutex<fastrand::Rng>,
}

impl Server {
    fn new(workers: usize, millis: u64) -> Self {
        Self {
            workers: Semaphore::new(workers),
            millis: AtomicU64::new(millis),
            served: AtomicU32::new(0),
            dice: Mutex::new(fastrand::Rng::with_seed(7)),
        }
    }

    /// Takes its time, give or take a fifth.
    async fn answer(&self) -> io::Result<()> {
        let _worker = self.workers.acquire().await.unwrap();
        let spread = 0.8 + 0.4 * self.dice.lock().unwrap().f64();
        tokio::time::sleep(Duration::from_millis(self.millis.load(Ordering::SeqCst)).mul_f64(spread)).await;
        self.served.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// So many clients call without a pause; one that is refused comes back soon.
async fn drive(limit: &AdaptiveConcurrency, server: &Server, clients: u64, time: Duration) {
    let end = Instant::now() + time;
    join_all((0..clients).map(|client| async move {
        let mut dice = fastrand::Rng::with_seed(client);
        while Instant::now() < end {
            if limit.call(async || server.answer().await).await.is_err() {
                tokio::time::sleep(dice.u32(50..150) * MILLISECOND).await;
            }
        }
    }))
    .await;
}

fn limit() -> AdaptiveConcurrencyBuilder {
    AdaptiveConcurrency::builder("test").seed(1)
}

#[tokio::test(start_paused = true)]
async fn it_rises_while_answers_stay_quick() {
    let (limit, server) = (limit().build().unwrap(), Server::new(10_000, 50));
    drive(&limit, &server, 150, 10 * SECOND).await;
    assert!(limit.limit() >= 150, "{:?}", limit.snapshot());
}

#[tokio::test(start_paused = true)]
async fn it_settles_near_what_the_server_stands_and_keeps_it_busy() {
    let limit = limit().initial_limit(100).baseline_lifetime(4 * SECOND).build().unwrap();
    let server = Server::new(10, 50);
    drive(&limit, &server, 60, 20 * SECOND).await;
    assert!((10..=30).contains(&limit.limit()), "{:?}", limit.snapshot());
    server.served.store(0, Ordering::SeqCst);
    drive(&limit, &server, 60, 20 * SECOND).await;
    let served = server.served.load(Ordering::SeqCst);
    assert!(served > 3_600, "ten workers of 50 ms serve 4000 in 20 s: {served}");
}

#[tokio::test(start_paused = true)]
async fn it_falls_with_the_server_and_recovers_with_it() {
    let (limit, server) = (limit().build().unwrap(), Server::new(60, 50));
    drive(&limit, &server, 150, 20 * SECOND).await;
    assert!(limit.limit() >= 60, "{:?}", limit.snapshot());

    let broken = server.workers.acquire_many(55).await.unwrap();
    drive(&limit, &server, 150, 20 * SECOND).await;
    assert!((5..=25).contains(&limit.limit()), "{:?}", limit.snapshot());

    drop(broken);
    drive(&limit, &server, 150, 20 * SECOND).await;
    assert!(limit.limit() >= 60, "{:?}", limit.snapshot());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_become_slower_by_itself_is_not_starved() {
    let (limit, server) = (limit().build().unwrap(), Server::new(10_000, 20));
    drive(&limit, &server, 100, 5 * SECOND).await;
    server.millis.store(200, Ordering::SeqCst);
    drive(&limit, &server, 100, 60 * SECOND).await;
    assert!(limit.limit() >= 50, "{:?}", limit.snapshot());
    let baseline = limit.snapshot().baseline.unwrap();
    assert!(baseline > 150 * MILLISECOND, "{baseline:?}");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_grow_while_it_is_not_used() {
    let (limit, server) = (limit().build().unwrap(), Server::new(10_000, 20));
    drive(&limit, &server, 5, 60 * SECOND).await;
    assert_eq!(limit.limit(), 20);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_takes_the_same_course() {
    async fn course(seed: u64) -> Vec<u32> {
        let limit = limit().seed(seed).baseline_lifetime(4 * SECOND).build().unwrap();
        let server = Server::new(10, 50);
        let watch = async {
            let mut limits = Vec::new();
            for _ in 0..200 {
                tokio::time::sleep(100 * MILLISECOND).await;
                limits.push(limit.limit());
            }
            limits
        };
        tokio::join!(watch, drive(&limit, &server, 40, 20 * SECOND)).0
    }
    let first = course(1).await;
    assert_eq!(course(1).await, first);
    assert_ne!(course(2).await, first, "the time of the next measurement is drawn by lot");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_answer_cuts_it_once_for_all_in_flight() {
    let limit = limit().initial_limit(100).build().unwrap();
    let permits: Vec<_> = join_all((0..100).map(|_| limit.acquire())).await.into_iter().map(Result::unwrap).collect();
    for permit in permits {
        tokio::time::advance(MILLISECOND).await;
        permit.settle(Outcome::Throttled(None));
    }
    assert_eq!((limit.limit(), limit.snapshot().in_flight), (70, 0));
    tokio::time::advance(MILLISECOND).await;
    limit.acquire().await.unwrap().overloaded();
    assert_eq!(limit.limit(), 49);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_ours_and_an_error_by_rule_are_overload() {
    let limit = limit()
        .initial_limit(100)
        .overload_if(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
        .build()
        .unwrap();
    let timeout = Timeout::new(SECOND);
    let _ = limit.call(async || timeout.call(async || pending::<io::Result<()>>().await).await).await;
    assert_eq!(limit.limit(), 70);
    tokio::time::advance(MILLISECOND).await;
    let _ = limit.call(async || Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut))).await;
    assert_eq!(limit.limit(), 49);
    tokio::time::advance(MILLISECOND).await;
    let _ = limit.call(async || Err::<(), _>(down())).await;
    assert_eq!(limit.limit(), 49);
    let boxed: Box<dyn std::error::Error + Send + Sync> =
        timeout.call(async || pending::<io::Result<()>>().await).await.unwrap_err().into();
    let _ = limit.call(async || Err::<(), _>(boxed)).await;
    assert_eq!(limit.limit(), 34);
}

#[tokio::test(start_paused = true)]
async fn what_fails_at_once_does_not_pass_for_quick() {
    let limit = limit().max_limit(40).build().unwrap();
    let busy = async |result: fn() -> io::Result<()>, millis: u32| {
        let call = async || {
            tokio::time::sleep(millis * MILLISECOND).await;
            result()
        };
        for _ in 0..200 {
            join_all((0..20).map(|_| limit.call(call))).await;
        }
    };
    busy(|| Ok(()), 50).await;
    assert_eq!(limit.snapshot().baseline, Some(50 * MILLISECOND));
    busy(|| Err(down()), 1).await;
    assert_eq!(limit.snapshot().baseline, Some(50 * MILLISECOND));
    let before = limit.limit();
    busy(|| Err(down()), 500).await;
    assert!(limit.limit() < before, "what fails slowly shows a queue");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_slot_and_counts_for_nothing() {
    let limit = limit().initial_limit(4).minimum_throughput(1).sampling_window(MILLISECOND).build().unwrap();
    for _ in 0..10 {
        let mut call = Box::pin(limit.call(async || pending::<io::Result<()>>().await));
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!(limit.snapshot().in_flight, 1);
        tokio::time::advance(SECOND).await;
    }
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.limit, snapshot.latency), (0, 4, None));
}

#[tokio::test(start_paused = true)]
async fn a_panic_frees_its_slot() {
    let limit = limit().initial_limit(4).build().unwrap();
    let call = limit.call(async || -> io::Result<()> { panic!("on purpose") });
    assert!(std::panic::AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!(limit.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_the_calls_in_flight_lets_nobody_in_until_they_are_fewer() {
    let limit = limit().initial_limit(10).build().unwrap();
    let mut permits: Vec<_> = (0..10).map(|_| limit.try_acquire().unwrap()).collect();
    permits.pop().unwrap().overloaded();
    assert_eq!(limit.limit(), 7);
    for in_flight in (7..=9).rev() {
        assert!(limit.try_acquire().is_err(), "{in_flight} are in flight");
        drop(permits.pop());
    }
    let _permit = limit.try_acquire().unwrap();
    assert!(limit.try_acquire().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_neither_counted_nor_retried_and_says_when_to_come_again() {
    let limit =
        limit().initial_limit(4).min_limit(1).minimum_throughput(1).sampling_window(MILLISECOND).build().unwrap();
    let slow = async || {
        tokio::time::sleep(30 * MILLISECOND).await;
        Ok::<_, io::Error>(())
    };
    limit.call(slow).await.unwrap();
    let _taken: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();

    let breaker = CircuitBreaker::builder("test").consecutive_failures(1).build().unwrap();
    let retry = Retry::builder().max_retries(3).build().unwrap();
    let calls = AtomicU32::new(0);
    let result = retry
        .call(|| {
            calls.fetch_add(1, Ordering::SeqCst);
            breaker.call(async || limit.call(slow).await)
        })
        .await;
    let error = result.unwrap_err().into_inner().unwrap();
    let AdaptiveConcurrencyError::Limited(limited) = error else { panic!("{error:?}") };
    assert_eq!(limited.retry_after, Some(30 * MILLISECOND));
    assert_eq!((calls.into_inner(), breaker.snapshot().failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_in_order() {
    let limit = limit().initial_limit(1).min_limit(1).max_queue(2).max_wait(SECOND).build().unwrap();
    let held = limit.acquire().await.unwrap();
    let mut first = Box::pin(limit.acquire());
    let mut second = Box::pin(limit.acquire());
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    assert_eq!(limit.snapshot().queued, 2);
    assert!(limit.acquire().await.is_err());
    drop(held);
    assert!(second.as_mut().now_or_never().is_none());
    let held = first.await.unwrap();
    let started = Instant::now();
    assert!(second.await.is_err());
    assert_eq!((started.elapsed(), limit.snapshot().queued), (SECOND, 0));
    drop(held);
    assert!(limit.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_layer_learns_too_and_gives_its_slot_back_when_dropped() {
    let limit = limit().initial_limit(10).min_limit(1).max_queue(1).build().unwrap();
    let stuck = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stuck);
    let mut service = limit.layer().classify(HttpStatus).layer(service_fn(move |(): ()| {
        let stuck = flag.load(Ordering::SeqCst);
        async move {
            if stuck {
                pending::<()>().await;
            }
            let mut response = http::Response::new(());
            *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
            Ok::<_, io::Error>(response)
        }
    }));
    for expected in [7, 4, 3, 2, 1, 1] {
        service.call(()).await.unwrap();
        assert_eq!(limit.limit(), expected);
        tokio::time::advance(MILLISECOND).await;
    }
    stuck.store(true, Ordering::SeqCst);
    let mut running = Box::pin(service.call(()));
    assert!(running.as_mut().now_or_never().is_none());
    let mut queued = Box::pin(service.call(()));
    assert!(queued.as_mut().now_or_never().is_none());
    assert!(matches!(service.call(()).await, Err(AdaptiveConcurrencyError::Limited(_))));
    drop(running);
    assert!(queued.as_mut().now_or_never().is_none());
    assert_eq!((limit.snapshot().in_flight, limit.snapshot().queued), (1, 0));
    drop(queued);
    assert_eq!(limit.snapshot().in_flight, 0);
}
