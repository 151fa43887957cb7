//! Configurations that cannot be built, and those read from text.

use std::time::Duration;

use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveConcurrencyBuilder, AdaptiveConcurrencyConfig, AdaptiveThrottle,
    AdaptiveThrottleBuilder, AdaptiveThrottleConfig, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerBuilder,
    CircuitBreakerConfig, Hedge, HedgeConfig, Jitter, RateLimit, RateLimitConfig, Retry, RetryBudget, RetryConfig,
};

type Change<B> = fn(B) -> B;

/// Trap 9.
#[test]
fn a_breaker_that_cannot_work_is_refused_by_field() {
    let cases: [(&str, Change<CircuitBreakerBuilder>); 31] = [
        ("failure_rate", |b| b.failure_rate(1.1)),
        ("failure_rate", |b| b.failure_rate(-0.1)),
        ("failure_rate", |b| b.failure_rate(f64::NAN)),
        ("failure_rate", |b| b.failure_rate(None)),
        ("slow_call_rate", |b| b.slow_calls(Duration::from_secs(1), f64::INFINITY)),
        ("slow_call_duration", |b| b.slow_calls(Duration::ZERO, 0.5)),
        ("consecutive_failures", |b| b.consecutive_failures(0)),
        ("consecutive_failures", |b| b.consecutive_failures(1_000_001)),
        ("minimum_throughput", |b| b.minimum_throughput(1_000_001)),
        ("probe_successes", |b| b.probe_successes(1_025)),
        ("sampling_window", |b| b.sampling_window(Duration::ZERO)),
        ("sampling_window", |b| b.sampling_window(Duration::from_millis(9))),
        ("sampling_window", |b| b.sampling_window(Duration::MAX)),
        ("sampling_buckets", |b| b.sampling_buckets(0)),
        ("sampling_calls", |b| b.sampling_calls(0)),
        ("minimum_throughput", |b| b.sampling_calls(5)),
        ("reset_timeout", |b| b.reset_timeout(Duration::MAX)),
        ("reset_factor", |b| b.reset_backoff(f64::NAN, Duration::from_secs(1))),
        ("reset_jitter", |b| b.reset_jitter(2.0)),
        ("probes", |b| b.probes(0)),
        ("ramp", |b| b.ramp(Duration::MAX)),
        ("slow_call_rate", |b| b.slow_calls(Duration::from_secs(1), f64::NAN)),
        ("slow_call_duration", |b| b.slow_calls(Duration::MAX, 0.5)),
        ("sampling_buckets", |b| b.sampling_buckets(129)),
        ("sampling_calls", |b| b.sampling_calls(4_097)),
        ("reset_timeout", |b| b.reset_timeout(Duration::ZERO)),
        ("reset_factor", |b| b.reset_backoff(0.5, Duration::from_secs(1))),
        ("max_reset_timeout", |b| b.reset_backoff(2.0, Duration::MAX)),
        ("probes", |b| b.probes(1_025)),
        ("probe_successes", |b| b.probe_successes(0)),
        ("probe_lease", |b| b.probe_lease(Duration::ZERO)),
    ];
    for (field, change) in cases {
        let error = change(CircuitBreaker::builder("test")).build().unwrap_err();
        assert_eq!(error.field(), field, "{error}");
        assert!(error.to_string().contains(field));
    }
    let opossum = CircuitBreaker::opossum("test").error_threshold_percentage(101.0).build();
    assert_eq!(opossum.unwrap_err().field(), "error_threshold_percentage");
}

#[test]
fn other_strategies_that_cannot_work_are_refused_by_field() {
    let second = Duration::from_secs(1);
    assert_eq!(Retry::builder().max_retries(1001).build().unwrap_err().field(), "max_retries");
    assert_eq!(Retry::builder().factor(f64::NAN).build().unwrap_err().field(), "factor");
    assert_eq!(Retry::builder().factor(0.5).build().unwrap_err().field(), "factor");
    assert_eq!(Retry::builder().min_delay(60 * second).build().unwrap_err().field(), "max_delay");
    assert_eq!(Retry::builder().min_delay(Duration::ZERO).build().unwrap_err().field(), "min_delay");
    assert_eq!(Retry::builder().jitter(Jitter::Spread(1.5)).build().unwrap_err().field(), "jitter");
    assert_eq!(Retry::builder().max_delay(Duration::MAX).build().unwrap_err().field(), "max_delay");
    assert_eq!(Retry::builder().max_retry_after(Duration::MAX).build().unwrap_err().field(), "max_retry_after");
    assert_eq!(Retry::builder().jitter(Jitter::Spread(f64::NAN)).build().unwrap_err().field(), "jitter");
    assert_eq!(RetryBudget::new(f64::INFINITY, 0).unwrap_err().field(), "share");
    assert_eq!(RetryBudget::new(0.1, u32::MAX).unwrap_err().field(), "per_second");
    assert_eq!(Bulkhead::builder("test").max_concurrent(u32::MAX).build().unwrap_err().field(), "max_concurrent");
    assert_eq!(Bulkhead::builder("test").max_wait(Duration::MAX).build().unwrap_err().field(), "max_wait");
    assert_eq!(RateLimit::builder("test").max_wait(Duration::MAX).build().unwrap_err().field(), "max_wait");
    assert_eq!(RateLimit::builder("test").per(Duration::MAX, 1).build().unwrap_err().field(), "period");
    assert_eq!(Hedge::builder().delay(Duration::MAX).build().unwrap_err().field(), "delay");
    assert_eq!(Hedge::builder().max_hedges(0).build().unwrap_err().field(), "max_hedges");
    assert_eq!(Hedge::builder().budget(1.1).build().unwrap_err().field(), "budget");
    assert_eq!(Bulkhead::builder("test").max_concurrent(0).build().unwrap_err().field(), "max_concurrent");
    assert_eq!(RateLimit::builder("test").per_second(0).build().unwrap_err().field(), "calls");
    assert_eq!(RateLimit::builder("test").burst(0).build().unwrap_err().field(), "burst");
    assert_eq!(RateLimit::builder("test").per(Duration::ZERO, 1).build().unwrap_err().field(), "period");
    assert_eq!(RateLimit::builder("test").per(Duration::from_nanos(5), 10).build().unwrap_err().field(), "period");
    let hoard = RateLimit::builder("test").per(Duration::from_secs(86_400), 1).burst(1_000_000);
    assert_eq!(hoard.build().unwrap_err().field(), "burst");
    assert_eq!(Bulkhead::builder("test").max_queue(u32::MAX).build().unwrap_err().field(), "max_queue");
    assert_eq!(Hedge::builder().delay(Duration::ZERO).build().unwrap_err().field(), "delay");
    assert_eq!(Hedge::builder().budget(f64::NAN).build().unwrap_err().field(), "budget");
}

#[test]
fn a_configuration_builds_each_of_them() {
    assert!(RateLimitConfig::default().validate().is_ok());
    assert_eq!(RateLimit::from_config("test", RateLimitConfig::default()).unwrap().name().as_str(), "test");
    assert_eq!(Bulkhead::from_config("test", BulkheadConfig::default()).unwrap().available(), 64);
    assert!(Hedge::from_config(HedgeConfig::default()).is_ok());
}

#[test]
fn an_adaptive_limit_that_cannot_work_is_refused_by_field() {
    let cases: [(&str, Change<AdaptiveConcurrencyBuilder>); 15] = [
        ("min_limit", |b| b.min_limit(0)),
        ("max_limit", |b| b.min_limit(30).max_limit(29)),
        ("max_limit", |b| b.max_limit(u32::MAX)),
        ("initial_limit", |b| b.initial_limit(3)),
        ("initial_limit", |b| b.max_limit(10)),
        ("max_wait", |b| b.max_wait(Duration::MAX)),
        ("tolerance", |b| b.tolerance(f64::NAN)),
        ("tolerance", |b| b.tolerance(-0.1)),
        ("backoff_ratio", |b| b.backoff_ratio(1.0)),
        ("backoff_ratio", |b| b.backoff_ratio(f64::NAN)),
        ("sampling_window", |b| b.sampling_window(Duration::ZERO)),
        ("sampling_window", |b| b.sampling_window(Duration::MAX)),
        ("minimum_throughput", |b| b.minimum_throughput(0)),
        ("baseline_lifetime", |b| b.baseline_lifetime(Duration::from_millis(99))),
        ("baseline_lifetime", |b| b.baseline_lifetime(Duration::MAX)),
    ];
    for (field, change) in cases {
        let error = change(AdaptiveConcurrency::builder("test")).build().unwrap_err();
        assert_eq!(error.field(), field, "{error}");
    }
}

#[test]
fn a_throttle_that_cannot_work_is_refused_by_field() {
    let cases: [(&str, Change<AdaptiveThrottleBuilder>); 7] = [
        ("multiplier", |b| b.multiplier(0.9)),
        ("multiplier", |b| b.multiplier(f64::INFINITY)),
        ("sampling_window", |b| b.sampling_window(Duration::from_millis(59))),
        ("sampling_window", |b| b.sampling_window(Duration::MAX)),
        ("minimum_throughput", |b| b.minimum_throughput(u32::MAX)),
        ("max_rejection_rate", |b| b.max_rejection_rate(1.1)),
        ("max_rejection_rate", |b| b.max_rejection_rate(f64::NAN)),
    ];
    for (field, change) in cases {
        let error = change(AdaptiveThrottle::builder("test")).build().unwrap_err();
        assert_eq!(error.field(), field, "{error}");
    }
}

#[test]
fn a_configuration_reads_durations_as_text_and_keeps_its_defaults() {
    let config: CircuitBreakerConfig =
        serde_json::from_str(r#"{"failure_rate": 0.5, "reset_timeout": "30s", "slow_call_duration": "1500ms"}"#)
            .unwrap();
    assert_eq!(config.slow_call_duration, Some(Duration::from_millis(1_500)));
    assert_eq!(config.sampling_window, Duration::from_secs(10));
    let config: RetryConfig =
        serde_json::from_str(r#"{"max_retries": 3, "min_delay": "1s", "max_delay": "5s", "jitter": {"spread": 0.1}}"#)
            .unwrap();
    assert_eq!((config.min_delay, config.jitter), (Duration::from_secs(1), Jitter::Spread(0.1)));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = serde_json::from_str::<CircuitBreakerConfig>(r#"{"reset_timout": "30s"}"#).unwrap_err();
    assert!(error.to_string().contains("reset_timout"), "{error}");
    let error = serde_json::from_str::<AdaptiveConcurrencyConfig>(r#"{"max_limits": 3}"#).unwrap_err();
    assert!(error.to_string().contains("max_limits"), "{error}");
    let error = serde_json::from_str::<AdaptiveThrottleConfig>(r#"{"k": 2}"#).unwrap_err();
    assert!(error.to_string().contains("`k`"), "{error}");
    let error = serde_json::from_str::<RetryConfig>(r#"{"min_delay": "soon"}"#).unwrap_err();
    assert!(error.to_string().contains("soon"), "{error}");
}

#[test]
fn every_configuration_survives_a_round_trip() {
    fn round_trip<C>()
    where
        C: Default + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let json = serde_json::to_string(&C::default()).unwrap();
        assert_eq!(serde_json::from_str::<C>(&json).unwrap(), C::default());
    }
    round_trip::<CircuitBreakerConfig>();
    round_trip::<RetryConfig>();
    round_trip::<BulkheadConfig>();
    round_trip::<RateLimitConfig>();
    round_trip::<HedgeConfig>();
    round_trip::<AdaptiveConcurrencyConfig>();
    round_trip::<AdaptiveThrottleConfig>();
}
