//! The vocabularies of `failsafe` and `backoff`.

#[cfg(feature = "failsafe")]
mod failsafe {
    use std::time::Duration;

    use failsafe::{CircuitBreaker as _, Config, FailurePolicy, backoff, failure_policy};
    use sap_comm_resilience::{
        Cause, CircuitBreaker, CircuitBreakerConfig, FailsafePolicy, State, TripReason, WindowPolicy,
    };

    use crate::support::{SECOND, fail, succeed};

    #[tokio::test(start_paused = true)]
    async fn any_failure_policy_opens_our_breaker() {
        let policy = failure_policy::consecutive_failures(3, backoff::constant(Duration::from_secs(7)));
        let breaker = CircuitBreaker::builder("test")
            .failure_rate(1.0)
            .reset_jitter(0.0)
            .trip_policy(FailsafePolicy(policy))
            .build()
            .unwrap();
        let mut events = breaker.events();
        for _ in 0..3 {
            assert!(fail(&breaker).await);
        }
        assert_eq!(events.recv().await.unwrap().cause, Cause::Tripped(TripReason::Policy));
        assert_eq!(breaker.snapshot().retry_after, Some(7 * SECOND));
        tokio::time::advance(7 * SECOND).await;
        assert!(succeed(&breaker).await);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn it_agrees_with_our_own_rule_about_failures_in_a_row() {
        let policy = failure_policy::consecutive_failures(4, backoff::constant(Duration::from_secs(30)));
        let theirs = CircuitBreaker::builder("theirs").failure_rate(1.0).minimum_throughput(1_000_000);
        let theirs = theirs.trip_policy(FailsafePolicy(policy)).build().unwrap();
        let ours = CircuitBreaker::builder("ours").failure_rate(None).consecutive_failures(4).build().unwrap();
        let mut random = 7_u32;
        for _ in 0..1_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for breaker in [&ours, &theirs] {
                if let Ok(permit) = breaker.try_acquire() {
                    if random >> 31 == 0 { permit.failure() } else { permit.success() }
                } else {
                    breaker.close();
                }
            }
            assert_eq!(ours.state(), theirs.state());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn our_window_is_a_failure_policy() {
        let mut config = CircuitBreakerConfig::default();
        config.minimum_throughput = 4;
        let mut policy = WindowPolicy::new(config.clone()).unwrap();
        policy.record_success();
        policy.record_success();
        assert_eq!(policy.mark_dead_on_failure(), None);
        assert_eq!(policy.mark_dead_on_failure(), Some(30 * SECOND));
        assert_eq!(policy.mark_dead_on_failure(), None, "it begins anew");

        let theirs = Config::new().failure_policy(WindowPolicy::new(config).unwrap()).build();
        for _ in 0..4 {
            assert!(theirs.is_call_permitted());
            let _ = theirs.call(|| Err::<(), _>(()));
        }
        assert!(!theirs.is_call_permitted());
    }

    #[test]
    fn a_window_that_cannot_work_is_refused() {
        let mut config = CircuitBreakerConfig::default();
        config.failure_rate = Some(2.0);
        assert_eq!(WindowPolicy::new(config).unwrap_err().field(), "failure_rate");
    }
}

#[cfg(feature = "backoff")]
mod backoff {
    use std::time::Duration;

    use backoff::{ExponentialBackoffBuilder, backoff::Backoff as _, backoff::Constant};
    use sap_comm_resilience::{BackoffCrate, Jitter, Retry, ScheduleBackoff};
    use tokio::time::Instant;

    use crate::support::{SECOND, down};

    #[tokio::test(start_paused = true)]
    async fn any_backoff_is_a_schedule() {
        let schedule = ExponentialBackoffBuilder::new()
            .with_initial_interval(SECOND)
            .with_multiplier(3.0)
            .with_randomization_factor(0.0)
            .build();
        let retry = Retry::builder().backoff(BackoffCrate(move || schedule.clone())).max_retries(3).build().unwrap();
        for _ in 0..2 {
            let started = Instant::now();
            assert!(retry.call(async || Err::<(), _>(down())).await.is_err());
            assert_eq!(started.elapsed(), (1 + 3 + 9) * SECOND, "every call begins anew");
        }
        let constant =
            Retry::builder().backoff(BackoffCrate(|| Constant::new(2 * SECOND))).max_retries(2).build().unwrap();
        assert_eq!(constant.attempt_starts(), [Duration::ZERO, 2 * SECOND, 4 * SECOND]);
    }

    #[test]
    fn our_schedule_is_a_backoff() {
        let retry = Retry::builder().max_retries(3).min_delay(SECOND).jitter(Jitter::None).build().unwrap();
        let mut schedule = ScheduleBackoff::new(retry);
        for _ in 0..2 {
            let delays: Vec<_> = std::iter::from_fn(|| schedule.next_backoff()).collect();
            assert_eq!(delays, [SECOND, 2 * SECOND, 4 * SECOND]);
            schedule.reset();
        }
    }
}
