//! The delays of a retry: schedules, jitter and bounds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sap_comm_resilience::{Jitter, Retry, RetryBuilder, ScheduleKind};

use crate::support::{MILLISECOND, SECOND, down};

/// The delays of one call that always fails.
async fn delays(builder: RetryBuilder) -> Vec<Duration> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let retry = builder.on_retry(move |event| log.lock().unwrap().push(event.delay)).build().unwrap();
    let _ = retry.call(async || Err::<(), _>(down())).await;
    let seen = seen.lock().unwrap();
    seen.clone()
}

fn many() -> RetryBuilder {
    Retry::builder().max_retries(200).min_delay(100 * MILLISECOND).max_delay(SECOND).seed(1)
}

#[tokio::test(start_paused = true)]
async fn an_exponential_schedule_doubles_up_to_its_bound() {
    let delays = delays(many().max_retries(6).jitter(Jitter::None)).await;
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000].map(Duration::from_millis));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_schedule_stays() {
    let delays = delays(many().schedule(ScheduleKind::Fixed).jitter(Jitter::None)).await;
    assert_eq!(delays, [100 * MILLISECOND; 200]);
}

#[tokio::test(start_paused = true)]
async fn a_decorrelated_schedule_draws_from_thrice_the_delay_before() {
    let delays = delays(many().schedule(ScheduleKind::Decorrelated)).await;
    let mut before = 100 * MILLISECOND;
    for delay in &delays {
        assert!((100 * MILLISECOND..=(before * 3).min(SECOND)).contains(delay), "{before:?}, then {delay:?}");
        before = *delay;
    }
    assert!(delays.iter().any(|delay| *delay > 500 * MILLISECOND));
}

#[tokio::test(start_paused = true)]
async fn each_jitter_spreads_over_its_range() {
    for (jitter, low, high) in [
        (Jitter::None, 200, 200),
        (Jitter::Full, 0, 200),
        (Jitter::Equal, 100, 200),
        (Jitter::Spread(0.25), 150, 250),
        (Jitter::Spread(1.0), 200, 400),
    ] {
        let min_delay = 200 * MILLISECOND;
        let fixed = many().min_delay(min_delay).schedule(ScheduleKind::Fixed);
        let delays = delays(fixed.jitter(jitter)).await;
        let (low, high) = (low * MILLISECOND, high * MILLISECOND);
        let low = if matches!(jitter, Jitter::Spread(_)) { low.max(min_delay) } else { low };
        assert!(delays.iter().all(|delay| (low..=high).contains(delay)), "{jitter:?}: {delays:?}");
        let near = (high - low) / 10;
        let reached = |bound: Duration| delays.iter().any(|delay| delay.abs_diff(bound) <= near);
        assert!(reached(low) && reached(high), "{jitter:?} leaves a part of its range out");
    }
}

#[tokio::test(start_paused = true)]
async fn two_clients_return_at_different_times_and_a_seed_repeats_them() {
    let unseeded = || Retry::builder().max_retries(5);
    assert_ne!(delays(unseeded()).await, delays(unseeded()).await);
    assert_eq!(delays(many()).await, delays(many()).await);
}
