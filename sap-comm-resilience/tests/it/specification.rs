//! The specification's own example: breaker, timeout and retry around `getUserById`.

use std::{
    cell::Cell,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use sap_comm_resilience::{Bound, CircuitBreaker, Jitter, Lint, Pipeline, PipelineError, Retry, State};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn retry(log: &Arc<Mutex<Vec<String>>>) -> Retry {
    let log = Arc::clone(log);
    Retry::builder()
        .max_retries(3)
        .factor(2.0)
        .min_delay(SECOND)
        .max_delay(5 * SECOND)
        .jitter(Jitter::None)
        .on_retry(move |event| {
            let error = event.error::<io::Error>().map(ToString::to_string);
            log.lock().unwrap().push(error.unwrap_or_default());
        })
        .build()
        .unwrap()
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder("userService").failure_rate(0.5).reset_timeout(30 * SECOND).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_example_reads_like_the_snippet() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let pipeline =
        Pipeline::builder("userService").breaker(breaker()).timeout(3 * SECOND).retry(retry(&log)).build().unwrap();

    let calls = Cell::new(0);
    let user = pipeline
        .call(async || {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err(io::Error::other("connection refused")) } else { Ok("usr_1") }
        })
        .await;
    assert_eq!(user.unwrap(), "usr_1");
    assert_eq!(*log.lock().unwrap(), ["connection refused"]);
    assert_eq!(pipeline.breaker().unwrap().snapshot().succeeded, 1);
}

#[tokio::test(start_paused = true)]
async fn the_example_gets_two_of_its_four_attempts_and_says_so() {
    let pipeline = Pipeline::builder("userService")
        .breaker(breaker())
        .timeout(3 * SECOND)
        .retry(retry(&Arc::default()))
        .build()
        .unwrap();
    let expected = Lint::ScheduleExceeds { bound: Bound::Timeout, limit: 3 * SECOND, attempts: 4, reachable: 2 };
    assert_eq!(pipeline.lints(), [expected]);
    assert!(
        pipeline.lints()[0].to_string().contains("without jitter, 2 of 4 attempts start at most"),
        "{}",
        pipeline.lints()[0]
    );

    let (started, calls) = (Instant::now(), Cell::new(0));
    let result: Result<(), _> = pipeline
        .call(async || {
            calls.set(calls.get() + 1);
            Err(io::Error::other("down"))
        })
        .await;
    // The third attempt would start when the timeout is over: the second one's error stands, without the wait.
    assert!(matches!(result, Err(PipelineError::Inner(_))), "{result:?}");
    assert_eq!((calls.get(), started.elapsed()), (2, SECOND));
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_example_bounds_all_attempts_together() {
    let pipeline = Pipeline::builder("userService")
        .breaker(breaker())
        .timeout(3 * SECOND)
        .retry(retry(&Arc::default()))
        .build()
        .unwrap();
    let (started, calls) = (Instant::now(), Cell::new(0));
    let result: Result<(), _> = pipeline
        .call(async || {
            calls.set(calls.get() + 1);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            Err(io::Error::other("slow and down"))
        })
        .await;
    assert!(matches!(result, Err(PipelineError::TimedOut(_))), "{result:?}");
    assert_eq!((calls.get(), started.elapsed()), (2, 3 * SECOND));
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_alternative_makes_all_four_attempts() {
    let pipeline = Pipeline::builder("userService")
        .breaker(breaker())
        .timeout(3 * SECOND)
        .retry(retry(&Arc::default()))
        .build()
        .unwrap()
        .per_attempt(20 * SECOND)
        .unwrap();
    assert_eq!(pipeline.lints(), []);

    let (started, calls) = (Instant::now(), Cell::new(0));
    let result: Result<(), _> = pipeline
        .call(async || {
            calls.set(calls.get() + 1);
            Err(io::Error::other("down"))
        })
        .await;
    assert!(matches!(result, Err(PipelineError::Inner(_))), "{result:?}");
    assert_eq!((calls.get(), started.elapsed()), (4, 7 * SECOND));
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 4);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_of_the_example_opens_at_half_and_closes_after_its_reset() {
    let pipeline = Pipeline::builder("userService").breaker(breaker()).timeout(3 * SECOND).build().unwrap();
    for call in 0..10 {
        let result = pipeline.call(async || if call % 2 == 0 { Ok(()) } else { Err(io::Error::other("down")) }).await;
        assert_eq!(result.is_ok(), call % 2 == 0);
    }
    let breaker = pipeline.breaker().unwrap();
    assert_eq!(breaker.state(), State::Open);
    let refused = pipeline.call(async || Ok::<_, io::Error>(())).await.unwrap_err();
    assert!(refused.retry_after().is_some_and(|after| after <= 30 * SECOND && after >= 27 * SECOND), "{refused:?}");

    tokio::time::advance(30 * SECOND).await;
    pipeline.call(async || Ok::<_, io::Error>(())).await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_pipeline_runs_in_a_spawned_task() {
    let pipeline = Pipeline::builder("userService")
        .deadline(20 * SECOND)
        .retry(retry(&Arc::default()))
        .breaker(breaker())
        .timeout(3 * SECOND)
        .build()
        .unwrap();
    let url = String::from("http://users");
    let task = tokio::spawn(async move {
        let client = &url;
        pipeline
            .call(async || {
                tokio::task::yield_now().await;
                Ok::<_, io::Error>(client.len())
            })
            .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 12);
}
