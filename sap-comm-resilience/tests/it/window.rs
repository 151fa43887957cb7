//! When the window opens the breaker, and when not.

use std::time::Duration;

use sap_comm_resilience::{CircuitBreaker, CircuitBreakerBuilder, State};

use crate::support::{MILLISECOND, SECOND, fail, succeed};

fn plain() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("test")
}

/// Trap 8.
#[tokio::test(start_paused = true)]
async fn a_gap_longer_than_the_window_clears_it() {
    let breaker = plain().minimum_throughput(10).build().unwrap();
    for gap in [10 * SECOND, 86_400 * SECOND, 365 * 86_400 * SECOND] {
        for _ in 0..9 {
            assert!(fail(&breaker).await);
        }
        tokio::time::advance(gap).await;
        assert_eq!(breaker.snapshot().failed, 0);
    }
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 9.
#[tokio::test(start_paused = true)]
async fn failures_within_one_millisecond_open() {
    let breaker = plain().minimum_throughput(100).build().unwrap();
    for _ in 0..100 {
        assert!(fail(&breaker).await);
        tokio::time::advance(Duration::from_nanos(100)).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

/// Trap 9.
#[tokio::test(start_paused = true)]
async fn one_success_in_each_millisecond_hides_no_failures() {
    let breaker = plain().build().unwrap();
    'opened: for _ in 0..20 {
        assert!(succeed(&breaker).await);
        for _ in 0..99 {
            if !fail(&breaker).await {
                break 'opened;
            }
        }
        tokio::time::advance(MILLISECOND).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

/// Trap 10.
#[tokio::test(start_paused = true)]
async fn a_long_healthy_history_does_not_delay_opening_beyond_the_window() {
    let by_time = plain().build().unwrap();
    let by_calls = plain().sampling_calls(100).build().unwrap();
    for breaker in [&by_time, &by_calls] {
        for _ in 0..100_000 {
            breaker.try_acquire().unwrap().success();
        }
    }
    tokio::time::advance(10 * SECOND).await;
    for _ in 0..10 {
        assert!(fail(&by_time).await);
    }
    assert_eq!(by_time.state(), State::Open);
    for _ in 0..50 {
        assert_eq!(by_calls.state(), State::Closed);
        assert!(fail(&by_calls).await);
    }
    assert_eq!(by_calls.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn too_few_calls_never_open() {
    let breaker = plain().minimum_throughput(10).build().unwrap();
    for _ in 0..100 {
        assert!(fail(&breaker).await);
        tokio::time::advance(2 * SECOND).await;
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_threshold_itself_opens() {
    let breaker = plain().failure_rate(0.5).minimum_throughput(10).build().unwrap();
    for _ in 0..6 {
        assert!(succeed(&breaker).await);
    }
    for _ in 0..5 {
        assert!(fail(&breaker).await);
    }
    assert_eq!(breaker.state(), State::Closed, "5 of 11");
    assert!(fail(&breaker).await);
    assert_eq!(breaker.state(), State::Open, "6 of 12");
}

#[tokio::test(start_paused = true)]
async fn opossum_opens_only_above_the_threshold_and_from_the_first_call() {
    let breaker = CircuitBreaker::opossum("test").error_threshold_percentage(50.0).build().unwrap();
    assert!(succeed(&breaker).await);
    assert!(fail(&breaker).await);
    assert_eq!(breaker.state(), State::Closed, "half is not above half");
    assert!(fail(&breaker).await);
    assert_eq!(breaker.state(), State::Open);
    tokio::time::advance(30 * SECOND).await;
    assert!(succeed(&breaker).await);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open() {
    let breaker = plain().failure_rate(None).slow_calls(SECOND, 0.5).minimum_throughput(4).build().unwrap();
    for (slow, before) in [(false, 0), (false, 0), (true, 0), (true, 1)] {
        assert_eq!((breaker.state(), breaker.snapshot().slow), (State::Closed, before));
        let call = breaker.call(async || {
            tokio::time::sleep(if slow { SECOND } else { SECOND / 2 }).await;
            Ok::<_, std::io::Error>(())
        });
        call.await.unwrap();
    }
    assert_eq!(breaker.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_and_a_success_between_does_not() {
    let breaker = plain().failure_rate(None).consecutive_failures(3).build().unwrap();
    for _ in 0..10 {
        assert!(fail(&breaker).await && fail(&breaker).await);
        assert!(succeed(&breaker).await);
    }
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..3 {
        assert!(fail(&breaker).await);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn opossums_pipeline_runs_the_breaker_around_its_timeout() {
    let pipeline = CircuitBreaker::opossum("test").timeout(2 * SECOND).volume_threshold(3).pipeline().unwrap();
    for expected in [State::Closed, State::Closed, State::Open] {
        let started = tokio::time::Instant::now();
        assert!(pipeline.call(async || std::future::pending::<Result<(), std::io::Error>>().await).await.is_err());
        assert_eq!((started.elapsed(), pipeline.breaker().unwrap().state()), (2 * SECOND, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_by_a_window_of_calls_too() {
    let breaker = plain().sampling_calls(20).minimum_throughput(1).slow_calls(SECOND, 1.0).build().unwrap();
    let call = breaker.try_acquire().unwrap();
    tokio::time::advance(SECOND).await;
    call.success();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_snapshot_tells_the_rate() {
    let breaker = plain().build().unwrap();
    assert_eq!(breaker.snapshot().failure_rate, 0.0);
    for failed in [true, false, true, true] {
        let permit = breaker.try_acquire().unwrap();
        if failed { permit.failure() } else { permit.success() }
    }
    assert_eq!(breaker.snapshot().failure_rate, 0.75);
}

/// Trap 8.
#[tokio::test(start_paused = true)]
async fn an_idle_time_of_days_leaves_a_short_window_seeing() {
    // Laps of 16 ms; a counter tells 2^24 of them apart.
    let short = || CircuitBreaker::builder("test").sampling_window(10 * MILLISECOND).minimum_throughput(10);
    for idle in [38, 60, 74] {
        let breaker = short().build().unwrap();
        for _ in 0..32 {
            // Every counter of every bucket is in use.
            assert!(succeed(&breaker).await && succeed(&breaker).await && fail(&breaker).await);
            tokio::time::advance(MILLISECOND).await;
        }
        tokio::time::advance(idle * 3_600 * SECOND).await;
        for _ in 0..10 {
            assert!(fail(&breaker).await);
        }
        assert_eq!(breaker.state(), State::Open, "after {idle} h");
    }
}
